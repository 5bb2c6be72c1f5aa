"""Every error of tidegauge has ``TidegaugeError`` as its base.

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
    """Something went wrong that tidegauge can explain."""


class SchemaError(TidegaugeError):
    """An event does not have the form that its schema promises."""


class MonitorNameError(SchemaError):
    """A text is not the name of a monitor."""


class DecodeReason(StrEnum):
    """Why bytes are not an event; a dead letter carries it."""

    MALFORMED_JSON = "malformed_json"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SCHEMA_VERSION = "unknown_schema_version"
    INVALID_FIELD = "invalid_field"


class DecodeError(SchemaError):
    """Bytes cannot be read as an event."""

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        """Keep the reason for the dead letter and say what is wrong and where."""
        super().__init__(f"cannot decode the event ({reason.value}): {detail}")
        self.reason = reason
        self.detail = detail


class UnknownSchemaVersionError(DecodeError):
    """The event was written by a newer tidegauge than this one."""

    def __init__(self, *, type_name: str, found: int, known: int) -> None:
        """Name both versions and the way out."""
        super().__init__(
            DecodeReason.UNKNOWN_SCHEMA_VERSION,
            f"{type_name} has schema_version {found}, this reader knows up to {known}: "
            "upgrade the readers before the producers, then redrive the dead letters",
        )
