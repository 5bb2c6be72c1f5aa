from __future__ import annotations

from pathlib import Path

from tidegauge.monitor.daily_report import DailyReports, due
from tidegauge.monitor.errors import MonitorError
from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.usecases.report_order import ReportOrder
from tidegauge.usecases.time_range import TimeRange

HOUR = 3_600_000
DAY = 24 * HOUR


class Clock:
    """A clock that tests set."""

    now_ms = 10 * DAY

    def __call__(self) -> int:
        return self.now_ms


def make(_order: ReportOrder, path: Path) -> tuple[str, ...]:
    path.write_text("report")
    return ("a fact",)


def test_yesterday_is_compared_with_the_day_before_once_a_day(tmp_path: Path) -> None:
    clock = Clock()
    queue = ReportQueue(ReportStore(tmp_path, 5), make, clock)
    daily = DailyReports(queue, 6, clock)
    made = []
    for hours in range(60):
        clock.now_ms = 10 * DAY + hours * HOUR
        made += [hours] if daily.look() else []
        queue.wait(30)
    assert made == [6, 30, 54]
    newest = queue.store.list()[0]
    assert newest.daily
    assert newest.reference == (10 * DAY, 11 * DAY)
    assert newest.current == (11 * DAY, 12 * DAY)
    assert due(clock.now_ms, 6, queue.store.list()) is None, "also after a restart"


def test_a_report_that_fails_is_tried_again_an_hour_later(tmp_path: Path) -> None:
    def fails(_order: ReportOrder, _path: Path) -> tuple[str, ...]:
        raise MonitorError("the range is empty")

    clock = Clock()
    queue = ReportQueue(ReportStore(tmp_path, 5), fails, clock)
    daily = DailyReports(queue, 0, clock)
    made = []
    for minutes in range(0, 150, 10):
        clock.now_ms = 10 * DAY + minutes * 60_000
        made += [minutes] if daily.look() else []
        queue.wait(30)
    assert made == [0, 60, 120]


def test_a_report_of_a_person_is_not_the_days(tmp_path: Path) -> None:
    clock = Clock()
    queue = ReportQueue(ReportStore(tmp_path, 5), make, clock)
    yesterday = TimeRange(9 * DAY, 10 * DAY)
    queue.submit(ReportOrder(TimeRange(8 * DAY, 9 * DAY), yesterday))
    queue.wait(30)
    assert due(clock.now_ms, 0, queue.store.list()) is not None
