"""What coincides with an alarm: a swap, something new, a shift of topics, a change of load.

A coincidence in time is no proof of a cause. Sketches keep scores by segment and not by topic,
so with shifted topics a drop in quality may be due to worse answers or to harder questions;
``mix_decomposition`` separates the two with the events in the log.

Appearances, when a model's traffic was first made with a system prompt, a served model or a tag's
value, are annotations: they test nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from tidegauge.monitoring.version_comparison import VersionComparison
from tidegauge.reports.formatting import moment, times
from tidegauge.reports.text import clip
from tidegauge.reports.titles import monitor_title
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Alert, Monitor, Signal
from tidegauge.schemas.sketches import Sketch

__all__ = ["HARMS", "Appearance", "Appearances", "AttributionContext", "coincidences", "load_ratio"]

HARMS: frozenset[Signal] = frozenset({"quality", "errors", "latency"})
"""Signals whose alarms mean that clients are served worse."""

_NOTABLE_LOAD_RATIO = 1.5
_NEAR_MS = 60_000

_LEAST_SHARE = 0.1
_MOST_VALUES = 32
_MOST_MODELS = 100
_LEARNING_MS = 600_000
_LONG_AGO_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class AttributionContext:
    """What else happened around a change point.

    Attributes:
        comparisons: New versions that have appeared.
        alarms: Alarms that fire.
        load_ratio: Request rate since the change point divided by the rate before it; None if
            unknown.
        appearances: What the model's traffic was first made with, a sentence each.
    """

    comparisons: Sequence[VersionComparison]
    alarms: Sequence[Alert]
    load_ratio: float | None
    appearances: tuple[str, ...] = ()


def coincidences(
    monitor: Monitor, segment: Segment, since_ms: int, context: AttributionContext
) -> tuple[str, ...]:
    """Return sentences on what happened around a change point.

    Args:
        monitor: The monitor that alarms.
        segment: Slice of the traffic.
        since_ms: The change point, Unix milliseconds.
        context: What else happened around it.
    """
    if monitor.signal == "drift":
        harm = _harm_sentence(segment, context.alarms)
        others = _other_turns(monitor, segment, context.alarms)
        return (*context.appearances, *others, harm)
    found: list[str] = list(context.appearances)
    swap = next(
        (
            comparison
            for comparison in context.comparisons
            if comparison.new == segment and comparison.since_ms <= since_ms + _NEAR_MS
        ),
        None,
    )
    if swap is not None:
        found.append(
            f"It coincides with the swap from version {swap.old.version or 'unnamed'} to "
            f"{swap.new.version or 'unnamed'} at {moment(swap.since_ms)}."
        )
    shifted = [
        alarm.verdict.since_ms or alarm.starts_ms
        for alarm in context.alarms
        if alarm.signal == "drift" and _same_traffic(alarm, segment)
    ]
    if shifted:
        found.append(
            f"Topics have shifted as well, since {moment(min(shifted))}: these counts do not show "
            "whether the same questions are served worse, "
            f"`tidegauge explain {monitor.name}` does."
        )
    if context.load_ratio is not None and context.load_ratio >= _NOTABLE_LOAD_RATIO:
        found.append(f"Load is {times(context.load_ratio)} what it was before.")
    if not found:
        found.append("No swap, no shift of topics and no change of load coincide.")
    return tuple(found)


def _other_turns(monitor: Monitor, segment: Segment, alarms: Iterable[Alert]) -> Iterator[str]:
    """Yield a sentence for each other monitor of drift that alarms too."""
    for alarm in alarms:
        if alarm.signal == "drift" and alarm.monitor != monitor.name and alarm.segment == segment:
            since_ms = alarm.verdict.since_ms or alarm.starts_ms
            yield f"{monitor_title(alarm.monitor)} have changed as well, since {moment(since_ms)}."


def _harm_sentence(segment: Segment, alarms: Iterable[Alert]) -> str:
    harmed = sorted({a.signal for a in alarms if a.signal in HARMS and _same_model(a, segment)})
    if harmed:
        verb = "alarms" if len(harmed) == 1 else "alarm"
        return f"In the same traffic {' and '.join(harmed)} {verb} as well."
    return "Quality, latency and errors raise no alarm in this traffic."


def _same_model(alarm: Alert, segment: Segment) -> bool:
    return alarm.segment.model == segment.model


def _same_traffic(alarm: Alert, segment: Segment) -> bool:
    return alarm.segment.of_all_versions == segment.of_all_versions


def load_ratio(sketches: Sequence[Sketch], since_ms: int) -> float | None:
    """Return the rate of events since a moment divided by the rate before it.

    Args:
        sketches: Sketches of all versions, each covering one slot of the display range.
        since_ms: The moment.

    Returns:
        None unless there are events on both sides.
    """
    before = [s for s in sketches if s.window_start_ms + s.window_ms <= since_ms]
    after = [s for s in sketches if s.window_start_ms >= since_ms]
    if not before or not after:
        return None
    earlier = _per_ms(before)
    return _per_ms(after) / earlier if earlier else None


def _per_ms(sketches: Sequence[Sketch]) -> float:
    start = min(sketch.window_start_ms for sketch in sketches)
    end = max(sketch.window_start_ms + sketch.window_ms for sketch in sketches)
    return sum(sketch.events for sketch in sketches) / (end - start)


class Appearance(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a model's responses are made with.

    Attributes:
        model: The model.
        dimension: What it is a value of, such as ``system prompt``.
        value: The value; a system prompt's is a hash.
        first_ms: Start of the first window in which a tenth of the responses had it, Unix
            milliseconds.
        is_new: Whether it came later than ten minutes after the dimension's first value.
    """

    model: str
    dimension: str
    value: str
    first_ms: int
    is_new: bool


