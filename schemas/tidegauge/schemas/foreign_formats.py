"""Recognises formats in which other producers write events, to say what is wrong with a record."""

from __future__ import annotations

import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import TypeVar

import msgspec

from tidegauge.schemas.errors import DecodeError, DecodeReason

__all__ = ["foreign_format"]

T = TypeVar("T")

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
}
_REGISTRY_BYTES = 5
_GLUE = (b"\x03\x00", b"\x03\x05")
"""What values of AWS Glue's schema registry begin with: its version, and the compression."""


class _CloudEvent(msgspec.Struct):
    specversion: msgspec.Raw
    type: msgspec.Raw


class _ConnectEnvelope(msgspec.Struct):
    schema: msgspec.Raw
    payload: msgspec.Raw


_cloud_event = msgspec.json.Decoder(_CloudEvent)
_connect_envelope = msgspec.json.Decoder(_ConnectEnvelope)


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
    if (found := _foreign_text(data)) is not None:
        return found
    if data[0] == 0 and len(data) > _REGISTRY_BYTES:
        schema_id = int.from_bytes(data[1:_REGISTRY_BYTES])
        return DecodeError(
            DecodeReason.SCHEMA_REGISTRY,
            f"the value begins with a schema registry's framing (schema {schema_id}): "
            "write events as plain JSON, with a serializer that knows no registry",
        )
    if data.startswith(_GLUE):
        return DecodeError(
            DecodeReason.SCHEMA_REGISTRY,
            "the value begins with the framing of AWS Glue's schema registry: write events as "
            "plain JSON, with a serializer that knows no registry",
        )
    for magic, name in _COMPRESSED.items():
        if data.startswith(magic):
            return DecodeError(
                DecodeReason.COMPRESSED,
                f"the value itself is compressed with {name}: write plain JSON, and let the "
                "Kafka client compress whole batches",
            )
    return _foreign_json(data)


def _foreign_text(data: bytes) -> DecodeError | None:
    if data.startswith(BOM_UTF8):
        return DecodeError(
            DecodeReason.NOT_UTF8, "the value begins with a byte order mark: write UTF-8 without"
        )
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE, b'{\0"\0', b'\0{\0"')):
        return DecodeError(DecodeReason.NOT_UTF8, "the value is in UTF-16: write UTF-8")
    if data.startswith(b"eyJ"):
        return DecodeError(
            DecodeReason.ENCODED_TWICE, "the value is JSON in base 64: write the JSON itself"
        )
    if data.startswith(b"{'"):
        return DecodeError(
            DecodeReason.NOT_JSON,
            "the value has single quotes, as languages print their objects: encode it as JSON",
        )
    return None


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
        case b"{":
            return _foreign_object(data)
    return None


def _foreign_object(data: bytes) -> DecodeError | None:
    if _holds_several(data):
        return DecodeError(
            DecodeReason.SEVERAL_EVENTS,
            "the value holds several JSON objects: write one event a record",
        )
    if _is(_connect_envelope, data):
        return DecodeError(
            DecodeReason.CONNECT_ENVELOPE,
            "the value is wrapped with its schema by Kafka Connect's JSON converter: set "
            "value.converter.schemas.enable=false there",
        )
    if _is(_cloud_event, data):
        return DecodeError(
            DecodeReason.STRUCTURED_CLOUD_EVENT,
            "the value is a CloudEvent in structured mode: write it in binary mode, its "
            "attributes as headers ce_… and its data as the value",
        )
    if constants := _constants(data):
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


def _holds_several(data: bytes) -> bool:
    text = data.decode(errors="replace").strip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return text[end:].lstrip().startswith("{")


def _is(decoder: msgspec.json.Decoder[T], data: bytes) -> bool:
    try:
        decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
