"""Why no broker answers: a connection that is tried by hand, step by step, names the cause.

kafka-python tries for as long as it may, and then says that it could not connect, whatever the
cause: an address where nothing listens, TLS where there is none, a certificate, a password. The
diagnosis speaks as much of Kafka's protocol as it takes to tell them apart (its guide, "Protocol
Primitive Types" and "SASL Authentication Sequence"). It runs only after a client has failed.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka.errors import KafkaError
from kafka.net.sasl import SASL_MECHANISMS

__all__ = ["Diagnosis", "diagnose", "diagnose_server"]

_SECONDS: Final = 2.0
_LONGEST_ANSWER: Final = 1 << 20

_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_NO_ERROR, _UNSUPPORTED_MECHANISM, _NO_LOGIN_HERE = 0, 33, 34
_NO_LOGIN = "NONE"
"""A mechanism that no broker has: one that wants logins names those that it offers instead."""
_TLS_ALERT, _TLS_HANDSHAKE, _TLS_MAJOR = 21, 22, 3
_OTHER_NAME = (62, 64)
"""X.509's codes for a certificate of another name or address."""

_PROTOCOL = "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL"
_MECHANISM = "TIDEGAUGE_KAFKA_SASL_MECHANISM"
_CAFILE = "TIDEGAUGE_KAFKA_SSL_CAFILE"
_CERTFILE = "TIDEGAUGE_KAFKA_SSL_CERTFILE"
_SERVERS = "KAFKA_BOOTSTRAP_SERVERS"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a connection.

    Attributes:
        cause: What was found.
        remedy: What to do.
        passing: Whether waiting may help.
    """

    cause: str
    remedy: str
    passing: bool = False


class _Found(Exception):  # noqa: N818 - ends the attempt with what it has found
    def __init__(self, cause: str, remedy: str, *, passing: bool = False) -> None:
        super().__init__(cause)
        self.diagnosis = Diagnosis(cause, remedy, passing)


def diagnose(options: Mapping[str, Any]) -> Diagnosis | None:
    """Return what keeps a client from its brokers; None if one of them lets it in.

    A cause that waiting does not cure goes before one that it may.

    Args:
        options: The options of kafka-python's clients.
    """
    found = []
    for server in options["bootstrap_servers"]:
        diagnosis = diagnose_server(server.strip(), options)
        if diagnosis is None:
            return None
        found.append(diagnosis)
    return min(found, key=lambda diagnosis: diagnosis.passing, default=None)


def diagnose_server(server: str, options: Mapping[str, Any]) -> Diagnosis | None:
    """Return what keeps a client from one broker; None if it lets the client in.

    Args:
        server: ``host:port``.
        options: The options of kafka-python's clients.
    """
    try:
        with closing(_connect(server)) as plain, closing(_secured(plain, server, options)) as line:
            _speaks_kafka(line, server, secured=line is not plain)
            _logs_in(line, server, options)
    except _Found as found:
        return found.diagnosis
    except TimeoutError:
        if _is_a_web_server(server):
            return Diagnosis(f"{server} is a web server, no broker", f"set {_SERVERS} to a broker")
        return Diagnosis(
            f"{server} takes connections and does not answer",
            f"see whether the broker works, and whether {_SERVERS} names it",
            passing=True,
        )
    except (OSError, EOFError, struct.error) as error:
        return Diagnosis(
            f"{server} ends the connection ({error or type(error).__name__})",
            f"see the broker's log, and whether {_PROTOCOL} is its listener's",
            passing=True,
        )
    return None


def _connect(server: str) -> socket.socket:
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise _Found(f"{server!r} is no host:port", f"mend {_SERVERS}")
    try:
        return socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS)
    except socket.gaierror as error:
        raise _Found(
            f"the name {host} is not known here ({error.strerror})",
            f"mend {_SERVERS}",
            passing=True,
        ) from None
    except OSError as error:
        raise _Found(
            f"{server} does not answer ({error.strerror or error})",
            f"start the broker, or set {_SERVERS}",
            passing=True,
        ) from None


def _secured(plain: socket.socket, server: str, options: Mapping[str, Any]) -> socket.socket:
    """Return the connection in TLS, where the client uses it."""
    if not str(options["security_protocol"]).endswith("SSL"):
        return plain
    context = _context(options)
    try:
        return context.wrap_socket(plain, server_hostname=server.rpartition(":")[0].strip("[]"))
    except ssl.SSLCertVerificationError as error:
        raise _Found(
            f"the certificate of {server} is not trusted: {error.verify_message}",
            f"set {_CAFILE} to the file of the authority that signed it"
            if error.verify_code not in _OTHER_NAME
            else f"use a name in {_SERVERS} that the certificate has",
        ) from None
    except ssl.SSLError as error:
        if _is_a_broker_without_tls(server):
            protocol = str(options["security_protocol"])
            theirs = "SASL_PLAINTEXT" if protocol.startswith("SASL") else "PLAINTEXT"
            raise _Found(f"{server} does not speak TLS", f"set {_PROTOCOL} to {theirs}") from None
        raise _Found(
            _alert(server, error),
            f"see the broker's log, and whether {_SERVERS} names it",
            passing=isinstance(error, ssl.SSLEOFError),
        ) from None


def _is_a_broker_without_tls(server: str) -> bool:
    try:
        with closing(_connect(server)) as line:
            _speaks_kafka(line, server, secured=False)
    except (_Found, OSError, EOFError):
        return False
    return True


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return the context that kafka-python would make, or say which file it cannot use."""
    context = ssl.create_default_context()
    authorities, certificate = options.get("ssl_cafile"), options.get("ssl_certfile")
    if authorities:
        with _usable(_CAFILE, authorities):
            context.load_verify_locations(authorities)
    if certificate:
        with _usable(_CERTFILE, certificate):
            # Without a password, OpenSSL would ask for one at the terminal.
            password = options.get("ssl_password") or ""
            context.load_cert_chain(certificate, options.get("ssl_keyfile"), password)
    return context


