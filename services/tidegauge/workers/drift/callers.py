"""One caller's burst is one event seen many times: a cap on what it adds to a window."""

from __future__ import annotations

from collections import Counter, OrderedDict

from tidegauge.schemas import Segment
from tidegauge.streaming.processor import Partition

__all__ = ["CallerCap"]

_WINDOWS = 64
"""Windows remembered in each partition: more than can be open at a time."""


class CallerCap:
    """Counts each caller's events by partition, window and segment.

    After a restart in the middle of a window that window counts afresh, so that it may take
    up to twice as many.

    Args:
        window_ms: Length of a window of event time.
    """

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._seen: dict[Partition, OrderedDict[int, Counter[tuple[str, str]]]] = {}

    def admits(
        self, partition: Partition, segment: Segment, customer: str, time_ms: int, *, most: int
    ) -> bool:
        """Count an event; return whether it is among the caller's first ``most``.

        Args:
            partition: Where the event lay.
            segment: Its segment.
            customer: Whose it is.
            time_ms: Its event time.
            most: Events a caller may add to a window of a segment; 0 for any number.
        """
        if most <= 0:
            return True
        windows = self._seen.setdefault(partition, OrderedDict())
        callers = windows.setdefault(time_ms // self._window_ms, Counter())
        callers[segment.key, customer] += 1
        while len(windows) > _WINDOWS:
            windows.popitem(last=False)
        return callers[segment.key, customer] <= most
