from __future__ import annotations

import pytest

from tidegauge.usecases.errors import TimeRangeError
from tidegauge.usecases.time_range import check_held, parse_moment

DAY_MS = 86_400_000


def test_a_log_of_a_minute_is_no_fortnight() -> None:
    start = 20_000 * DAY_MS
    end = start + 14 * DAY_MS
    with pytest.raises(TimeRangeError, match="the log holds 60 s of the 14 days asked for") as told:
        check_held(start, end, end - 60_000)
    assert "--from 2024-10-17T23:59:00Z" in str(told.value)


@pytest.mark.parametrize("late_ms", [0, 30_000, DAY_MS])
def test_a_little_may_be_missing_at_the_start(late_ms: int) -> None:
    check_held(0, 14 * DAY_MS, late_ms)


def test_a_date_before_any_log_is_refused() -> None:
    with pytest.raises(TimeRangeError, match="before 1970"):
        parse_moment("0001-01-01", 0)
