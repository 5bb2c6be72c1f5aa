from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tidegauge.promise.bars import all_bars, bound_with_baseline, information_bound
from tidegauge.promise.cells import StreamOutcome
from tidegauge.promise.path import Alarm
from tidegauge.promise.results import (
    CELL_CHANCE,
    FalseAlarms,
    at_least,
    at_most,
    delay_of,
    false_alarms,
    rows,
)
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
    assert false_alarms([outcome(alarms=("errors.rate",))], "latency.total").found == 0


@pytest.mark.parametrize(
    ("allowed", "chance", "most"),
    [(0.03, CELL_CHANCE, 1), (0.06, CELL_CHANCE, 2), (1.5, 0.0228, 4), (100.0, CELL_CHANCE, 131)],
)
def test_more_false_alarms_than_may_be_seen_are_as_rare_as_is_said(
    allowed: float, chance: float, most: int
) -> None:
    found = FalseAlarms(0, allowed)
    assert found.most(chance) == most
    counts = np.random.default_rng(1).poisson(allowed, 200_000)
    assert np.mean(counts > most) <= chance + 3e-4
    assert np.mean(counts >= most) > chance, "one less would be seen too often"
    true = np.random.default_rng(2).poisson(found.detectable(chance), 200_000)
    assert np.mean(true > most) == pytest.approx(0.9, abs=0.005)


def test_what_was_not_measured_is_not_met() -> None:
    assert not at_most("delay", 10, None).met
    assert not at_least("promised", 1, None).met


def test_a_missed_change_is_never_within_a_limit() -> None:
    missed = outcome(change="20% slower")
    assert math.isinf(delay_of(missed, "latency"))
    assert at_most("delay", 10, math.inf).found is None
    assert not at_most("delay", 10, math.inf).met


def test_rows_have_alarms_or_delays() -> None:
    noticed = replace(outcome(alarms=("errors.rate",), change="3% errors for 1%"), signal="errors")
    missed = replace(outcome(change="20% slower"), signal="latency")
    quiet, errors, slower = rows([outcome(), noticed, missed])
    assert (quiet["alarms"], quiet["allowed"], quiet["most"]) == (0, 0.5, 4)
    assert errors["delays"] == {"errors": {"median": 1_500.0, "p90": 1_500.0, "missed": 0.0}}
    assert slower["delays"] == {"latency": {"median": None, "p90": None, "missed": 1.0}}


def test_a_monitor_with_too_many_alarms_misses_its_bar() -> None:
    names = "false alarms of errors.rate", "false alarms of latency.total"
    found = {
        bar.name: bar
        for bar in all_bars([outcome(alarms=("errors.rate",), number=n) for n in range(9)], [])
    }
    assert [found[name].met for name in names] == [False, True]
    assert "times as high is told from the promise" in found[names[1]].note
    assert len(found) >= 12


def test_a_promise_that_one_baseline_in_twenty_lacks_is_kept_and_one_in_five_is_not() -> None:
    name = "baselines with a promise: load in ten-minute waves"
    for refused, kept in ((1, 4), (4, 3)):
        drawn = [
            replace(
                outcome(number=n),
                traffic="load in ten-minute waves",
                baseline=span,
                refused={"latency.total": "too short"} if span == "6 h" and n < refused else {},
            )
            for span in ("6 h", "1 day", "3 days", "14 days")
            for n in range(20)
        ]
        (bar,) = (bar for bar in all_bars(drawn, []) if bar.name == name)
        assert (bar.found, bar.met) == (kept, kept == 4)
        assert f"6 h, latency.total, {refused} of 20: too short" in bar.note


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
