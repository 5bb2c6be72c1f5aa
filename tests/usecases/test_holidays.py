"""Holidays are Sundays or left out, in the time zone of the users, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.monitoring.conftest import V1, WINDOW_MS, Harness, Traffic

from tidegauge.detection.errors import TimeZoneError
from tidegauge.detection.seasons import HOUR_MS, slot_of, with_holidays
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.settings import load
from tidegauge.schemas.findings import State
from tidegauge.schemas.operations import ExcludedTime
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.usecases.errors import TimeRangeError
from tidegauge.usecases.holidays import as_times, read_holidays

BERLIN = "Europe/Berlin"
CHRISTMAS = date(2026, 12, 25)
"""A Friday."""


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_hours_of_a_holiday_are_those_of_a_sunday_from_local_midnight_on() -> None:
    zone = with_holidays(BERLIN, [CHRISTMAS])
    assert zone == "Europe/Berlin 2026-12-25"
    nine_local = at("2026-12-25T08:00")
    assert slot_of("hour-of-week", nine_local, BERLIN) == 4 * 24 + 9
    assert slot_of("hour-of-week", nine_local, zone) == 6 * 24 + 9
    assert slot_of("hour-of-week", at("2026-12-24T22:59"), zone) == 3 * 24 + 23
    assert slot_of("hour-of-week", at("2026-12-24T23:00"), zone) == 6 * 24
    assert slot_of("hour-of-week", at("2026-12-25T23:00"), zone) == 5 * 24
    assert slot_of("hour-of-day", nine_local, zone) == 9


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_holiday_on_which_clocks_change_is_as_long_as_its_day(day: str, hours: int) -> None:
    (found,) = as_times([(date.fromisoformat(day), "Clocks")], BERLIN)
    assert found.end_ms - found.start_ms == hours * HOUR_MS
    assert found.reason == "holiday: Clocks"
    zone = with_holidays(BERLIN, [date.fromisoformat(day)])
    slots = [
        slot_of("hour-of-week", time_ms, zone)
        for time_ms in range(found.start_ms, found.end_ms, HOUR_MS)
    ]
    assert len(slots) == hours
    assert set(slots) <= set(range(6 * 24, 7 * 24))


def test_a_file_has_a_date_and_a_name_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text("# ours\n2026-12-26 Boxing Day\n\n2026-12-25 Christmas Day\n")
    assert read_holidays(str(file)) == (
        (CHRISTMAS, "Christmas Day"),
        (date(2026, 12, 26), "Boxing Day"),
    )
    file.write_text("25.12.2026 Christmas Day\n")
    with pytest.raises(TimeRangeError, match=r"'25\.12\.2026' is no date; a line is"):
        read_holidays(str(file))
    with pytest.raises(TimeRangeError, match="cannot read the holidays"):
        read_holidays(str(tmp_path / "none"))
    with pytest.raises(TimeZoneError, match="a holiday is a date"):
        slot_of("hour-of-week", 0, "UTC Christmas")


def test_settings_make_sundays_or_leave_out() -> None:
    environment = {
        "TIDEGAUGE_BASELINE_HOLIDAYS": "2026-12-25",
        "TIDEGAUGE_BASELINE_TIME_ZONE": BERLIN,
    }
    sundays = load(BaselineSettings, environment)
    assert (sundays.calendar, sundays.excluded_days) == (f"{BERLIN} 2026-12-25", ())
    excluded = load(BaselineSettings, environment | {"TIDEGAUGE_BASELINE_HOLIDAYS_ARE": "excluded"})
    assert excluded.calendar == BERLIN
    (day,) = excluded.excluded_days
    assert (day.start_ms, day.end_ms) == (at("2026-12-24T23:00"), at("2026-12-25T23:00"))
    with pytest.raises(SettingsError, match="no time zone"):
        load(BaselineSettings, {"TIDEGAUGE_BASELINE_TIME_ZONE": "Berlin"})


def test_nothing_is_tested_on_a_day_that_is_left_out() -> None:
    traffic = Traffic()
    start_ms = traffic.start_of(0)
    left_out = ExcludedTime(
        start_ms=start_ms, end_ms=start_ms + 40 * WINDOW_MS, reason="holiday: Christmas Day"
    )
    plan = MonitorPlan(
        window_ms=WINDOW_MS,
        partitions={REQUESTS.name: 1, RESPONSES.name: 1},
        untested=(left_out,),
    )
    harness = Harness(plan, MonitorProcessor(plan))
    made = build_rates_baseline(traffic.baseline_windows())
    known = RatesBaseline.from_bytes(made.to_bytes(), "rates-1")
    harness.monitor.use("rates", "rates-1", known.references, harness.now_ms)
    writer = traffic.writers["vitals"]
    for window in range(40):
        harness.give(traffic.vitals(window, 4, slower=3.0), writer.progress(window + 1))
    verdict = harness.monitor.view().verdict("latency.total", V1)
    assert verdict is not None
    assert verdict.state == State.NO_DATA
    assert "holiday: Christmas Day" in verdict.sentence
    assert harness.alerts() == []
    for window in range(40, 80):
        harness.give(traffic.vitals(window, 4, slower=3.0), writer.progress(window + 1))
    assert [alert.monitor for alert in harness.alerts()] == ["latency.total"]
