from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.streaming.watermarks import Watermark

WINDOW, LATENESS, IDLE, HOLD = 10, 20, 30, 100


def watermark() -> Watermark:
    return Watermark(window_ms=WINDOW, lateness_ms=LATENESS, idle_ms=IDLE, hold_ms=HOLD)


def test_an_event_is_counted_in_its_own_window() -> None:
    assert watermark().place(105) == (100, False)


def test_a_window_closes_once_lateness_has_passed_its_end() -> None:
    mark = watermark()
    mark.place(105)
    mark.place(129)
    assert mark.closed_ms == 100
    mark.place(130)
    assert mark.closed_ms == 110


def test_a_late_event_goes_into_the_next_open_window() -> None:
    mark = watermark()
    mark.place(105)
    mark.place(130)
    assert mark.place(104) == (110, True)


def test_a_straggler_within_lateness_is_not_late() -> None:
    mark = watermark()
    mark.place(125)
    assert mark.place(106) == (100, False)


def test_silence_closes_what_ended_lateness_ago() -> None:
    mark = watermark()
    mark.place(105)
    mark.silent(200)
    mark.silent(229)
    assert mark.closed_ms == 80
    mark.silent(230)
    assert mark.closed_ms == 210


def test_a_record_ends_the_silence() -> None:
    mark = watermark()
    mark.silent(200)
    mark.heard()
    mark.silent(229)
    mark.silent(258)
    assert mark.closed_ms == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 500)), max_size=50))
def test_it_never_goes_back_and_stays_on_window_edges(steps: list[tuple[bool, int]]) -> None:
    mark, before = watermark(), 0
    for is_event, time_ms in steps:
        if is_event:
            start, late = mark.place(time_ms)
            assert start % WINDOW == 0
            assert start + WINDOW > before
            assert late == (time_ms < before)
        else:
            mark.silent(time_ms)
        assert mark.closed_ms >= before
        assert mark.closed_ms % WINDOW == 0
        before = mark.closed_ms


def test_a_clock_that_was_set_back_holds_a_window_open_for_a_limited_time() -> None:
    mark = watermark()
    mark.place(10_000, 10_000)
    mark.place(10_050, 10_050)
    assert mark.closed_ms == 10_030
    for clock_ms in range(10_060, 10_160, 10):
        assert mark.place(clock_ms - 5_000, clock_ms) == (10_030, True)
        assert mark.closed_ms == 10_030
    for clock_ms in range(10_160, 11_000, 10):
        mark.place(clock_ms - 5_000, clock_ms)
        assert mark.closed_ms == max(10_030, clock_ms - HOLD - LATENESS)


def test_a_backlog_that_arrives_at_once_keeps_its_times() -> None:
    """Its events are old by the log's clock, and some of them late among each other."""
    mark = watermark()
    clock_ms = 100_000
    for time_ms in range(10_000, 20_000, 5):
        mark.place(time_ms, clock_ms)
        assert mark.place(time_ms - 60, clock_ms + 1)[1] or time_ms < 10_040
        clock_ms += 3
        assert mark.closed_ms == max(time_ms - LATENESS, 9_980) // WINDOW * WINDOW


def test_without_the_logs_clock_late_events_close_nothing() -> None:
    mark = watermark()
    mark.place(10_000)
    for _ in range(1_000):
        mark.place(5_000)
    assert mark.closed_ms == 9_980
