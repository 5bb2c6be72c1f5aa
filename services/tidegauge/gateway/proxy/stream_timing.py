"""When the pieces of a streamed answer came."""

from __future__ import annotations

from math import ceil
from typing import Final

from tidegauge.schemas.exchange import InterToken

__all__ = ["StreamTiming"]

_MOST_GAPS: Final = 65_536


class StreamTiming:
    """Moments of the pieces, in seconds of one monotonic clock.

    Attributes:
        first: When the first piece came, None before.
        pieces: How many have come.

    Example:
        >>> timing = StreamTiming()
        >>> for moment in (1.0, 1.25, 1.75): timing.add(moment)
        >>> timing.summary()
        InterToken(mean_ms=375.0, p95_ms=500.0, max_ms=500.0)
    """

    __slots__ = ("_gaps", "_last", "first", "pieces")

    def __init__(self) -> None:
        self.first: float | None = None
        self.pieces = 0
        self._last = 0.0
        self._gaps: list[float] = []

    def add(self, moment: float) -> None:
        """A piece has come."""
        self.pieces += 1
        if self.first is None:
            self.first = moment
        elif len(self._gaps) < _MOST_GAPS:
            self._gaps.append(moment - self._last)
        self._last = moment

    def summary(self) -> InterToken | None:
        """Return the time between pieces; None for fewer than two."""
        if not self._gaps:
            return None
        gaps = sorted(self._gaps)
        return InterToken(
            mean_ms=sum(gaps) / len(gaps) * 1e3,
            p95_ms=gaps[ceil(0.95 * len(gaps)) - 1] * 1e3,
            max_ms=gaps[-1] * 1e3,
        )
