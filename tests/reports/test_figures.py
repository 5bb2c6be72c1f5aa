from __future__ import annotations

import doctest
import math

import pytest

from tidegauge.reports import figures, text
from tidegauge.reports.figures import NONE


def test_examples() -> None:
    assert doctest.testmod(figures).failed == 0
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize(
    "shown",
    [
        figures.number(None),
        figures.number(math.nan),
        figures.milliseconds(None),
        figures.milliseconds(math.inf),
        figures.dollars(None),
        figures.percent(math.nan),
        figures.duration(None),
        figures.count(None),
        figures.moment(None),
        figures.interval(0.1, None),
    ],
)
def test_what_is_not_known_is_not_shown_as_a_number(shown: str) -> None:
    assert shown == NONE


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3_600, "1 h"),
        (90_000, "25 h"),
        (5e7, "579 days"),
        (1e9, "32 years"),
        (1e90, "more than 1,000 years"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert figures.duration(seconds) == shown


def test_a_rounded_number_keeps_its_digits() -> None:
    assert figures.number(999.6) == "1,000"
    assert figures.milliseconds(0.0042) == "0.00420 ms"
    assert figures.percent(0.0099) == "0.99%"
    assert figures.percent(1.0) == "100%"
    assert figures.percent(0.0) == "0%"
