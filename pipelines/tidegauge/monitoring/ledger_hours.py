"""The ledger hour by hour: what was served, captured, lost and processed in each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from tidegauge.monitoring.ledger import Ledger
from tidegauge.schemas.sketches import SketchKind

__all__ = ["LedgerHour", "LedgerHours", "LedgerHoursState"]

S = TypeVar("S", bound=str)

_HOUR_MS: Final = 3_600_000
_KEPT: Final = 48
_AWAY_MS: Final = 300_000
"""A monitor that has not looked for so long was away, and is said to have been."""


class LedgerHour(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger grew by in an hour.

    Attributes:
        start_ms: When it began, Unix milliseconds.
        end_ms: When the monitor next looked after its end: later than an hour if it was away.
        served: Requests answered.
        captured: Response events captured.
        dropped: Response events that could not be captured, by reason.
        processed: Kind of worker -> events that it processed.
        dead_lettered: Events dead-lettered by any kind of worker.
        expired: Records that the log deleted before workers read them.
        missing: Events that were missing at the end, whenever they were captured.
        away_ms: For how long the monitor did not look.
    """

    start_ms: int
    end_ms: int
    served: int
    captured: int
    dropped: dict[str, int]
    processed: dict[SketchKind, int]
    dead_lettered: int
    expired: int
    missing: int
    away_ms: int = 0


class LedgerHoursState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``LedgerHours`` as plain data.

    Attributes:
        hours: The hours that are over, oldest first.
        began: The ledger's sums at the beginning of the present hour, as an hour since ever;
            None before the first look.
        looked_ms: When the monitor looked last, Unix milliseconds.
        away_ms: For how long it has not looked in the present hour.
    """

    hours: tuple[LedgerHour, ...] = ()
    began: LedgerHour | None = None
    looked_ms: int = 0
    away_ms: int = 0


class LedgerHours:
    """The last 48 hours of the ledger.

    Args:
        state: The state to resume from.
    """

    def __init__(self, state: LedgerHoursState | None = None) -> None:
        self._state = state or LedgerHoursState()

    def look(self, ledger: Ledger, now_ms: int) -> None:
        """Note the time, and keep the hour that is over if one is.

        Args:
            ledger: The account of every event.
            now_ms: The present, Unix milliseconds.
        """
        state = self._state
        if state.began is None:
            began = _sums(ledger, now_ms)
            self._state = msgspec.structs.replace(state, began=began, looked_ms=now_ms)
            return
        quiet_ms = now_ms - state.looked_ms
        away_ms = state.away_ms + (quiet_ms if quiet_ms > _AWAY_MS else 0)
        hours, began = state.hours, state.began
        if now_ms // _HOUR_MS > began.end_ms // _HOUR_MS:
            sums = _sums(ledger, now_ms)
            hours = (*hours, _grown(began, sums, away_ms))[-_KEPT:]
            began, away_ms = sums, 0
        self._state = LedgerHoursState(
            hours=hours, began=began, looked_ms=max(now_ms, state.looked_ms), away_ms=away_ms
        )

    def hours(self, ledger: Ledger, now_ms: int) -> tuple[LedgerHour, ...]:
        """Return the hours, oldest first, the last of which goes on.

        Args:
            ledger: The account of every event.
            now_ms: The present, Unix milliseconds.
        """
        state = self._state
        if state.began is None:
            return state.hours
        return (*state.hours, _grown(state.began, _sums(ledger, now_ms), state.away_ms))

    def state(self) -> LedgerHoursState:
        """Return the state as plain data."""
        return self._state


def _sums(ledger: Ledger, now_ms: int) -> LedgerHour:
    """Return a ledger's sums, which ended now."""
    dropped: Counter[str] = Counter()
    for capture in ledger.captures:
        dropped.update(capture.dropped)
    processed: Counter[SketchKind] = Counter()
    for line in ledger.deliveries:
        processed[line.kind] += line.processed
    return LedgerHour(
        start_ms=0,
        end_ms=now_ms,
        served=sum(capture.served for capture in ledger.captures),
        captured=sum(capture.captured for capture in ledger.captures),
        dropped=dict(dropped),
        processed=dict(processed),
        dead_lettered=sum(line.dead_lettered for line in ledger.deliveries),
        expired=sum(line.expired for line in ledger.deliveries),
        missing=sum(line.missing for line in ledger.deliveries),
    )


def _grown(began: LedgerHour, ended: LedgerHour, away_ms: int) -> LedgerHour:
    """Return what lies between two sums; producers that are forgotten since take nothing away."""

    def more(name: str) -> int:
        grown: int = getattr(ended, name) - getattr(began, name)
        return max(0, grown)

    return LedgerHour(
        start_ms=began.end_ms,
        end_ms=ended.end_ms,
        served=more("served"),
        captured=more("captured"),
        dropped=_differences(began.dropped, ended.dropped),
        processed=_differences(began.processed, ended.processed),
        dead_lettered=more("dead_lettered"),
        expired=more("expired"),
        missing=ended.missing,
        away_ms=away_ms,
    )


def _differences(before: Mapping[S, int], after: Mapping[S, int]) -> dict[S, int]:
    return {name: max(0, number - before.get(name, 0)) for name, number in sorted(after.items())}
