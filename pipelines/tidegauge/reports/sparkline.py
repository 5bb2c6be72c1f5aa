"""A line of numbers over time, small enough to stand beside a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Sparkline", "sparkline"]

_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The strokes and dots of a line, in the units of an SVG view box.

    Attributes:
        width: Width of the box.
        height: Height of the box.
        strokes: One ``points`` attribute for each run of known numbers.
        dots: Centres (x, y) of known numbers that have no known neighbour.
        last: Centre of the newest known number, None without any.
        least: Least number drawn.
        most: Greatest number drawn.
        known: Number of known numbers.
    """

    width: int
    height: int
    strokes: tuple[str, ...]
    dots: tuple[tuple[str, str], ...]
    last: tuple[str, str] | None
    least: float | None
    most: float | None
    known: int


def sparkline(
    values: Sequence[float | None],
    *,
    width: int = 120,
    height: int = 28,
    from_zero: bool = True,
) -> Sparkline:
    """Place numbers from left to right; an unknown one leaves a gap, not a zero.

    Args:
        values: The numbers, oldest first.
        width: Width of the box.
        height: Height of the box.
        from_zero: Whether the lower edge is 0, as for times and rates; else it is the least
            number.

    Example:
        >>> sparkline([1.0, 2.0, None, 1.0], width=34, height=14).strokes
        ('2.0,7.0 12.0,2.0',)
    """
    known = [value for value in values if value is not None]
    if not known:
        return Sparkline(width, height, (), (), None, None, None, 0)
    least, most = min(known), max(known)
    floor = min(0.0, least) if from_zero else least
    span = most - floor or 1.0
    step = (width - 2 * _MARGIN) / max(1, len(values) - 1)

    def point(index: int, value: float) -> tuple[str, str]:
        y = height - _MARGIN - (value - floor) / span * (height - 2 * _MARGIN)
        return f"{_MARGIN + index * step:.1f}", f"{y:.1f}"

    runs: list[list[tuple[str, str]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(point(index, value))
    return Sparkline(
        width=width,
        height=height,
        strokes=tuple(" ".join(map(",".join, run)) for run in runs if len(run) > 1),
        dots=tuple(run[0] for run in runs if len(run) == 1),
        last=next(run[-1] for run in reversed(runs) if run),
        least=least,
        most=most,
        known=len(known),
    )
