"""Bodies of requests: content encodings, byte order marks, and what is refused before it is read.

JSON does not say which of two equal names counts, and some servers ignore the case of names. A
request with two models could pass the gateway's check with one and be answered by the other.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
import zstandard

from tidegauge.gateway.errors import RefusedError, too_large
from tidegauge.gateway.multipart import is_multipart
from tidegauge.schemas.exchange import ErrorKind

__all__ = [
    "BYTE_ORDER_MARK",
    "READ",
    "decoded",
    "refuse_ambiguous",
    "refuse_complex",
    "without_lone_surrogates",
]

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_STEP: Final = 1 << 20
_WBITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_RAW_DEFLATE: Final = -15
_ZLIB_METHOD: Final = 8
_ZSTD: Final = b"zstd"
_NO_ENCODING: Final = frozenset((b"", b"identity"))
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
_ZSTD_STEP: Final = 512

_HIGH: Final = rb"[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = rb"[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATES: Final = re.compile(rb"\\u(?:%b\\u%b|%b|%b)" % (_HIGH, _LOW, _HIGH, _LOW))
_SMALL: Final = 16 * 1024
_MOST_DEPTH: Final = 128
_MOST_GROUPS: Final = 50_000
_MOST_VALUES: Final = 2_000_000
_MOST_STRINGS: Final = 250_000
_MOST_NAMES: Final = 100_000
_MOST_MEMBERS: Final = 1_000
_MOST_HALVES: Final = 100_000
_ESCAPE_BYTES: Final = 6
_STRUCTURE: Final = b'"{}[],:'
_BRACKET: Final = re.compile(rb"[{}\[\]]")
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _STRUCTURE)

READ: Final = frozenset(
    (
        *("model", "messages", "prompt", "input", "system", "instructions", "message"),
        *("system_prompt", "stream", "stream_options", "temperature", "top_p", "max_tokens"),
        *("max_completion_tokens", "max_output_tokens", "seed", "n", "response_format", "text"),
        *("structured_outputs", "tools", "functions", "metadata", "litellm_session_id"),
        *("conversation", "previous_response_id"),
    )
)
"""The names that the gateway reads at the top level of a request, over all APIs."""

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_AROUND_A_NAME: Final = len(b'"":0,')
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]')
_OBJECT: Final = re.compile(rb"[ \t\r\n]*\{")
_MOST_SEARCHED: Final = 1024 * 1024


async def decoded(body: bytes, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """Return a request's body without its content encoding and its byte order mark.

    Args:
        body: The body as it was sent.
        headers: The request's headers, names in lower case.
        limit: Longest decoded body in bytes.

    Raises:
        RefusedError: There are several encodings or an unknown one, the body is not in it, or it is
            too long.
    """
    listed = headers.get(b"content-encoding", b"").lower().split(b",")
    encodings = [name for each in listed if (name := each.strip()) not in _NO_ENCODING]
    if encodings:
        body = await _decompressed(body, b", ".join(encodings), limit)
    return body.removeprefix(BYTE_ORDER_MARK)


async def _decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding != _ZSTD and encoding not in _WBITS:
        raise RefusedError(
            ErrorKind.INVALID_REQUEST,
            "the request's content encoding is not supported: send gzip, deflate, zstd or none",
            message=f"The content encoding {encoding[:40].decode('latin-1')!r} is not supported: "
            "send gzip, deflate, zstd or none.",
            code="unsupported_content_encoding",
            status=415,
            headers=[(b"accept-encoding", b"gzip, deflate, zstd")],
        )
    decoded_body = bytearray()
    since = 0
    try:
        for piece in _zstd_pieces(body) if encoding == _ZSTD else _zlib_pieces(body, encoding):
            decoded_body += piece
            since += len(piece)
            if len(decoded_body) > limit:
                raise too_large(limit)
            if since >= _STEP:
                since = 0
                await asyncio.sleep(0)  # other requests have their turn
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise _undecodable(encoding) from error
    return bytes(decoded_body)


def _zlib_pieces(body: bytes, encoding: bytes) -> Iterator[bytes]:
    """Yield a decoded body in pieces of at most 1 MiB.

    Raises:
        zlib.error: The body is not in the encoding.
        EOFError: The body ends before its content does, or goes on after it.
    """
    wbits = _WBITS[encoding]
    if encoding == b"deflate" and body and body[0] & 15 != _ZLIB_METHOD:
        wbits = _RAW_DEFLATE  # as some clients send it
    decoder = zlib.decompressobj(wbits)
    rest = body
    while not decoder.eof and rest:
        yield decoder.decompress(rest, _STEP)
        rest = decoder.unconsumed_tail
    if not decoder.eof or decoder.unused_data:
        raise EOFError


def _zstd_pieces(body: bytes) -> Iterator[bytes]:
    """Yield a decoded body in pieces of at most 16 MiB; its window may have 8 MiB (RFC 9659).

    A block of zstd takes four bytes or more and holds at most 128 KiB.

    Raises:
        zstandard.ZstdError: The body is not in zstd.
        EOFError: As for ``_zlib_pieces``.
    """
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    for start in range(0, len(body), _ZSTD_STEP):
        if decoder.eof:
            raise EOFError
        yield decoder.decompress(body[start : start + _ZSTD_STEP])
    if not decoder.eof or decoder.unused_data:
        raise EOFError


def _undecodable(encoding: bytes) -> RefusedError:
    return RefusedError(
        ErrorKind.INVALID_REQUEST,
        f"the request's body is not valid {encoding.decode()}",
        code="invalid_content_encoding",
    )


def without_lone_surrogates(body: bytes) -> bytes:
    r"""Return JSON with U+FFFD in place of escaped surrogates that are no pair.

    Clients that cut texts between UTF-16 units send them; Python's decoder takes them, ours does
    not.

    Raises:
        RefusedError: There are more than 100,000 such escapes, which would take long.

    Example:
        >>> without_lone_surrogates(rb'["\ud83d", "\ud83d\ude00", "\\ud83d"]')
        b'["\\ufffd", "\\ud83d\\ude00", "\\\\ud83d"]'
    """
    halves = body.count(rb"\ud") + body.count(rb"\uD")
    if halves > _MOST_HALVES:
        raise _complex(f"{_MOST_HALVES} halves of characters, some of them alone")
    return _SURROGATES.sub(_paired, body) if halves else body


def _backslashes_before(body: bytes, end: int) -> int:
    """Return how many backslashes stand before a place, in time linear in their number."""
    length = 16
    while True:
        window = body[max(0, end - length) : end]
        run = len(window) - len(window.rstrip(b"\\"))
        if run < length:
            return run
        length *= 2


def _paired(found: re.Match[bytes]) -> bytes:
    """Return a pair of surrogates as it is, and U+FFFD for a single one."""
    escape = found[0]
    if (
        _backslashes_before(found.string, found.start()) % 2
    ):  # its backslash is escaped itself, so no escape begins here
        return escape[:_ESCAPE_BYTES] + (rb"\ufffd" if len(escape) > _ESCAPE_BYTES else b"")
    return escape if len(escape) > _ESCAPE_BYTES else rb"\ufffd"


def refuse_complex(body: bytes) -> None:
    """Refuse a JSON body that takes long to parse for its length.

    A body is complex if it has more than 50,000 objects and arrays, 250,000 strings, 100,000 names
    in all or 1,000 at the top, 2,000,000 values, or 128 levels. What stands in strings does not
    count. Bodies of up to 16 KiB are not examined.

    Raises:
        RefusedError: The body is complex.

    Example:
        >>> refuse_complex(b'{"prompt": ' + b"[" * 9000 + b"]" * 9000 + b"}")
        Traceback (most recent call last):
        ...
        tidegauge.gateway.errors.RefusedError: the request's JSON has more than 128 levels
    """
    if len(body) <= _SMALL or (body.startswith(b"--") and is_multipart(body)):
        return
    # Backslashes stand in strings only and pair up from the left, as ``replace`` does.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = plain.translate(None, _OTHERS)
    if structure.count(b'"') > 2 * _MOST_STRINGS:
        raise _complex(f"{_MOST_STRINGS} strings")
    structure = b"".join(structure.split(b'"')[::2])
    groups = structure.count(b"{") + structure.count(b"[")
    if groups > _MOST_GROUPS:
        raise _complex(f"{_MOST_GROUPS} objects and arrays")
    names = structure.count(b":")
    if names > _MOST_NAMES:
        raise _complex(f"{_MOST_NAMES} names")
    if groups + structure.count(b",") > _MOST_VALUES:
        raise _complex(f"{_MOST_VALUES} values")
    if names > _MOST_MEMBERS and _names_at_the_top(structure.replace(b",", b"")) > _MOST_MEMBERS:
        raise _complex(f"{_MOST_MEMBERS} names at its top")
    if _depth_exceeds(structure.translate(None, b",:"), _MOST_DEPTH):
        raise _complex(f"{_MOST_DEPTH} levels")


def _names_at_the_top(structure: bytes) -> int:
    """Return how many names the outermost object has.

    Args:
        structure: The brackets and colons of a body.
    """
    depth = names = end = 0
    for match in _BRACKET.finditer(structure):
        if depth == 1:
            names += match.start() - end
        depth += 1 if match[0] in b"{[" else -1
        end = match.end()
    return names


def _depth_exceeds(brackets: bytes, most: int) -> bool:
    """Whether brackets are nested deeper; each pass removes the innermost pairs of them."""
    for _ in range(most):
        shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return False  # nothing is left, or they are not balanced and parsing will fail
        brackets = shorter
    return True


def _complex(what: str) -> RefusedError:
    return RefusedError(
        ErrorKind.INVALID_REQUEST,
        f"the request's JSON has more than {what}",
        code="request_too_complex",
    )


def refuse_ambiguous(body: bytes) -> None:
    """Refuse a body with a name that the gateway reads twice, or in another case.

    A body that is no JSON object, or nested too deep, is left to its API.

    Raises:
        RefusedError: The body is ambiguous.

    Example:
        >>> refuse_ambiguous(b'{"model": "a", "Model": "b"}')
        Traceback (most recent call last):
        ...
        tidegauge.gateway.errors.RefusedError: the request has 'Model' beside or in place of 'model'
    """
    try:
        members = _members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if _OBJECT.match(body) and (readable := _readable(body)) != body:
            refuse_ambiguous(readable)
        return
    if not READ.issuperset(members):
        _refuse_other_case(members)
    # A later member of the same name overwrites one that takes its name, quotes, colon, value and
    # comma. The encoder writes no name longer than the client can, so that many bytes are missing.
    missing = len(body) - len(_encode(members))
    if missing < min(map(len, members), default=0) + _AROUND_A_NAME:
        return
    # There are blanks or escapes. Each member has a colon of its own, so an overwritten one shows
    # among the colons. So does a colon in a name, and then the names are read one by one.
    if body.count(b":") == len(members) + b"".join(members.values()).count(b":"):
        return
    if len(body) > _MOST_SEARCHED:  # to find which name would take long
        raise _ambiguous("a name twice, or one with a colon")
    for name in _names_twice(body):
        if name in READ:
            raise _ambiguous(f"{name!r} twice")


def _refuse_other_case(names: Iterable[str]) -> None:
    for name in names:
        if name not in READ and name.casefold() in READ:
            raise _ambiguous(f"{name[:64]!r} beside or in place of {name.casefold()!r}")


def _readable(body: bytes) -> bytes:
    """Return a body as the APIs read it, who take halves of characters and names in no UTF-8."""
    return without_lone_surrogates(body.decode("utf-8", "replace").encode())


def _names_twice(body: bytes) -> list[str]:
    """Return the names that stand more than once at the top level."""
    depth, last = 0, b""
    seen: set[str] = set()
    twice: list[str] = []
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif token == b":":
            if depth == 1:
                name = msgspec.json.decode(last, type=str)
                (twice.append if name in seen else seen.add)(name)
        else:
            last = token
    return twice


def _ambiguous(what: str) -> RefusedError:
    return RefusedError(
        ErrorKind.INVALID_REQUEST,
        f"the request has {what}",
        message=f"The request has {what}: send each name once, as the API spells it.",
        code="ambiguous_request",
    )
