"""Events, topics and their codec, which all parts of tidegauge share."""

from tidegauge.schemas.codec import cloud_event_headers, decode, encode, type_name
from tidegauge.schemas.errors import (
    DecodeError,
    DecodeReason,
    SchemaError,
    TidegaugeError,
    UnknownSchemaVersionError,
)
from tidegauge.schemas.segments import OTHER, Segment
from tidegauge.schemas.topics import ALL_TOPICS, Event, Topic

__all__ = [
    "ALL_TOPICS",
    "OTHER",
    "DecodeError",
    "DecodeReason",
    "Event",
    "SchemaError",
    "Segment",
    "TidegaugeError",
    "Topic",
    "UnknownSchemaVersionError",
    "cloud_event_headers",
    "decode",
    "encode",
    "type_name",
]
