"""What people have asked for, hour by hour over three days: each topic's share of the requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from tidegauge.detection.indicators import Indicator, count
from tidegauge.schemas.sketches import Sketch

__all__ = ["TOPIC_PREFIX", "TOPIC_SLOT_MS", "TopicHistory", "TopicSlot", "TopicTrend"]

TOPIC_PREFIX: Final = "cluster/"
"""How the names of the indicators begin that count a topic's requests."""

TOPIC_SLOT_MS: Final = 3_600_000
_KEPT: Final = 72
_MOST_SEGMENTS: Final = 16
"""Segments that are followed; of more, those that were heard of last."""


class TopicSlot(msgspec.Struct, frozen=True, array_like=True):
    """The counts of one hour.

    Attributes:
        time_ms: Its start, Unix milliseconds.
        requests: Requests that were placed.
        hits: Indicator -> requests of its topic; topics without any are left out.
    """

    time_ms: int
    requests: int
    hits: dict[str, int]


class TopicTrend(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's topics over time.

    Attributes:
        baseline: The baseline whose topics these are.
        titles: Indicator -> the topic's title.
        slots: The hours with requests, oldest first; the last goes on.
    """

    baseline: str
    titles: dict[str, str]
    slots: tuple[TopicSlot, ...] = ()


class TopicHistory:
    """The topics of each segment over the last three days.

    Args:
        state: The state to resume from: segment's key -> its topics.
    """

    def __init__(self, state: Mapping[str, TopicTrend] | None = None) -> None:
        self._trends: dict[str, TopicTrend] = dict(state or {})

    def add(self, sketch: Sketch, topics: Callable[[], Sequence[Indicator]]) -> None:
        """Add a closed window of the requests of a segment.

        Args:
            sketch: The window's counts; another baseline's than before begins anew.
            topics: Returns the indicators of the segment's topics, none without a baseline.
        """
        indicators = [one for one in topics() if one.name.startswith(TOPIC_PREFIX)]
        if not indicators or not sketch.baseline:
            return
        key = sketch.segment.key
        known = self._trends.pop(key, None)
        if known is None or known.baseline != sketch.baseline:
            titles = {one.name: one.title for one in indicators}
            known = TopicTrend(baseline=sketch.baseline, titles=titles)
        counted = {one.name: count(one, sketch) for one in indicators}
        start = sketch.window_start_ms // TOPIC_SLOT_MS * TOPIC_SLOT_MS
        slots = {slot.time_ms: slot for slot in known.slots}
        before = slots.get(start) or TopicSlot(start, 0, {})
        hits = dict(before.hits)
        for name, (held, _) in counted.items():
            if held:
                hits[name] = hits.get(name, 0) + held
        asked = max(trials for _, trials in counted.values())
        slots[start] = TopicSlot(start, before.requests + asked, hits)
        kept = tuple(slots[time_ms] for time_ms in sorted(slots)[-_KEPT:])
        self._trends[key] = msgspec.structs.replace(known, slots=kept)
        while len(self._trends) > _MOST_SEGMENTS:
            del self._trends[next(iter(self._trends))]

    def state(self) -> dict[str, TopicTrend]:
        """Return the state as plain data."""
        return dict(self._trends)
