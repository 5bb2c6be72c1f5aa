"""Recognises formats in which other producers write events, to say what is wrong with a record."""

from __future__ import annotations

import json

import msgspec

from tidegauge.schemas.errors import DecodeError, DecodeReason

__all__ = ["foreign_format"]

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
}
_REGISTRY_BYTES = 5


class _CloudEvent(msgspec.Struct):
    specversion: msgspec.Raw
    type: msgspec.Raw


_cloud_event = msgspec.json.Decoder(_CloudEvent)


def foreign_format(data: bytes) -> DecodeError | None:
    r"""Return why bytes that are no event of ours cannot be read, None if it is not known.

    Example:
        >>> foreign_format(b"\x00\x00\x00\x00\x07{}").reason.value
        'schema_registry'
    """
    if not data:
        return DecodeError(
            DecodeReason.EMPTY, "the record has no value: tombstones mean nothing in this topic"
        )
    if data[0] == 0 and len(data) > _REGISTRY_BYTES:
        schema_id = int.from_bytes(data[1:_REGISTRY_BYTES])
        return DecodeError(
            DecodeReason.SCHEMA_REGISTRY,
            f"the value begins with a schema registry's framing (schema {schema_id}): "
            "write events as plain JSON, with a serializer that knows no registry",
        )
    for magic, name in _COMPRESSED.items():
        if data.startswith(magic):
            return DecodeError(
                DecodeReason.COMPRESSED,
                f"the value itself is compressed with {name}: write plain JSON, and let the "
                "Kafka client compress whole batches",
            )
    return _foreign_json(data)


def _foreign_json(data: bytes) -> DecodeError | None:
    match data.lstrip()[:1]:
        case b"[":
            return DecodeError(
                DecodeReason.SEVERAL_EVENTS, "the value is an array: write one event a record"
            )
        case b'"':
            return DecodeError(
                DecodeReason.ENCODED_TWICE,
                "the value is a JSON string and no object: it was encoded twice",
            )
        case b"{" if _is_cloud_event(data):
            return DecodeError(
                DecodeReason.STRUCTURED_CLOUD_EVENT,
                "the value is a CloudEvent in structured mode: write it in binary mode, its "
                "attributes as headers ce_… and its data as the value",
            )
        case b"{" if constants := _constants(data):
            return DecodeError(
                DecodeReason.NOT_A_NUMBER,
                f"the value holds {', '.join(constants)}, which JSON does not have: leave out "
                "numbers that are none",
            )
    return None


def _constants(data: bytes) -> list[str]:
    """Return the names that stand in place of numbers, if the rest is JSON."""
    found: dict[str, None] = {}
    try:
        json.loads(data, parse_constant=found.setdefault)
    except (ValueError, RecursionError):
        return []
    return sorted(found)


def _is_cloud_event(data: bytes) -> bool:
    try:
        _cloud_event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
