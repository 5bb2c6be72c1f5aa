"""Errors of stream processing.

TidegaugeError
└── StreamError
    ├── AccuracyError
    ├── MergeError
    ├── ValueRangeError
    ├── ExtractorError
    ├── ExtractionError
    ├── DeadLetterRateError
    └── SnapshotError
        ├── SnapshotVersionError
        └── SnapshotSettingsError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "AccuracyError",
    "DeadLetterRateError",
    "ExtractionError",
    "ExtractorError",
    "MergeError",
    "SnapshotError",
    "SnapshotSettingsError",
    "SnapshotVersionError",
    "StreamError",
    "ValueRangeError",
]


class StreamError(TidegaugeError):
    """Base class of the errors of stream processing."""


class AccuracyError(StreamError):
    """A histogram's relative accuracy is not a number between 0 and 1."""

    def __init__(self, accuracy: float) -> None:
        """Name the value."""
        super().__init__(f"a histogram's accuracy must lie in (0, 1), got {accuracy!r}")


class ValueRangeError(StreamError):
    """A number cannot be counted in a histogram or in moments."""

    def __init__(self, value: float) -> None:
        """Name the value."""
        super().__init__(
            f"cannot count {value!r}: histograms and moments take finite numbers only, "
            "moments up to 1e100; "
            "leave the value out and count it as refused"
        )


class MergeError(StreamError):
    """Two sketches or histograms differ in a field that must be equal to add them."""

    def __init__(self, what: str, left: object, right: object) -> None:
        """Name the field that differs and both values."""
        super().__init__(
            f"cannot merge: {what} is {left!r} on one side and {right!r} on the other; "
            "merge only summaries that agree in it"
        )


class ExtractorError(StreamError):
    """An extractor broke its contract."""


class ExtractionError(StreamError):
    """An extractor raised: a service it uses is unavailable, or it cannot handle an event.

    The worker's state is unchanged; the same events may be measured again.
    """

    def __init__(self, kind: str, events: int, cause: Exception) -> None:
        """Name the extractor and what it raised."""
        super().__init__(
            f"the {kind} extractor could not measure {events} events: "
            f"{type(cause).__name__}: {cause}"
        )
        self.passing = getattr(cause, "passing", isinstance(cause, (OSError, TidegaugeError)))
        """Whether waiting may help: true of a network or service failure, false of a bug."""
        self.final = getattr(cause, "passing", True) is False
        """Whether the error itself says that trying again does not help."""


class DeadLetterRateError(StreamError):
    """Too large a share of the recent records could not be processed."""

    def __init__(self, *, rejected: int, records: int, limit: float, last: str) -> None:
        """Give the number of rejected records, the last reason and the remedies."""
        super().__init__(
            f"{rejected} of the last {records} records could not be processed, more than the "
            f"limit of {limit:.0%}; the last: {last}. Nothing of this batch was committed. "
            "Fix the producer or upgrade this worker and start it again, or raise the limit "
            "to have the records written as dead letters"
        )


class SnapshotError(StreamError):
    """A snapshot cannot be restored."""


class SnapshotVersionError(SnapshotError):
    """A snapshot was written in another format than this one reads."""

    def __init__(self, *, owner: str, found: object, known: int) -> None:
        """Name both versions and the remedy."""
        super().__init__(
            f"the snapshot of {owner} has version {found}, this release reads {known}: "
            "run the release that wrote it, or start the group under another name"
        )


class SnapshotSettingsError(SnapshotError):
    """A snapshot was written under settings that do not match this worker's."""

    def __init__(self, *, owner: str, setting: str, found: object, wanted: object) -> None:
        """Name the setting, both values and the remedy."""
        super().__init__(
            f"the snapshot of {owner} was made with {setting} = {found}, now it is {wanted}: "
            f"set {setting} back to {found}, or start the group under another name"
        )
