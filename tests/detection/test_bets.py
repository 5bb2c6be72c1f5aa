"""Bets on rates that are random draws in every block of time."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, nbinom

from tidegauge.detection.bets import Bets, block_log_lr, mean_delay, place_bets
from tidegauge.detection.dispersion import BLOCKS_MS
from tidegauge.detection.e_detector import (
    Evidence,
    judge,
    no_evidence,
    observe,
    pack,
    unpack,
    window_log_lr,
)
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.reference import Reference, build
from tidegauge.schemas import Segment

MINUTE_MS = 60_000
BLOCK_MS = 10 * MINUTE_MS
Floats = NDArray[np.float64]


def reference(*, tau: float = 0.4, rate: float = 0.05) -> Reference:
    """Return a reference whose rate is a random draw every ten minutes."""
    made = build(
        baseline="b",
        segment=Segment(model="m"),
        indicators=[Indicator(name="x", title="x", family="x", counter=Hits("x"))],
        hits=np.array([[1]]),
        trials=np.array([[9]]),
    )
    return msgspec.structs.replace(
        made,
        rate=(rate,),
        low=(rate,),
        high=(rate,),
        dispersion=(tau,),
        block_ms=(BLOCK_MS,),
        block_trials=(600.0,),
    )


def log_gains(bets: Bets, hits: Floats, events: int) -> Floats:
    """Return log L of a block for each count of hits, shape (counts, G)."""
    expected = np.broadcast_to(events * bets.edges[0, 0], (len(hits), 2))
    return block_log_lr(bets, np.zeros(len(hits), np.int64), hits, expected, bets.block_ms[:1])


@pytest.mark.parametrize("events", [1, 20, 600])
@pytest.mark.parametrize("spread", [0.0, 0.2, 0.4])
def test_a_block_has_no_gain_on_average_however_its_rate_is_drawn(
    events: int, spread: float
) -> None:
    bets = place_bets(reference())
    hits = np.arange(20 * events + 400, dtype=float)
    log_chance = binom.logpmf(hits, events, 0.05)
    if spread:
        shape = 1 / spread**2
        log_chance = nbinom.logpmf(hits, shape, shape / (shape + events * 0.05))
    mean = np.exp(log_chance[:, None] + log_gains(bets, hits, events)).sum(axis=0)
    assert mean.max() <= 1 + 1e-6
    if spread == 0.4:
        np.testing.assert_allclose(mean, 1, atol=1e-3)


def follow(bets: Bets, windows: int, *, hits: int = 1, trials: int = 10) -> list[Evidence]:
    """Return the evidence after each window of a minute."""
    evidence, found = no_evidence(bets), []
    for window in range(windows):
        evidence = observe(
            bets,
            evidence,
            np.array([hits]),
            np.array([trials]),
            duration_seconds=60.0,
            start_ms=window * MINUTE_MS,
        )
        found.append(evidence)
    return found


def test_the_windows_of_a_block_are_one_count() -> None:
    bets = place_bets(reference())
    split = follow(bets, 10)[-1]
    whole = observe(
        bets,
        no_evidence(bets),
        np.array([10]),
        np.array([100]),
        duration_seconds=600.0,
        start_ms=0,
    )
    np.testing.assert_allclose(split.log_m, whole.log_m, rtol=1e-12)


def test_a_block_can_give_only_so_much_evidence() -> None:
    bets = place_bets(reference())
    plain = place_bets(msgspec.structs.replace(reference(), dispersion=(0.0,), block_ms=(0,)))
    bounded, unbounded = (
        judge(one, follow(one, 10, hits=100, trials=1000)[-1], log_threshold=0.0).log_statistic
        for one in (bets, plain)
    )
    assert bounded < np.log(600) + 4
    assert unbounded > 150


def test_a_burst_is_no_evidence_because_it_stands_at_the_begin_of_a_long_block() -> None:
    long = msgspec.structs.replace(reference(tau=0.35), block_ms=(180 * MINUTE_MS,))
    rows = tuple((1.2 if length < 30 * MINUTE_MS else 0.35,) for length in BLOCKS_MS)
    alike, bursts = (
        follow(place_bets(msgspec.structs.replace(long, dispersion_within=within)), 4, hits=5)
        for within in ((), rows)
    )
    gains = [(found[-1].log_m - found[-1].block.log_begun).max() for found in (alike, bursts)]
    assert gains[0] > 15
    assert gains[1] < 6


@pytest.mark.parametrize("passed_ms", BLOCKS_MS)
def test_a_part_of_a_block_has_no_gain_on_average_with_its_own_dispersion(passed_ms: int) -> None:
    rows = tuple((0.2 + 0.1 * number,) for number in reversed(range(len(BLOCKS_MS))))
    bets = place_bets(msgspec.structs.replace(reference(), dispersion_within=rows))
    events, hits = 100, np.arange(4_000, dtype=float)
    shape = 1 / rows[BLOCKS_MS.index(passed_ms)][0] ** 2
    log_chance = nbinom.logpmf(hits, shape, shape / (shape + events * 0.05))
    expected = np.broadcast_to(events * bets.edges[0, 0], (len(hits), 2))
    none = np.zeros(len(hits), np.int64)
    log_lr = block_log_lr(bets, none, hits, expected, np.array([passed_ms]))
    np.testing.assert_allclose(np.exp(log_chance[:, None] + log_lr).sum(axis=0), 1, atol=1e-3)


def test_what_the_windows_add_sums_to_the_blocks_likelihood_ratio() -> None:
    bets = place_bets(reference())
    found = [no_evidence(bets), *follow(bets, 25)]
    added = [
        window_log_lr(bets, before, after, duration_seconds=60.0)
        for before, after in pairwise(found)
    ]
    last = found[-1]
    np.testing.assert_allclose(sum(added[20:]), last.log_m - last.block.log_begun)


def test_blocks_without_a_window_pass_as_time() -> None:
    bets = place_bets(reference())
    first = follow(bets, 1)[0]
    later = observe(
        bets,
        first,
        np.array([0]),
        np.array([0]),
        duration_seconds=60.0,
        start_ms=5 * BLOCK_MS,
    )
    expected = np.logaddexp(first.log_m, np.log(5 * BLOCK_MS / 1000))
    np.testing.assert_allclose(later.log_m, expected)


def test_a_snapshot_within_a_block_changes_not_a_bit() -> None:
    bets = place_bets(reference())
    half = follow(bets, 5)[-1]
    resumed, straight = unpack(pack(half)), half
    for start in range(5 * MINUTE_MS, 15 * MINUTE_MS, MINUTE_MS):
        resumed, straight = (
            observe(bets, one, np.array([2]), np.array([9]), duration_seconds=60.0, start_ms=start)
            for one in (resumed, straight)
        )
    assert pack(resumed) == pack(straight)


def test_the_delay_counts_whole_blocks_where_one_is_not_enough() -> None:
    made = reference()
    bets = place_bets(made)
    soon, late = (mean_delay(bets, made, 0, rate, owed=15.0) for rate in (0.4, 0.09))
    assert soon < made.block_trials[0] < late < inf
    assert mean_delay(bets, made, 0, 0.05, owed=15.0) == inf
