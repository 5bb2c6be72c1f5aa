"""Versions one after the other: few wrong verdicts under waves, and power where there is any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from tidegauge.detection.before_after import HourCounts, comparable_from, compare_hours

MONDAY = 4 * 24
ALPHA = 0.0125
"""What one of two ways of one of two metrics gets of .05."""


def hours_of(  # noqa: PLR0913 - what the waves and the change are like
    rng: np.random.Generator,
    days: float,
    *,
    sd: float,
    minutes: float,
    slower: float = 1.0,
    after_day: float = math.inf,
    cycle: float = 0.3,
) -> list[HourCounts]:
    """Draw the hours of a service whose latency goes in waves, and with the time of day.

    The logarithm of the latency is an AR(1) wave of ten-minute steps, a cycle of a day and noise;
    counted are the answers slower than the P75 of a middling hour.
    """
    steps = round(days * 144)
    kept = math.exp(-10 / minutes)
    noise = rng.normal(0, sd, steps) * math.sqrt(1 - kept**2)
    wave = np.empty(steps)
    last = rng.normal(0, sd)
    for step in range(steps):
        wave[step] = last = kept * last + noise[step]
    hour = np.arange(steps) / 6
    wave += cycle * np.sin(2 * np.pi * hour / 24)
    wave += np.where(hour >= 24 * after_day, math.log(slower), 0)
    hits = rng.binomial(50, norm.sf(norm.ppf(0.75) - wave / 0.5))
    return [
        HourCounts(MONDAY + index, int(found), 300)
        for index, found in enumerate(hits.reshape(-1, 6).sum(axis=1))
    ]


def verdict(hours: list[HourCounts], swap: int) -> str:
    """Look after every hour; return the first verdict, empty for none."""
    for now in range(swap + 1, len(hours) + 1):
        found = compare_hours(hours[:swap], hours[swap:now], alpha=ALPHA)
        if found.low > 0:
            return "worse"
        if found.high < 0:
            return "better"
    return ""


def wrong(runs: int, days: int, sd: float, minutes: float) -> float:
    rng = np.random.default_rng(days)
    found = [
        verdict(hours_of(rng, days + 1, sd=sd, minutes=minutes), days * 24) for _ in range(runs)
    ]
    return sum(one != "" for one in found) / runs


WAVES = [(0.15, 10.0), (0.3, 120.0)]


@pytest.mark.parametrize(("sd", "minutes"), WAVES)
def test_the_same_version_again_is_not_worse_in_brief(sd: float, minutes: float) -> None:
    assert wrong(8, 2, sd, minutes) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 8)


@pytest.mark.stats
@pytest.mark.parametrize("days", [1, 3])
@pytest.mark.parametrize(("sd", "minutes"), WAVES)
def test_the_same_version_again_is_not_worse(days: int, sd: float, minutes: float) -> None:
    assert wrong(150, days, sd, minutes) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 150)


def test_taking_requests_for_the_unit_errs_under_waves() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(20):
        hours = hours_of(rng, 2, sd=0.3, minutes=120.0)
        old, new = (
            np.sum([(h.hits, h.trials) for h in part], 0) for part in (hours[:24], hours[24:])
        )
        rates = old[0] / old[1], new[0] / new[1]
        error = math.sqrt(sum(rate * (1 - rate) / 7_200 for rate in rates))
        found.append(abs(rates[1] - rates[0]) / error > 3.5)
    assert np.mean(found) > 0.3


@pytest.mark.parametrize("days", [1, 3])
def test_a_third_slower_is_worse_within_a_day(days: int) -> None:
    rng = np.random.default_rng(6)
    found = [
        verdict(
            hours_of(rng, days + 1, sd=0.15, minutes=10.0, slower=1.3, after_day=days), days * 24
        )
        for _ in range(10)
    ]
    assert found.count("worse") >= 8


def test_the_time_of_day_alone_is_no_difference() -> None:
    rng = np.random.default_rng(7)
    hours = hours_of(rng, 4, sd=0.05, minutes=10.0, cycle=1.0)
    rates = [sum(h.hits for h in part) / 3_600 for part in (hours[72:84], hours[84:96])]
    assert max(rates) > 2 * min(rates)
    assert verdict(hours[:96], 84) == ""


def test_hours_without_a_counterpart_are_not_compared() -> None:
    old = [HourCounts(MONDAY + hour, 25, 100) for hour in range(6)]
    new = [HourCounts(MONDAY + hour, 75, 100) for hour in range(6, 20)]
    assert compare_hours(old, new, alpha=ALPHA).hours == 0
    assert comparable_from(old, MONDAY + 6) == MONDAY + 24
    assert comparable_from([], MONDAY) is None


def test_weekends_are_compared_with_weekends() -> None:
    friday = MONDAY + 4 * 24
    old = [HourCounts(friday + hour, 25, 100) for hour in range(24)]
    saturday = [HourCounts(friday + 24 + hour, 75, 100) for hour in range(24)]
    assert compare_hours(old, saturday, alpha=ALPHA).hours == 0


def test_too_few_hours_bound_nothing() -> None:
    hours = [HourCounts(MONDAY + hour, 25, 100) for hour in range(28)]
    found = compare_hours(hours[:24], hours[24:], alpha=ALPHA)
    assert (found.hours, found.blocks, found.low, found.high) == (4, 0, -1.0, 1.0)
    assert found.old_rate == found.new_rate == 0.25
