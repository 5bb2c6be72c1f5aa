"""The base class of tidegauge's errors, and the errors of schemas.

TidegaugeError
└── SchemaError
    ├── DecodeError
    │   └── UnknownSchemaVersionError
    └── MonitorNameError
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "DecodeError",
    "DecodeReason",
    "MonitorNameError",
    "SchemaError",
    "TidegaugeError",
    "UnknownSchemaVersionError",
]


class TidegaugeError(Exception):
    """The base class of tidegauge's errors."""


class SchemaError(TidegaugeError):
    """Data do not have the form that the schema requires."""


class MonitorNameError(SchemaError):
    """A text is not the name of a monitor."""


class DecodeReason(StrEnum):
    """Why bytes could not be decoded; the dead letter carries the reason."""

    MALFORMED_JSON = "malformed_json"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SCHEMA_VERSION = "unknown_schema_version"
    INVALID_FIELD = "invalid_field"
    EMPTY = "empty"
    NOT_UNPACKED = "not_unpacked"
    SCHEMA_REGISTRY = "schema_registry"
    COMPRESSED = "compressed"
    STRUCTURED_CLOUD_EVENT = "structured_cloud_event"
    SEVERAL_EVENTS = "several_events"
    ENCODED_TWICE = "encoded_twice"
    TIME_UNIT = "time_unit"
    NOT_A_NUMBER = "not_a_number"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    CONNECT_ENVELOPE = "connect_envelope"


class DecodeError(SchemaError):
    """Bytes cannot be read as an event."""

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        """Keep the reason, for the dead letter, and the detail."""
        super().__init__(f"cannot decode the event ({reason.value}): {detail}")
        self.reason = reason
        self.detail = detail


class UnknownSchemaVersionError(DecodeError):
    """The event was written by a newer tidegauge than this one."""

    def __init__(self, *, type_name: str, found: int, known: int) -> None:
        """Name both versions and what to do."""
        super().__init__(
            DecodeReason.UNKNOWN_SCHEMA_VERSION,
            f"{type_name} has schema_version {found}, this reader knows up to {known}: "
            "upgrade the readers before the producers, then redrive the dead letters",
        )
