from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection.back_test import Fitted, History, Outcome, back_test, most_alarms
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.reference import build
from tidegauge.schemas import Segment

HOUR_MS = 3_600_000
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
INDICATORS = [
    Indicator(name=f"i/{j}", title=str(j), family=f"f{j}", counter=Hits(f"i/{j}")) for j in range(2)
]


TRIALS = 40


def outcome_of(rates: NDArray[np.float64], *, measured: bool) -> Outcome:
    """Back-test minutes with these rates, with or without measuring the rates' dispersion."""
    rng = np.random.default_rng(len(rates))
    hits = rng.binomial(TRIALS, np.stack([rates, rates / 2], axis=1))
    return replayed(hits, np.full_like(hits, TRIALS), measured=measured)


def replayed(hits: Counts, asked: Counts, *, measured: bool) -> Outcome:
    """Back-test counts by minute."""
    starts = np.arange(len(hits)) * 60_000
    history = History(starts, hits, asked, 60_000, falls=False)

    def fit(kept: Flags, widening: float) -> Fitted:
        return Fitted(
            build(
                baseline="",
                segment=Segment(model="m"),
                indicators=INDICATORS[: hits.shape[1]],
                hits=hits[kept],
                trials=asked[kept],
                times_ms=starts[kept] if measured else None,
                season="none",
                widening=widening,
            )
        )

    return back_test(fit, history)


def test_steady_rates_pass_as_they_are() -> None:
    outcome = outcome_of(np.full(24 * 60, 0.1), measured=True)
    assert outcome.widening == 1.0
    assert not outcome.refused
    assert outcome.back_test is not None
    assert outcome.back_test.seconds == 24 * 3600
    assert outcome.back_test.alarms[0] <= most_alarms(20)


@pytest.mark.parametrize("seed", [1, 9])
def test_chance_alone_is_answered_by_a_wider_band_and_refuses_nothing(seed: int) -> None:
    hits = np.random.default_rng(seed).binomial(6, 0.01, 24 * 60)[:, None]
    outcome = replayed(hits, np.full_like(hits, 6), measured=True)
    assert not outcome.refused, "a rate of one in a hundred, the same all day"
    assert outcome.widening > 1


def waves(hours: int) -> NDArray[np.float64]:
    """Return a rate by minute that is drawn anew every ten minutes."""
    rng = np.random.default_rng(3)
    return np.minimum(0.05 * rng.lognormal(-0.3, 0.8, hours * 6), 0.9).repeat(10)


def test_a_fit_that_does_not_foresee_waves_is_refused_with_what_was_counted() -> None:
    outcome = outcome_of(waves(24), measured=False)
    assert outcome.back_test is not None
    found = outcome.back_test.alarms[0]
    assert found > most_alarms(20)
    assert f"raises {found} alarms where 12 would pass" in outcome.refused
    assert outcome.wanted_ms == 2 * 24 * HOUR_MS
    assert not outcome_of(waves(24), measured=True).refused


def test_a_short_history_is_not_tested() -> None:
    assert outcome_of(np.full(20, 0.1), measured=True) == Outcome()


@pytest.mark.parametrize(("allowed", "most"), [(20, 12), (10, 4), (5, 1)])
def test_counts_pass_where_their_upper_bound_does(allowed: int, most: int) -> None:
    assert most_alarms(allowed) == most


def test_what_was_found_is_written_into_the_reference() -> None:
    made = build(
        baseline="",
        segment=Segment(model="m"),
        indicators=INDICATORS,
        hits=np.array([[1, 2]]),
        trials=np.array([[9, 9]]),
    )
    refused = Outcome(refused="why", wanted_ms=5).apply(made)
    assert (refused.refused, refused.wanted_ms, refused.back_test) == ("why", 5, None)
