"""The daily report: yesterday compared with the day before, once a day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event
from typing import Final

from tidegauge.monitor.errors import BusyError
from tidegauge.monitor.report_queue import Report, ReportQueue
from tidegauge.usecases.report_order import ReportOrder
from tidegauge.usecases.time_range import TimeRange

__all__ = ["DailyReports", "due"]

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_LOOK_SECONDS: Final = 30.0


def due(now_ms: int, hour: int, made: Iterable[Report]) -> ReportOrder | None:
    """Return the daily report that is to be made, None while there is none.

    Args:
        now_ms: The present, Unix milliseconds.
        hour: Hour of the day, UTC, from which yesterday's report is made.
        made: The reports that there are.

    Example:
        >>> due(3 * 86_400_000 + 5 * 3_600_000, 6, ()) is None
        True
        >>> str(due(3 * 86_400_000 + 6 * 3_600_000, 6, ()).current)
        '1970-01-03 00:00:00 UTC to 1970-01-04 00:00:00 UTC'
    """
    today_ms = now_ms - now_ms % _DAY_MS
    if now_ms < today_ms + hour * _HOUR_MS:
        return None
    current = TimeRange(today_ms - _DAY_MS, today_ms)
    if any(report.daily and report.current == (current.start_ms, today_ms) for report in made):
        return None
    return ReportOrder(TimeRange(current.start_ms - _DAY_MS, current.start_ms), current, daily=True)


class DailyReports:
    """Orders the daily report when it is due; after a failure it tries again an hour later.

    Args:
        queue: Makes the reports.
        hour: See ``due``.
        now_ms: The clock.
    """

    def __init__(self, queue: ReportQueue, hour: int, now_ms: Callable[[], int]) -> None:
        self._queue = queue
        self._hour = hour
        self._now_ms = now_ms
        self._next_ms = 0

    def look(self) -> bool:
        """Order the report if it is due; return whether it was ordered."""
        now_ms = self._now_ms()
        if now_ms < self._next_ms:
            return False
        order = due(now_ms, self._hour, self._queue.store.list())
        if order is None:
            return False
        try:
            self._queue.submit(order)
        except BusyError:
            return False  # somebody's own report is being made; the next look orders ours
        self._next_ms = now_ms + _HOUR_MS
        return True

    def run(self, stop: Event) -> None:
        """Look twice a minute until told to stop."""
        while not stop.wait(_LOOK_SECONDS):
            self.look()
