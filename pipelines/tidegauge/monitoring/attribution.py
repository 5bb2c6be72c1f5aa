"""What coincides with an alarm: a swapped model, shifted topics, load, a changed judge.

Coincidence in time is all that is claimed. Sketches keep scores per segment and not per
topic, so under shifted topics a drop in quality is left open between worse answers and
harder questions; ``mix`` tells them apart from the events in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidegauge.monitoring.catalog import signal_of
from tidegauge.monitoring.verdicts import clock, times
from tidegauge.monitoring.version_comparison import VersionComparison
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Signal
from tidegauge.schemas.sketches import Sketch

__all__ = ["HARMS", "AttributionContext", "coincidences", "load_ratio"]

HARMS: frozenset[Signal] = frozenset({"quality", "errors", "latency"})
"""Signals that say that clients are served worse."""

_LOAD = 1.5
_NEAR_MS = 60_000


@dataclass(frozen=True, slots=True)
class AttributionContext:
    """What else is known of a time.

    Attributes:
        swaps: New versions that have appeared.
        alarms: Alarms that fire.
        load: Requests a second since then against before; None where unknown.
    """

    swaps: Sequence[VersionComparison]
    alarms: Sequence[Alert]
    load: float | None


def coincidences(
    monitor: str, segment: Segment, since_ms: int, scene: AttributionContext
) -> tuple[str, ...]:
    """Return sentences on what happened at the time when a change began.

    Args:
        monitor: Which monitor alarms.
        segment: Slice of the traffic.
        since_ms: Estimated start of the change.
        scene: What else is known of that time.
    """
    if signal_of(monitor) == "drift":
        return _of_drift(segment, scene.alarms)
    found: list[str] = []
    swap = next(
        (s for s in scene.swaps if s.new == segment and s.since_ms <= since_ms + _NEAR_MS), None
    )
    if swap is not None:
        found.append(
            f"It coincides with the swap from version {swap.old.version or 'unnamed'} to "
            f"{swap.new.version or 'unnamed'} at {clock(swap.since_ms)}."
        )
    drift = next(
        (a for a in scene.alarms if a.signal == "drift" and _same_traffic(a, segment)), None
    )
    if drift is not None:
        began = drift.verdict.since_ms or drift.starts_ms
        found.append(
            f"Topics have shifted as well, since {clock(began)}: whether the same questions "
            f"are served worse is told by `tidegauge explain {monitor}`, not by these counts."
        )
    if scene.load is not None and scene.load >= _LOAD:
        found.append(f"Load is {times(scene.load)} what it was before.")
    if not found:
        found.append("No swap, no shift of topics and no change of load coincide.")
    return tuple(found)


def _of_drift(segment: Segment, alarms: Iterable[Alert]) -> tuple[str, ...]:
    harmed = sorted({a.signal for a in alarms if a.signal in HARMS and _same_model(a, segment)})
    if harmed:
        return (f"In the same traffic {' and '.join(harmed)} alarm too.",)
    return ("Quality, latency and errors raise no alarm in this traffic.",)


def _same_model(alarm: Alert, segment: Segment) -> bool:
    return alarm.segment.model == segment.model


def _same_traffic(alarm: Alert, segment: Segment) -> bool:
    return (alarm.segment.model, alarm.segment.route, alarm.segment.tenant) == (
        segment.model,
        segment.route,
        segment.tenant,
    )


def load_ratio(stretches: Sequence[Sketch], since_ms: int) -> float | None:
    """Return the rate of events since a moment against the rate before it.

    Args:
        stretches: Sketches of stretches of time, of all versions.
        since_ms: The moment.

    Returns:
        None unless there are events on both sides.
    """
    before = [s for s in stretches if s.window_start_ms + s.window_ms <= since_ms]
    after = [s for s in stretches if s.window_start_ms >= since_ms]
    if not before or not after:
        return None
    earlier = _per_ms(before)
    return _per_ms(after) / earlier if earlier else None


def _per_ms(stretches: Sequence[Sketch]) -> float:
    start = min(sketch.window_start_ms for sketch in stretches)
    end = max(sketch.window_start_ms + sketch.window_ms for sketch in stretches)
    return sum(sketch.events for sketch in stretches) / (end - start)
