"""The monitor's settings as one frozen value, and how its false-alarm budget is divided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tidegauge.monitoring.errors import PlanError
from tidegauge.schemas.findings import Monitor, Signal
from tidegauge.schemas.operations import ExcludedTime
from tidegauge.schemas.sketches import SketchKind
from tidegauge.schemas.topics import REQUESTS, RESPONSES

__all__ = [
    "CUSTOMER_SHARE",
    "FEWEST",
    "MINIMUM_EFFECT",
    "RATIOS",
    "SHARES",
    "MonitorPlan",
    "log_threshold",
    "monitor_shares",
]

_DAY_SECONDS = 86_400.0

SHARES: Mapping[Signal, float] = MappingProxyType(
    {"drift": 0.3, "quality": 0.25, "latency": 0.2, "errors": 0.15, "cost": 0.03, "swap": 0.05}
)
"""Signal -> its share of the false-alarm budget; with ``CUSTOMER_SHARE`` the shares sum to 1."""

CUSTOMER_SHARE = 0.02
"""Share of the monitor that compares customers' costs with those of a week before."""

MINIMUM_EFFECT: Mapping[Signal, float] = MappingProxyType(
    {"drift": 0.005, "quality": 0.05, "latency": 1.1, "errors": 0.005, "cost": 1.1}
)
"""Signal -> size of a change below which an alarm is only ``info``.

For the signals in ``RATIOS`` the size is how many times as long answers take, or as much requests
cost; for the others it is a difference of shares of events, such as .005 for half a point.
"""

RATIOS: frozenset[Signal] = frozenset({"latency", "cost"})
"""Signals whose changes are sized as ratios."""

FEWEST = 40
"""Least number of events for a reference of rates."""


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """The monitor's settings.

    Attributes:
        window_ms: Length of a window, which the detectors test once, milliseconds.
        false_alarm_days: Guaranteed mean time to a false alarm, over all monitors and
            segments together, days.
        display_range_ms: Length of the range that a page shows, milliseconds.
        partitions: Topic -> number of partitions: windows of a kind close once all of its
            topic's partitions have reported.
        expected: Kinds of workers that must report; missing reports raise an alarm.
        silent_ms: Time without a report after which a worker's partition is silent.
        settle_ms: See ``ledger.account``.
        low_data_events: Number of events below which a monitor says ``low_data`` instead of ``ok``.
        no_data_ms: Time without events after which a segment's state is ``no_data``.
        most_segments: Largest number of segments; further ones are counted in ``other``.
        minimum_effect: Signal -> size of a change, see ``MINIMUM_EFFECT``.
        untested: Times in which nothing is tested, such as holidays, with their reasons.
        comparison_alpha: Largest chance that a comparison of two versions ever errs, over all its
            metrics; what it gets of it is drawn from the budget's share of swaps.
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
    untested: tuple[ExcludedTime, ...] = ()
    comparison_alpha: float = 0.05

    def __post_init__(self) -> None:
        """Check the numbers.

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
        if not 0 < self.comparison_alpha < 1:
            raise PlanError(
                f"comparison_alpha must be between 0 and 1, got {self.comparison_alpha}"
            )
        for signal, size in self.minimum_effect.items():
            if signal in RATIOS and not size >= 1:
                raise PlanError(f"minimum_effect of {signal} is a ratio of at least 1, got {size}")
            if signal not in RATIOS and not 0 <= size < 1:
                raise PlanError(
                    f"minimum_effect of {signal} is a share of events between 0 and 1, got {size}"
                )


def monitor_shares(monitors: Iterable[Monitor]) -> dict[Monitor, float]:
    """Divide each signal's share of the budget evenly among its kinds of monitors.

    Monitors of one kind, such as those of the languages, divide their kind's part evenly.

    Example:
        >>> latencies = Monitor("latency", "total"), Monitor("latency", "first_token")
        >>> list(monitor_shares(latencies).values())
        [0.1, 0.1]
        >>> languages = Monitor("drift", "language", "de"), Monitor("drift", "language", "fr")
        >>> list(monitor_shares([Monitor("drift", "topics"), *languages]).values())
        [0.15, 0.075, 0.075]
    """
    known = list(monitors)
    alike = Counter((monitor.signal, monitor.kind) for monitor in known)
    kinds = Counter(signal for signal, _ in alike)
    return {
        one: SHARES[one.signal] / kinds[one.signal] / alike[one.signal, one.kind] for one in known
    }


def log_threshold(plan: MonitorPlan, share: float, rank: int) -> float:
    """Return the log of one detector's guaranteed mean time to a false alarm, in seconds.

    The k-th segment gets 1/(k(k+1)) of its monitor's share: for any number of segments these
    fractions sum to at most 1, and no segment's threshold ever changes.

    Args:
        plan: The settings.
        share: The monitor's share of the budget.
        rank: Number of the segment in order of appearance, from 1.
    """
    seconds = plan.false_alarm_days * _DAY_SECONDS
    return math.log(seconds / share * rank * (rank + 1))
