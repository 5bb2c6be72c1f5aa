"""Client keys: they identify a request's customer and what the customer may do.

A key is ``tg-<id>-<secret>``. The file stores the SHA-256 of the whole key. The secret has 160
random bits, so it cannot be guessed from the hash even though the hash is fast; a slow hash
would cost every request. The entry is found by the id, and the hash is compared in constant
time. It stands in ``Authorization``, ``x-api-key`` or ``api-key``.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.gateway.errors import KeyFileError, RefusedError
from tidegauge.schemas.exchange import Capture, ErrorKind

__all__ = [
    "ANONYMOUS",
    "CREDENTIALS",
    "REPEATED",
    "Caller",
    "Customer",
    "KeyRecord",
    "KeyRing",
    "authorization",
    "change",
    "create",
    "load",
    "of_both",
    "read_headers",
    "revoke",
    "save",
]

_BARE: Final = (b"x-api-key", b"api-key")
CREDENTIALS: Final = frozenset({b"authorization", *_BARE})
"""Headers that may carry a key: OpenAI's, Anthropic's and Azure's."""

REPEATED: Final = b"\x00repeated"
"""The value of a credential that a request has more than once; no header can contain it."""

_PREFIX: Final = "tg"
_PARTS: Final = 3


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a client key, with the key's limits.

    Attributes:
        name: The customer's name, on every event.
        key_id: Id of the key; limits are counted by it.
        models: Models that the key may use; None for all.
        requests_per_minute: Limit on requests, None for none.
        tokens_per_minute: Limit on input and output tokens, None for none.
        budget_usd_per_day: Limit on the cost of a UTC day, None for none.
        capture: How much of the customer's text events carry; None for the gateway's setting.
    """

    name: str
    key_id: str
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_usd_per_day: float | None = None
    capture: Capture | None = None

    @property
    def limited(self) -> bool:
        """Whether any limit applies."""
        return (
            self.requests_per_minute is not None
            or self.tokens_per_minute is not None
            or self.budget_usd_per_day is not None
        )

    def may_use(self, model: str) -> bool:
        """Whether the key may use a model."""
        return self.models is None or model in self.models


ANONYMOUS: Final = Customer(name="anonymous", key_id="anonymous")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key in the file; for fields not listed here see ``Customer``.

    Attributes:
        id: The key's public part.
        sha256: Hash of the whole key, hexadecimal.
        created: When the key was created, ISO date and time.
        customer: The customer's name.
        revoked: When the key was revoked, None while it is valid.
    """

    id: str
    sha256: str
    created: str
    customer: str
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_usd_per_day: float | None = None
    capture: Capture | None = None
    revoked: str | None = None

    def as_customer(self) -> Customer:
        """Return the key's customer."""
        return Customer(
            name=self.customer,
            key_id=self.id,
            models=self.models,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            budget_usd_per_day=self.budget_usd_per_day,
            capture=self.capture,
        )


class _File(msgspec.Struct, frozen=True):
    keys: tuple[KeyRecord, ...] = ()


def of_both(name: bytes, first: bytes, second: bytes) -> bytes:
    """Return the value of a header that a request has twice.

    A credential is marked, since either could be meant. Content encodings are a list, which may
    stand in several lines (RFC 9110, section 5.3). Of any other header, the last one counts.

    Example:
        >>> of_both(b"content-encoding", b"gzip", b"br"), of_both(b"accept", b"a/b", b"c/d")
        (b'gzip, br', b'c/d')
    """
    if name == b"content-encoding":
        return b"%b, %b" % (first, second)
    return REPEATED if name in CREDENTIALS else second


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    r"""Return headers by name; for those that a request has twice, see ``of_both``.

    Args:
        pairs: Names in lower case, and values.

    Example:
        >>> read_headers([(b"api-key", b"a"), (b"accept", b"b"), (b"api-key", b"c")])
        {b'api-key': b'\x00repeated', b'accept': b'b'}
    """
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = of_both(name, headers[name], value) if name in headers else value
    return headers


