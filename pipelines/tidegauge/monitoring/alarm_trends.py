"""The rate by which an alarm is known, over time: from before its onset until it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

__all__ = ["AlarmTrend", "AlarmTrends", "RatePoint"]

_MOST: Final = 240


class RatePoint(msgspec.Struct, frozen=True, array_like=True):
    """The counts of one slot.

    Attributes:
        time_ms: Start of the slot, Unix milliseconds.
        hits: Events for which the indicator held.
        trials: Events looked at.
    """

    time_ms: int
    hits: int
    trials: int


class AlarmTrend(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm's leading rate over time.

    Attributes:
        indicator: Its name.
        slot_ms: Length of a slot; it doubles when there are too many.
        points: The slots with events, oldest first.
    """

    indicator: str
    slot_ms: int
    points: tuple[RatePoint, ...]


class AlarmTrends:
    """The leading rates of the alarms that fire, by the alarm's identity.

    Args:
        state: The state to resume from.
    """

    def __init__(self, state: Mapping[str, AlarmTrend] | None = None) -> None:
        self._trends: dict[str, AlarmTrend] = dict(state or {})

    def get(self, alert_id: str) -> AlarmTrend | None:
        """Return an alarm's trend, None before its first update."""
        return self._trends.get(alert_id)

    def update(
        self, alert_id: str, indicator: str, slot_ms: int, counted: Iterable[RatePoint]
    ) -> None:
        """Replace the newest slots of an alarm's trend.

        Args:
            alert_id: Identity of the alarm.
            indicator: Its leading indicator, of which an alarm keeps the first.
            slot_ms: Length of the slots that are counted.
            counted: Slots, oldest first; of several with the same start the sum counts.
        """
        known = self._trends.get(alert_id)
        found = _summed(counted)
        if known is None:
            self._trends[alert_id] = AlarmTrend(
                indicator=indicator, slot_ms=slot_ms, points=tuple(found.values())
            )
            return
        kept = {point.time_ms: point for point in known.points}
        # Slots that were made longer are not replaced by the shorter ones that they contain.
        longer = known.slot_ms > slot_ms and known.points
        edge_ms = known.points[-1].time_ms + known.slot_ms if longer else 0
        kept |= {start: p for start, p in found.items() if start in kept or start >= edge_ms}
        points, length = [kept[start] for start in sorted(kept)], known.slot_ms
        while len(points) > _MOST:
            length *= 2
            points = list(
                _summed(
                    RatePoint(p.time_ms // length * length, p.hits, p.trials) for p in points
                ).values()
            )
        self._trends[alert_id] = AlarmTrend(
            indicator=known.indicator, slot_ms=length, points=tuple(points)
        )

    def keep_only(self, alert_ids: Iterable[str]) -> None:
        """Forget the trends of alarms that have ended."""
        firing = set(alert_ids)
        self._trends = {key: trend for key, trend in self._trends.items() if key in firing}

    def state(self) -> dict[str, AlarmTrend]:
        """Return the state as plain data."""
        return dict(sorted(self._trends.items()))


def _summed(points: Iterable[RatePoint]) -> dict[int, RatePoint]:
    found: dict[int, RatePoint] = {}
    for point in points:
        known = found.get(point.time_ms)
        found[point.time_ms] = (
            point
            if known is None
            else RatePoint(point.time_ms, known.hits + point.hits, known.trials + point.trials)
        )
    return dict(sorted(found.items()))
