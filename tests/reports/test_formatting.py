from __future__ import annotations

import doctest
import math

import pytest

from tidegauge.reports import formatting, text
from tidegauge.reports.formatting import UNKNOWN


def test_examples() -> None:
    assert doctest.testmod(formatting).failed == 0
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_not_known_is_not_shown_as_a_number(value: float | None) -> None:
    shown = {
        formatting.number(value),
        formatting.count(value),
        formatting.byte_size(value),
        formatting.milliseconds(value),
        formatting.duration(value),
        formatting.dollars(value),
        formatting.percent(value),
        formatting.points(value),
        formatting.times(value),
        formatting.odds(value),
    }
    assert shown == {UNKNOWN}


@pytest.mark.parametrize(
    "shown",
    [
        formatting.number(math.inf),
        formatting.milliseconds(math.inf),
        formatting.moment(None),
        formatting.interval(0.1, None),
        formatting.interval(None, 0.1),
    ],
)
def test_an_infinite_number_or_half_an_interval_is_not_known(shown: str) -> None:
    assert shown == UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.0004, "0.400 ms"),
        (119, "119 s"),
        (119.6, "2 min"),
        (120, "2 min"),
        (179, "3 min"),
        (3_599, "1 h"),
        (3_600, "1 h"),
        (90_000, "25 h"),
        (5e7, "579 days"),
        (1e9, "32 years"),
        (1e90, "more than 1,000 years"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert formatting.duration(seconds) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0%"),
        (1e-9, "<0.01%"),
        (0.0001, "0.01%"),
        (0.0099, "0.99%"),
        (0.1, "10%"),
        (0.98999, "99%"),
        (0.9995, "99.95%"),
        (0.9999, "99.99%"),
        (math.nextafter(1, 0), ">99.99%"),
        (1.0, "100%"),
    ],
)
def test_a_share_is_all_or_nothing_only_when_it_is(share: float, shown: str) -> None:
    assert formatting.percent(share) == shown


def test_a_rounded_number_keeps_its_digits() -> None:
    assert formatting.number(999.6) == "1,000"
    assert formatting.number(0.99999) == "1.00"
    assert formatting.milliseconds(0.0042) == "0.00420 ms"
    assert formatting.dollars(0.996) == "$1.00"
