"""A chart over time as places in an SVG view box: line, band, axes and marks. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["Chart", "Mark", "Tick", "chart"]

WIDTH: Final = 720
HEIGHT: Final = 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 8.0, 8.0, 20.0
_STEPS_MS: Final = tuple(
    60_000 * minutes for minutes in (1, 2, 5, 15, 30, 60, 180, 360, 720, 1_440, 2_880, 10_080)
)
_DAY_MS: Final = 86_400_000
_MOST_TICKS: Final = 6
_GAP: Final = 1.5


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to mark: an onset, an alarm, a swap.

    Attributes:
        time_ms: The moment, Unix milliseconds.
        label: What happened, in a word or two.
        kind: ``onset``, ``alarm`` or ``swap``.
    """

    time_ms: int
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, with its label."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, in the units of a view box of ``WIDTH`` by ``HEIGHT``.

    Attributes:
        title: What it shows.
        points: The numbers: start of the slot in Unix milliseconds, value; None where unknown.
        shown: The values in words, one for each point.
        strokes: One ``points`` attribute for each run of known numbers.
        dots: Centres of known numbers without a known neighbour.
        band: Top and height of what is normal, None where that is not known.
        marks: Marked moments, with their places.
        vertical: Ticks of the values.
        horizontal: Ticks of time, in UTC.
        start_ms: Left end, Unix milliseconds.
        end_ms: Right end.
        normal: Both edges of what is normal, None where that is not known.
        values: Both ends of the axis of values.
    """

    title: str
    points: tuple[tuple[int, float | None], ...]
    shown: tuple[str, ...]
    strokes: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    band: tuple[float, float] | None
    marks: tuple[tuple[float, Mark], ...]
    vertical: tuple[Tick, ...]
    horizontal: tuple[Tick, ...]
    start_ms: int
    end_ms: int
    normal: tuple[float, float] | None
    values: tuple[float, float]

    @property
    def rows(self) -> tuple[tuple[tuple[int, float | None], str], ...]:
        """Each point with its value in words."""
        return tuple(zip(self.points, self.shown, strict=True))

    @property
    def mark_list(self) -> list[tuple[int, str, str]]:
        """The marks as plain values: moment, label and kind."""
        return [(mark.time_ms, mark.label, mark.kind) for _, mark in self.marks]

    @property
    def known(self) -> bool:
        """Whether there is a number to show."""
        return any(value is not None for _, value in self.points)


def chart(  # noqa: PLR0913 - each by its name
    title: str,
    points: Sequence[tuple[int, float | None]],
    *,
    start_ms: int,
    end_ms: int,
    words: Callable[[float | None], str],
    slot_ms: int = 0,
    normal: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
    from_zero: bool = True,
) -> Chart:
    """Return a chart of numbers over time.

    Args:
        title: What it shows.
        points: Start of each slot in Unix milliseconds, and its value; None where unknown.
        start_ms: Left end, Unix milliseconds.
        end_ms: Right end, after the left one.
        words: Formats a value.
        slot_ms: Length of a slot: points further apart are not joined; 0 joins all.
        normal: Both edges of what is normal.
        marks: Moments to mark; those outside are left out.
        from_zero: Whether the axis of values begins at 0.
    """
    inside = [
        (time_ms, value)
        for time_ms, value in sorted(points, key=lambda point: point[0])
        if start_ms - slot_ms <= time_ms <= end_ms
    ]
    values = [v for _, v in inside if v is not None and math.isfinite(v)]
    low, high = _range([*values, *(normal or ())], from_zero=from_zero)
    span_ms = max(1, end_ms - start_ms)

    def x(time_ms: float) -> float:
        share = min(1.0, max(0.0, (time_ms - start_ms) / span_ms))
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - low) / (high - low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    spaced = _with_gaps(inside, slot_ms)
    runs = _runs(spaced)
    band = None
    if normal is not None:
        top, bottom = y(min(high, normal[1])), y(max(low, normal[0]))
        band = (top, max(0.5, bottom - top))
    return Chart(
        title=title,
        points=tuple(spaced),
        shown=tuple(words(value) for _, value in spaced),
        strokes=tuple(
            " ".join(f"{x(t + slot_ms / 2)},{y(v)}" for t, v in run) for run in runs if len(run) > 1
        ),
        dots=tuple((x(run[0][0] + slot_ms / 2), y(run[0][1])) for run in runs if len(run) == 1),
        band=band,
        marks=tuple(
            (x(mark.time_ms), mark) for mark in marks if start_ms <= mark.time_ms <= end_ms
        ),
        vertical=tuple(Tick(y(value), words(value)) for value in (low, (low + high) / 2, high)),
        horizontal=tuple(Tick(x(moment), label) for moment, label in _times(start_ms, end_ms)),
        start_ms=start_ms,
        end_ms=end_ms,
        normal=normal,
        values=(low, high),
    )


def _range(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    """Return the ends of an axis that shows all values."""
    if not values:
        return 0.0, 1.0
    low = min(0.0, *values) if from_zero else min(values)
    high = max(values)
    if high <= low:
        return low, low + (abs(low) or 1.0)
    room = (high - low) * 0.05
    return (low if from_zero and low >= 0 else low - room), high + room


def _with_gaps(
    points: Sequence[tuple[int, float | None]], slot_ms: int
) -> list[tuple[int, float | None]]:
    """Return the points, with an unknown one where slots are missing between two."""
    found: list[tuple[int, float | None]] = []
    for time_ms, value in points:
        if slot_ms and found and time_ms - found[-1][0] > _GAP * slot_ms:
            found.append((found[-1][0] + slot_ms, None))
        found.append((time_ms, value if value is not None and math.isfinite(value) else None))
    return found


def _runs(points: Sequence[tuple[int, float | None]]) -> list[list[tuple[int, float]]]:
    """Return the runs of known numbers that follow each other."""
    runs: list[list[tuple[int, float]]] = []
    joined = False
    for time_ms, value in points:
        if value is None:
            joined = False
            continue
        if joined:
            runs[-1].append((time_ms, value))
        else:
            runs.append([(time_ms, value)])
        joined = True
    return runs


def _times(start_ms: int, end_ms: int) -> list[tuple[int, str]]:
    """Return moments to label, at whole hours or minutes of UTC."""
    span = end_ms - start_ms
    step = next((s for s in _STEPS_MS if span / s <= _MOST_TICKS), _STEPS_MS[-1])
    first = -(-start_ms // step) * step
    form = "%d %b" if step >= _DAY_MS else "%H:%M"
    return [
        (moment, f"{datetime.fromtimestamp(moment / 1000, UTC):{form}}")
        for moment in range(first, end_ms + 1, step)
    ]
