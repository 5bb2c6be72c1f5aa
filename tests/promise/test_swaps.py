from __future__ import annotations

from dataclasses import replace

import pytest

from tidegauge.promise.drawn_conversations import Sources
from tidegauge.promise.swaps import SWAPS, SwapOutcome, swap_bars, swap_outcome, swap_rows
from tidegauge.streaming.partitions import SketchSettings

SAME, SLOWER, CANARY = (
    "the same version, ten-minute waves, sd .15",
    "30% slower",
    "canary, 20% slower",
)


def outcome(swap: str, number: int, *, worse: bool, requests: int | None = None) -> SwapOutcome:
    return SwapOutcome(
        swap=swap,
        number=number,
        worse=("swap.latency",) if worse else (),
        requests=requests if worse else None,
    )


def test_wrong_verdicts_late_ones_and_missed_ones_are_told_apart() -> None:
    outcomes = [
        *(outcome(SAME, n, worse=n == 0) for n in range(20)),
        *(outcome(SLOWER, n, worse=n < 7, requests=900) for n in range(10)),
        *(outcome(CANARY, n, worse=n < 2, requests=4_000) for n in range(3)),
    ]
    same, slower, canary = swap_bars(outcomes)
    assert (same.found, same.met) == (0.05, True)
    assert (slower.found, slower.met) == (0.7, False)
    assert (canary.found, canary.met) == (4_000, True)


def test_a_canary_that_most_streams_miss_misses_its_bar() -> None:
    *_, canary = swap_bars([outcome(CANARY, n, worse=n == 0, requests=10) for n in range(3)])
    assert (canary.found, canary.met) == (None, False)


def test_a_row_says_which_monitors_spoke() -> None:
    (row,) = swap_rows([outcome(SLOWER, 0, worse=True, requests=900)])
    assert (row["worse"], row["monitors"], row["requests"]) == (1, ["swap.latency"], [900])


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_a_version_that_takes_twice_as_long_is_called_worse(sources: Sources) -> None:
    settings = SketchSettings(window_ms=120_000)
    same = SWAPS["the same version, two-hour waves, sd .3"]
    twice = replace(same, name="twice as slow", slower=2.0)
    assert swap_outcome(twice, 0, sources.recorded, settings).requests is not None