def authorization(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the request's key as the value of ``Authorization``; None without a key.

    Raises:
        RefusedError: The request has more than one key, so that either could be meant.

    Example:
        >>> authorization({b"x-api-key": b"tg-1-2"})
        b'Bearer tg-1-2'
    """
    found = headers.get(b"authorization")
    if not headers.keys().isdisjoint(_BARE):
        for name in _BARE:
            value = headers.get(name)
            if value is not None:
                key = b"Bearer " + value
                if found is not None and found != key:
                    raise _several()
                found = key
    if found is not None and found.endswith(REPEATED):
        raise _several()
    return found


def _several() -> RefusedError:
    return RefusedError(
        ErrorKind.UNAUTHORIZED,
        "the request has more than one API key: send one",
        code="invalid_api_key",
        headers=[(b"www-authenticate", b"Bearer")],
    )


class KeyRing:
    """The keys in force."""

    def __init__(self, records: Iterable[KeyRecord]) -> None:
        self._valid = {
            record.id: (record.sha256.encode(), record.as_customer())
            for record in records
            if record.revoked is None
        }

    def __len__(self) -> int:
        """Return the number of keys in force."""
        return len(self._valid)

    def find(self, key: str) -> Customer | None:
        """Return the customer of a key, or None for a wrong key.

        An unknown id costs the same comparison as a wrong secret.
        """
        parts = key.split("-")
        key_id = parts[1] if len(parts) == _PARTS else ""
        expected, customer = self._valid.get(key_id, (b"0" * 64, None))
        found = _hash(key).encode()
        return customer if hmac.compare_digest(expected, found) else None


class Caller:
    """Identifies the customer of each request on one connection.

    A header equal to the last valid one is not hashed again while the same key ring is in
    force. The stored header is no extra risk, since the connection's last request is in memory
    anyway.

    Attributes:
        authorization: The current request's ``authorization`` header.
    """

    __slots__ = ("_customer", "_ring", "_valid", "authorization")

    def __init__(self, authorization: bytes | None = None) -> None:
        self.authorization = authorization
        self._ring: KeyRing | None = None
        self._valid = b""
        self._customer: Customer | None = None

    def identify(self, ring: KeyRing) -> Customer | None:
        """Return the customer of the header's key; None if the key is missing or wrong."""
        header = self.authorization
        if header is None or not len(ring):
            return None
        if ring is self._ring and hmac.compare_digest(header, self._valid):
            return self._customer
        scheme, _, key = header.decode("latin-1").partition(" ")
        customer = ring.find(key.strip()) if scheme.lower() == "bearer" else None
        if customer is not None:
            self._ring, self._valid, self._customer = ring, header, customer
        return customer


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def create(customer: Customer, *, created: str) -> tuple[str, KeyRecord]:
    """Create a key for a customer; ``customer.key_id`` is replaced.

    Returns:
        The key, to be shown once, and the record to store.
    """
    key_id = secrets.token_hex(6)
    key = f"{_PREFIX}-{key_id}-{secrets.token_hex(20)}"
    record = KeyRecord(
        id=key_id,
        sha256=_hash(key),
        created=created,
        customer=customer.name,
        models=customer.models,
        requests_per_minute=customer.requests_per_minute,
        tokens_per_minute=customer.tokens_per_minute,
        budget_usd_per_day=customer.budget_usd_per_day,
        capture=customer.capture,
    )
    return key, record


def revoke(records: Iterable[KeyRecord], key_id: str, *, revoked: str) -> tuple[KeyRecord, ...]:
    """Return the records with one of them revoked.

    Raises:
        KeyFileError: No key has this id.
    """
    records = tuple(records)
    if key_id not in {record.id for record in records}:
        raise KeyFileError(f"no key has the id {key_id!r}: `tidegauge keys list` shows them")
    return tuple(
        msgspec.structs.replace(record, revoked=record.revoked or revoked)
        if record.id == key_id
        else record
        for record in records
    )


def change(
    path: Path, edit: Callable[[tuple[KeyRecord, ...]], Iterable[KeyRecord]]
) -> tuple[KeyRecord, ...]:
    """Change the key file while no other process changes it.

    The lock is on a file beside it, since the key file itself is replaced.

    Args:
        path: The key file; made if absent.
        edit: Returns the new records for the present ones; whatever it raises, nothing changes.

    Returns:
        The new records.

    Raises:
        KeyFileError: The file cannot be read, locked or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise KeyFileError(f"cannot lock the key file: {error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        records = tuple(edit(load(path)))
        save(path, records)
    finally:
        os.close(handle)
    return records


def load(path: Path) -> tuple[KeyRecord, ...]:
    """Read the key file; a missing file has no keys.

    Raises:
        KeyFileError: The file cannot be read or is malformed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeyFileError(f"cannot read the key file: {error}") from error
    try:
        return msgspec.json.decode(data, type=_File).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyFileError(f"key file {path}: {error}") from error


def save(path: Path, records: Iterable[KeyRecord]) -> None:
    """Replace the key file atomically, readable only by its owner.

    Raises:
        KeyFileError: The file cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(_File(tuple(records))), indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp creates the file readable only by its owner.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise KeyFileError(f"cannot write the key file: {error}") from error
