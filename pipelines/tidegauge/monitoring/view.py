"""The state of the monitor at a moment, as one frozen value to show.

The page, the JSON API, the metrics and the reports read it and nothing else.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegauge.monitoring.ledger import Ledger
from tidegauge.monitoring.ledger_hours import LedgerHour
from tidegauge.monitoring.trends import AlarmTrend, TopicTrend, TrendPoint
from tidegauge.schemas.findings import Alert, Signal, State, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind

__all__ = [
    "BaselineInUse",
    "MetricComparisonView",
    "MonitorView",
    "Outcome",
    "SegmentView",
    "SilenceInForce",
    "StateChange",
    "VersionComparisonView",
]

Outcome = Literal["better", "not worse", "worse", "undecided"]
"""Outcome of the comparison of two versions by one metric."""


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a monitor's state on a segment.

    Attributes:
        monitor: Name of the monitor.
        signal: Its signal.
        segment: Slice of the traffic.
        time_ms: End of the window, or the moment, of the change.
        before: State until then; None before the first verdict.
        after: State since then.
        sentence: The verdict's sentence.
    """

    monitor: str
    signal: Signal
    segment: Segment
    time_ms: int
    before: State | None
    after: State
    sentence: str


class SegmentView(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one segment.

    Attributes:
        segment: Slice of the traffic.
        first_ms: Start of its first window.
        last_ms: End of its last closed window with events.
        display_range: Kind of worker -> sketch of the display range.
        total: Kind of worker -> sketch of everything since the monitor's state began.
        trend: The slots of the display range that have events, oldest first.
        history: The slots of the last six hours, three days and 30 days: see
            ``trends.RESOLUTIONS``.
    """

    segment: Segment
    first_ms: int
    last_ms: int
    display_range: dict[SketchKind, Sketch]
    total: dict[SketchKind, Sketch]
    trend: tuple[TrendPoint, ...] = ()
    history: tuple[tuple[TrendPoint, ...], ...] = ()


class MetricComparisonView(msgspec.Struct, frozen=True, kw_only=True):
    """A new version compared with the old one by one metric, a rate of one property.

    Attributes:
        metric: ``latency``, ``first_token``, ``errors``, ``cost`` or
            ``quality.<judge>.<score>``.
        outcome: ``undecided`` until the interval decides.
        property: The unwanted property that is counted, in words.
        margin: Margin by which the new rate may exceed the old one and be ``not worse``.
        old_rate: Rate of the old version, None without events.
        new_rate: Rate of the new version, None without events.
        low: Lower end of the interval of new minus old, valid at any time.
        high: Upper end.
        old_events: Events of the old version.
        new_events: Events of the new version.
        decided_ms: Since when it is this outcome; later data may take it back.
        way: ``side by side`` or ``one after the other``: where the numbers come from.
        note: Why the outcome is undecided, and from when it may not be.
    """

    metric: str
    outcome: Outcome
    property: str
    margin: float
    old_rate: float | None
    new_rate: float | None
    low: float
    high: float
    old_events: int
    new_events: int
    decided_ms: int | None = None
    way: str = "side by side"
    note: str = ""


class VersionComparisonView(msgspec.Struct, frozen=True, kw_only=True):
    """A model's new version compared with the one before.

    Attributes:
        old: Segment of the version before.
        new: Segment of the new version.
        since_ms: Start of the new version's first window.
        metrics: The comparison by each metric.
    """

    old: Segment
    new: Segment
    since_ms: int
    metrics: tuple[MetricComparisonView, ...]


class BaselineInUse(msgspec.Struct, frozen=True, kw_only=True):
    """The active baseline of a kind.

    Attributes:
        kind: ``drift`` or ``rates``.
        baseline_id: Its identity.
        since_ms: When this monitor began to use it.
        monitors: Names of the monitors that are tested against it.
        segments: Keys of the segments that have bands of their own.
    """

    kind: BaselineKind
    baseline_id: str
    since_ms: int
    monitors: tuple[str, ...]
    segments: tuple[str, ...]


class SilenceInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A silence: the monitor goes on testing the segment and publishes no firing alert."""

    monitor: str
    segment: str
    until_ms: int | None
    who: str
    note: str


class MonitorView(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the monitor, to show.

    Attributes:
        time_ms: Time at which the view was taken.
        started_ms: First event time that the monitor's state has seen; 0 before any.
        window_ms: Length of a window.
        display_range_ms: Length of the display range.
        segments: Segments in order of appearance.
        verdicts: The latest verdict of each monitor and segment. Drift is tested over all
            versions of a model, so its segments have an empty version.
        history: Changes of state, newest last, bounded.
        alerts: The alarms that fire.
        ledger: The ledger of events.
        ledger_hours: What it grew by in each of the last hours, oldest first; the last goes on.
        progress: The newest report of each worker's partition.
        version_comparisons: Comparisons of new versions with old ones, newest last.
        baselines: The active baselines.
        silences: Silences in force.
        alarm_trends: Alarm's identity -> the rate by which it is known, over time.
        topics: Segment's key -> what people asked for, hour by hour over three days.
    """

    time_ms: int
    started_ms: int
    window_ms: int
    display_range_ms: int
    segments: tuple[SegmentView, ...]
    verdicts: tuple[Verdict, ...]
    history: tuple[StateChange, ...]
    alerts: tuple[Alert, ...]
    ledger: Ledger
    progress: tuple[Progress, ...]
    version_comparisons: tuple[VersionComparisonView, ...]
    baselines: tuple[BaselineInUse, ...] = ()
    silences: tuple[SilenceInForce, ...] = ()
    alarm_trends: dict[str, AlarmTrend] = {}
    ledger_hours: tuple[LedgerHour, ...] = ()
    topics: dict[str, TopicTrend] = {}

    def verdict(self, monitor: str, segment: Segment) -> Verdict | None:
        """Return the latest verdict of a monitor on exactly this segment."""
        return next(
            (v for v in self.verdicts if v.monitor == monitor and v.segment == segment), None
        )

    def verdicts_on(self, segment: Segment) -> tuple[Verdict, ...]:
        """Return the verdicts on a segment and on the wider segments that contain it."""
        concerned = {segment, *segment.parents()}
        return tuple(verdict for verdict in self.verdicts if verdict.segment in concerned)
