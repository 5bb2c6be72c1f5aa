"""How the monitor is set up, as one frozen value, and how its false-alarm budget is shared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tidegauge.monitoring.catalog import signal_of
from tidegauge.monitoring.errors import PlanError
from tidegauge.schemas.findings import Signal
from tidegauge.schemas.sketches import SketchKind
from tidegauge.schemas.topics import REQUESTS, RESPONSES

__all__ = ["MINIMUM_EFFECT", "SHARES", "MonitorPlan", "log_threshold", "monitor_shares"]

_DAY_SECONDS = 86_400.0

SHARES: Mapping[Signal, float] = MappingProxyType(
    {"drift": 0.3, "quality": 0.25, "latency": 0.2, "errors": 0.15, "cost": 0.1}
)
"""Signal -> its part of the false-alarm budget; they sum to 1."""

MINIMUM_EFFECT: Mapping[Signal, float] = MappingProxyType(
    {"drift": 1.1, "quality": 1.25, "latency": 1.2, "errors": 1.2, "cost": 1.2}
)
"""Signal -> rate ratio to the band's edge below which a significant shift is only ``info``."""


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """The monitor's settings.

    Attributes:
        window_ms: Length of a window: the detectors' step.
        false_alarm_days: The promise: at most one false alarm in so many days, over all
            monitors and segments together.
        display_range_ms: Length of the display range.
        partitions: Topic -> number of partitions: windows of a kind close once all of its
            topic's partitions have reported.
        expected: Kinds of workers that must report, else their silence is an alarm.
        silent_ms: A worker's partition that has not reported for so long is silent.
        settle_ms: See ``ledger.account``.
        low_data_events: Events below which a monitor says ``low_data`` instead of ``ok``.
        no_data_ms: A segment without events for so long says ``no_data``.
        most_segments: Segments beyond it are counted in ``other``.
        minimum_effect: Signal -> rate ratio, see ``MINIMUM_EFFECT``.
        swap_alpha: Chance that a comparison after a swap ever errs on one measure.
    """

    window_ms: int = 10_000
    false_alarm_days: float = 30.0
    display_range_ms: int = 600_000
    partitions: Mapping[str, int] = field(
        default_factory=lambda: {topic.name: topic.partitions for topic in (REQUESTS, RESPONSES)}
    )
    expected: tuple[SketchKind, ...] = ("drift", "vitals", "quality")
    silent_ms: int = 60_000
    settle_ms: int = 60_000
    low_data_events: int = 30
    no_data_ms: int = 300_000
    most_segments: int = 32
    minimum_effect: Mapping[Signal, float] = field(default_factory=lambda: dict(MINIMUM_EFFECT))
    swap_alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what cannot be kept.

        Raises:
            PlanError: A number is out of its range.
        """
        positive = {
            "window_ms": self.window_ms,
            "false_alarm_days": self.false_alarm_days,
            "display_range_ms": self.display_range_ms,
            "silent_ms": self.silent_ms,
            "most_segments": self.most_segments,
        }
        for name, value in positive.items():
            if not value > 0:
                raise PlanError(f"{name} must be above 0, got {value}")
        if not 0 < self.swap_alpha < 1:
            raise PlanError(f"swap_alpha is a chance between 0 and 1, got {self.swap_alpha}")


def monitor_shares(monitors: Iterable[str]) -> dict[str, float]:
    """Divide each signal's part of the budget evenly among its monitors.

    Example:
        >>> monitor_shares(["latency.total", "latency.first_token", "errors.rate"])
        {'latency.total': 0.1, 'latency.first_token': 0.1, 'errors.rate': 0.15}
    """
    names = list(monitors)
    siblings = Counter(signal_of(name) for name in names)
    return {name: SHARES[signal_of(name)] / siblings[signal_of(name)] for name in names}


def log_threshold(plan: MonitorPlan, share: float, rank: int) -> float:
    """Return the log of the mean time to a false alarm that one detector owes, in seconds.

    The k-th segment gets 1/(k(k+1)) of its monitor's share: however many segments come,
    the parts sum to at most 1, and no segment's threshold ever changes.

    Args:
        plan: The settings.
        share: The monitor's part of the budget.
        rank: Which segment this is, from 1 in order of appearance.
    """
    seconds = plan.false_alarm_days * _DAY_SECONDS
    return math.log(seconds / share * rank * (rank + 1))