@contextmanager
def _usable(variable: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise _Found(
            f"{variable} is {path}: it cannot be used ({error.strerror or error})",
            "set it to a readable file in PEM format",
        ) from None


def _alert(server: str, error: ssl.SSLError) -> str:
    said = (error.reason or str(error)).lower().replace("_", " ")
    return f"{server} refuses the TLS connection: {said}"


def _speaks_kafka(line: socket.socket, server: str, *, secured: bool) -> None:
    """Ask which versions the broker knows; say what else it is, if it is none."""
    line.sendall(_framed(_API_VERSIONS, 0, b""))
    try:
        beginning = _exactly(line, 4)
    except ssl.SSLError as error:  # TLS 1.3 tells only now that it wants a certificate
        raise _Found(
            _alert(server, error), f"set {_CERTFILE} and TIDEGAUGE_KAFKA_SSL_KEYFILE"
        ) from None
    if not secured and beginning[0] in {_TLS_ALERT, _TLS_HANDSHAKE} and beginning[1] == _TLS_MAJOR:
        raise _Found(f"{server} speaks TLS", f"set {_PROTOCOL} to SSL, or to SASL_SSL with a login")
    (length,) = struct.unpack(">i", beginning)
    if not 0 < length < _LONGEST_ANSWER:
        what = "is a web server" if beginning == b"HTTP" else "speaks another protocol"
        raise _Found(f"{server} {what}, no broker", f"set {_SERVERS} to a broker")
    _exactly(line, length)


def _is_a_web_server(server: str) -> bool:
    """Ask in HTTP: a web server waits for the end of a line that Kafka's requests do not have."""
    try:
        with closing(_connect(server)) as line:
            line.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return _exactly(line, 5) == b"HTTP/"
    except (_Found, OSError, EOFError):
        return False


def _logs_in(line: socket.socket, server: str, options: Mapping[str, Any]) -> None:
    wanted = str(options["security_protocol"]).startswith("SASL")
    mechanism = options.get("sasl_mechanism") or ""
    line.sendall(_framed(_SASL_HANDSHAKE, 1, _string(mechanism if wanted else _NO_LOGIN)))
    code, rest = _answer(line)
    if code == _NO_LOGIN_HERE:
        if not wanted:
            return
        plain = str(options["security_protocol"]).removeprefix("SASL_")
        raise _Found(f"the listener {server} takes no login", f"set {_PROTOCOL} to {plain}")
    offered = ", ".join(_strings(rest))
    if not wanted:
        if offered == _NO_LOGIN:
            return  # the embedded broker repeats what it was asked for, and wants none
        raise _Found(
            f"{server} wants a login ({offered})",
            f"set {_PROTOCOL} to SASL_{options['security_protocol']}, {_MECHANISM} and the user",
        )
    if code == _UNSUPPORTED_MECHANISM:
        raise _Found(
            f"{server} does not offer the login {mechanism or '(none is set)'}",
            f"set {_MECHANISM} to one of {offered}",
        )
    if mechanism not in SASL_MECHANISMS:
        raise _Found(f"no login {mechanism} is known here", f"set {_MECHANISM} to another one")
    if code == _NO_ERROR:
        _authenticates(line, server, options)


def _authenticates(line: socket.socket, server: str, options: Mapping[str, Any]) -> None:
    name = options["sasl_mechanism"]
    user = options.get("sasl_plain_username")
    remedy = "mend TIDEGAUGE_KAFKA_SASL_USERNAME and TIDEGAUGE_KAFKA_SASL_PASSWORD"
    if name == "OAUTHBEARER" and options.get("sasl_oauth_token_provider") is None:
        raise _Found(
            "the login OAUTHBEARER needs a token",
            "set TIDEGAUGE_KAFKA_SASL_TOKEN_FILE, or TIDEGAUGE_KAFKA_SASL_TOKEN_URL with the user",
        )
    if name != "OAUTHBEARER" and not (user and options.get("sasl_plain_password")):
        raise _Found(f"the login {name} needs a user and a password", remedy)
    try:
        login: Any = SASL_MECHANISMS[name](**options)
        while not login.is_done():
            mine = login.auth_bytes()
            line.sendall(_framed(_SASL_AUTHENTICATE, 0, struct.pack(">i", len(mine)) + mine))
            code, rest = _answer(line)
            said, rest = _nullable(rest)
            if code:
                raise _Found(f"{server} refuses the login as {user} by {name}: {said}", remedy)
            (length,) = struct.unpack(">i", rest[:4])
            login.receive(rest[4 : 4 + max(length, 0)])
    except (KafkaError, ValueError) as error:
        raise _Found(f"the login at {server} by {name} fails: {error}", remedy) from None


def _framed(api: int, version: int, body: bytes) -> bytes:
    """Return a request with Kafka's header, version 1, and without a correlation."""
    header = struct.pack(">hhi", api, version, 0) + _string("tidegauge")
    return struct.pack(">i", len(header) + len(body)) + header + body


def _answer(line: socket.socket) -> tuple[int, bytes]:
    """Return the error code of an answer, and what follows it."""
    (length,) = struct.unpack(">i", _exactly(line, 4))
    answer = _exactly(line, min(max(length, 0), _LONGEST_ANSWER))
    (code,) = struct.unpack(">h", answer[4:6])
    return code, answer[6:]


def _exactly(line: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        piece = line.recv(length - len(found))
        if not piece:
            raise EOFError("no answer")
        found += piece
    return found


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _nullable(data: bytes) -> tuple[str, bytes]:
    (length,) = struct.unpack(">h", data[:2])
    length = max(length, 0)
    return data[2 : 2 + length].decode(errors="replace"), data[2 + length :]


def _strings(data: bytes) -> Iterator[str]:
    (number,) = struct.unpack(">i", data[:4])
    data = data[4:]
    for _ in range(number):
        text, data = _nullable(data)
        yield text