class Appearances:
    """What each model's responses are made with, and since when.

    A dimension with more than 32 values varies by itself, and nothing is told of it.

    Args:
        known: The state to resume from.
    """

    def __init__(self, known: Iterable[Appearance] = ()) -> None:
        self._known: dict[tuple[str, str], dict[str, Appearance]] = defaultdict(dict)
        for one in known:
            self._known[one.model, one.dimension][one.value] = one

    def notice(self, sketches: Sequence[Sketch]) -> None:
        """Note what the responses of one window were made with."""
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        start_ms = min((one.window_start_ms for one in sketches), default=0)
        for sketch in sketches:
            for name, labels in sketch.totals.items():
                dimension = measures.made_with_of(name)
                if dimension:
                    counts[sketch.segment.model, dimension].update(labels)
        for place, found in counts.items():
            if place not in self._known and len(self._known) >= _MOST_MODELS:
                continue
            self._add(place, found, start_ms)

    def _add(self, place: tuple[str, str], found: Counter[str], start_ms: int) -> None:
        known = self._known[place]
        least = _LEAST_SHARE * found.total()
        new = [value for value, n in found.items() if value not in known and n >= least]
        began_ms = min((one.first_ms for one in known.values()), default=start_ms)
        for value in sorted(set(new) - {measures.OTHER_LABEL}):
            if len(known) <= _MOST_VALUES:
                model, dimension = place
                known[value] = Appearance(
                    model=model,
                    dimension=dimension,
                    value=value,
                    first_ms=start_ms,
                    is_new=start_ms >= began_ms + _LEARNING_MS,
                )

    def sentences(self, model: str, since_ms: int) -> tuple[str, ...]:
        """Return what a model's traffic was first made with before a change, the newest first.

        Args:
            model: The model.
            since_ms: When the change began, Unix milliseconds.
        """
        near = [
            one
            for (of, _), values in self._known.items()
            if of == model and len(values) <= _MOST_VALUES
            for one in values.values()
            if one.is_new and since_ms - _LONG_AGO_MS <= one.first_ms <= since_ms + _NEAR_MS
        ]
        return tuple(
            f"A new {one.dimension} ({clip(one.value, 80)}) was first seen at "
            f"{moment(one.first_ms)}."
            for one in sorted(near, key=lambda one: (-one.first_ms, one.dimension))
        )

    def state(self) -> tuple[Appearance, ...]:
        """Return the state as plain data."""
        return tuple(one for values in self._known.values() for one in values.values())
