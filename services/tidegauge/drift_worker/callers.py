"""One caller's burst is one event seen many times: a cap on what it adds to a block."""

from __future__ import annotations

from collections import Counter, OrderedDict

from tidegauge.schemas import Segment
from tidegauge.stream.processor import Partition

__all__ = ["CallerCap"]

_BLOCKS = 64
"""Blocks remembered in each partition: more than can be open at a time."""


class CallerCap:
    """Counts each caller's events by partition, block and segment.

    After a restart in the middle of a block that block counts afresh, so that it may take
    up to twice as many.

    Args:
        block_ms: Length of a block of event time.
    """

    def __init__(self, block_ms: int) -> None:
        self._block_ms = block_ms
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
            most: Events a caller may add to a block of a segment; 0 for any number.
        """
        if most <= 0:
            return True
        blocks = self._seen.setdefault(partition, OrderedDict())
        callers = blocks.setdefault(time_ms // self._block_ms, Counter())
        callers[segment.key, customer] += 1
        while len(blocks) > _BLOCKS:
            blocks.popitem(last=False)
        return callers[segment.key, customer] <= most
