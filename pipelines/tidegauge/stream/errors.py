"""What can go wrong in the stream core.

TidegaugeError
└── StreamError
    ├── AccuracyError
    ├── MergeError
    ├── ValueRangeError
    ├── MeterError
    └── SnapshotError
        ├── SnapshotVersionError
        └── SnapshotSettingsError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "AccuracyError",
    "MergeError",
    "MeterError",
    "SnapshotError",
    "SnapshotSettingsError",
    "SnapshotVersionError",
    "StreamError",
    "ValueRangeError",
]


class StreamError(TidegaugeError):
    """The stream core cannot do what was asked."""


class AccuracyError(StreamError):
    """A histogram's relative accuracy is not a number between 0 and 1."""

    def __init__(self, accuracy: float) -> None:
        """Name the value."""
        super().__init__(f"a histogram's accuracy must lie in (0, 1), got {accuracy!r}")


class ValueRangeError(StreamError):
    """A number has no place in a histogram or in moments."""

    def __init__(self, value: float) -> None:
        """Name the value."""
        super().__init__(
            f"cannot count {value!r}: histograms and moments take finite numbers only; "
            "leave such a value out and count that you did"
        )


class MergeError(StreamError):
    """Two summaries speak of different things, so their counts may not be added."""

    def __init__(self, what: str, left: object, right: object) -> None:
        """Name the field that differs and both values."""
        super().__init__(
            f"cannot merge: {what} is {left!r} on one side and {right!r} on the other; "
            "merge only what agrees in it"
        )


class MeterError(StreamError):
    """A meter broke its contract."""


class SnapshotError(StreamError):
    """A snapshot cannot be restored."""


class SnapshotVersionError(SnapshotError):
    """A snapshot was written in another format than this one reads."""

    def __init__(self, *, owner: str, found: object, known: int) -> None:
        """Name both versions and the way out."""
        super().__init__(
            f"the snapshot of {owner} has version {found}, this release reads {known}: "
            "run the release that wrote it, or start the group under another name"
        )


class SnapshotSettingsError(SnapshotError):
    """A snapshot was written under other settings, which its blocks depend on."""

    def __init__(self, *, owner: str, setting: str, found: object, wanted: object) -> None:
        """Name the setting, both values and the way out."""
        super().__init__(
            f"the snapshot of {owner} was made with {setting} = {found}, now it is {wanted}: "
            f"set {setting} back to {found}, or start the group under another name"
        )
