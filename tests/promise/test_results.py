from __future__ import annotations

import math

import pytest

from tidegauge.promise.bars import all_bars, bound_with_baseline, information_bound
from tidegauge.promise.cells import StreamOutcome
from tidegauge.promise.path import Alarm
from tidegauge.promise.results import at_least, at_most, delay_of, false_alarms, rows
from tidegauge.promise.scenarios import SLOWER, SPEED_WAVES
from tidegauge.simulation.rhythm import Wave

MONITORS = {"latency.total": 0.2, "errors.rate": 0.3}


def outcome(*, alarms: tuple[str, ...] = (), change: str = "", number: int = 0) -> StreamOutcome:
    return StreamOutcome(
        traffic="steady load",
        baseline="1 day",
        change=change,
        number=number,
        days=7.0,
        allowed=MONITORS,
        alarms=tuple(Alarm(name, 1.0, ("error",), 100) for name in alarms),
        delays=dict.fromkeys(alarms, 1_500),
        units=5_000,
    )


def test_false_alarms_are_held_to_the_streams_share_of_the_time() -> None:
    found = false_alarms([outcome(alarms=("errors.rate",)), outcome(number=1)])
    assert found.found == 1
    assert found.allowed == pytest.approx(1.0)
    assert found.limit(2) == pytest.approx(3.0)
    assert false_alarms([outcome(alarms=("errors.rate",))], "latency.total").found == 0


def test_what_was_not_measured_is_not_met() -> None:
    assert not at_most("delay", 10, None).met
    assert not at_least("promised", 1, None).met


def test_a_missed_change_is_never_within_a_limit() -> None:
    missed = outcome(change="20% slower")
    assert math.isinf(delay_of(missed, "latency"))
    assert at_most("delay", 10, math.inf).found is None
    assert not at_most("delay", 10, math.inf).met


def test_rows_have_alarms_or_delays() -> None:
    quiet, changed = rows([outcome(), outcome(alarms=("errors.rate",), change="3% errors for 1%")])
    assert (quiet["alarms"], quiet["allowed"]) == (0, 0.5)
    assert changed["delays"]["errors"] == {"median": 1_500.0, "p90": 1_500.0, "missed": 0.0}
    assert changed["delays"]["latency"] == {"median": None, "p90": None, "missed": 1.0}


def test_a_monitor_with_too_many_alarms_misses_its_bar() -> None:
    names = "false alarms of errors.rate", "false alarms of latency.total"
    found = {
        bar.name: bar
        for bar in all_bars([outcome(alarms=("errors.rate",), number=n) for n in range(9)], [])
    }
    assert [found[name].met for name in names] == [False, True]
    assert len(found) >= 12


def test_wider_and_slower_waves_take_longer() -> None:
    def bound(sd: float, seconds: float) -> float:
        return information_bound(Wave(sd, seconds), 1.2, 0.01, 0.2)

    assert bound(0.15, 600.0) < bound(0.3, 600.0) < bound(0.3, 7_200.0)


def test_a_short_baseline_makes_the_bound_longer() -> None:
    known, day = 16_200.0, 86_400.0
    assert bound_with_baseline(known, 1e9) == pytest.approx(known, rel=1e-4)
    learnt = bound_with_baseline(known, day)
    assert 1 / learnt + 1 / day == pytest.approx(1 / known), "the variances of both means add up"
    assert bound_with_baseline(known, known) == math.inf


def test_a_bar_on_waves_keeps_the_limit_for_a_known_level_and_tells_the_baselines() -> None:
    found = {bar.name: bar for bar in all_bars([outcome()], [])}
    bar = found[f"correlation times until {SLOWER.name} is noticed: {SPEED_WAVES}"]
    assert bar.limit == 40.7
    assert "bound of 27.1" in bar.note
    assert "with a baseline of 1 day it is 33.4" in bar.note
