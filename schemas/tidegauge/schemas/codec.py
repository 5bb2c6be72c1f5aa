"""Encodes and decodes events, and makes their CloudEvents headers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final, TypeVar, overload

import msgspec

from tidegauge.schemas.errors import DecodeError, DecodeReason, UnknownSchemaVersionError
from tidegauge.schemas.foreign_formats import foreign_format
from tidegauge.schemas.topics import Event

__all__ = ["TIME_HEADER", "cloud_event_headers", "decode", "encode", "rfc3339", "type_name"]

TIME_HEADER = "ce_time"
"""The header with an event's time, RFC 3339."""

E = TypeVar("E", bound=msgspec.Struct)
F = TypeVar("F", bound=msgspec.Struct)
G = TypeVar("G", bound=msgspec.Struct)


class _Envelope(msgspec.Struct):
    type: str = ""
    schema_version: int = 1


_envelope = msgspec.json.Decoder(_Envelope)


@cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(kind)


def type_name(kind: type[msgspec.Struct]) -> str:
    """Return the event's ``type``, such as ``tidegauge.request``."""
    return str(kind.__struct_config__.tag)


@cache
def _known_version(kind: type[msgspec.Struct]) -> int:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    return int(fields["schema_version"].default)


encode: Final[Callable[[Event], bytes]] = msgspec.json.Encoder().encode
"""Encodes an event as compact JSON."""


@overload
def decode(data: bytes, kind: type[E], /) -> E: ...


@overload
def decode(data: bytes, kind: type[E], other: type[F], /) -> E | F: ...


@overload
def decode(data: bytes, kind: type[E], other: type[F], third: type[G], /) -> E | F | G: ...


@overload
def decode(data: bytes, *kinds: type[Event]) -> Event: ...


def decode(data: bytes, *kinds: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode an event of one of the expected types.

    Unknown fields are ignored, so that fields added by a newer producer do no harm.

    Raises:
        DecodeError: The bytes are not a JSON object, the type is unexpected, or a field is wrong.
        UnknownSchemaVersionError: The event's version is newer than this reader's.
    """
    try:
        return _decode(data, kinds)
    except DecodeError as error:
        raise foreign_format(data) or error from error


def _decode(data: bytes, kinds: tuple[type[msgspec.Struct], ...]) -> msgspec.Struct:
    envelope = _read(_envelope, data)
    kind = next((kind for kind in kinds if type_name(kind) == envelope.type), None)
    if kind is None:
        expected = " or ".join(type_name(kind) for kind in kinds)
        raise DecodeError(
            DecodeReason.UNKNOWN_TYPE, f"expected {expected}, found type {envelope.type[:80]!r}"
        )
    if envelope.schema_version > _known_version(kind):
        raise UnknownSchemaVersionError(
            type_name=envelope.type, found=envelope.schema_version, known=_known_version(kind)
        )
    return _read(_decoder(kind), data)


def _read(decoder: msgspec.json.Decoder[E], data: bytes) -> E:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise DecodeError(DecodeReason.INVALID_FIELD, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, str(error)) from error


def cloud_event_headers(
    *, event_id: str, kind: type[Event] | str, source: str, time_ms: int
) -> list[tuple[str, bytes]]:
    """Return the CloudEvents 1.0 attributes as Kafka headers (binary content mode).

    Args:
        event_id: Unique within the source; repeated when the event is sent again.
        kind: The event's type, or its name.
        source: The producer.
        time_ms: Event time, Unix milliseconds.
    """
    return [
        *_fixed_headers(kind, source),
        ("ce_id", event_id.encode()),
        (TIME_HEADER, rfc3339(time_ms).encode()),
    ]


@lru_cache(maxsize=64)
def _fixed_headers(kind: type[Event] | str, source: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that all events of a type have that a producer makes."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", (kind if isinstance(kind, str) else type_name(kind)).encode()),
        ("ce_source", source.encode()),
        ("content-type", b"application/json"),
    )


_MILLISECONDS: Final = tuple(f".{rest:03d}Z" for rest in range(1000))


def rfc3339(time_ms: int) -> str:
    """Return a Unix time in milliseconds as text.

    Example:
        >>> rfc3339(1_700_000_000_123)
        '2023-11-14T22:13:20.123Z'

    Raises:
        ValueError: No date has that time.
    """
    seconds, rest = divmod(time_ms, 1000)
    return _second(seconds) + _MILLISECONDS[rest]


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """Return a Unix time in seconds as text; events that are made together share their second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
