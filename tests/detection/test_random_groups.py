"""The variance over groups of conversations: right where answers of one resemble each other."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from tidegauge.detection.random_groups import GROUPS, group_of, group_sum, ratio_variance
from tidegauge.quality.sampled_mean import SampledMean, clustered, hajek, score_interval
from tidegauge.streaming.merging import moments_of


def drawn(
    rng: np.random.Generator, conversations: int, turns: int
) -> tuple[SampledMean, SampledMean]:
    """Return a mean with answers counted by themselves, and with conversations as clusters.

    Half of the variance of a score is its conversation's. True mean: 0.
    """
    own = rng.normal(size=(conversations, 1)) + rng.normal(size=(conversations, turns))
    kept = rng.random(own.shape) < 0.5
    sums: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for number in range(conversations):
        group = group_of("acme", f"{rng.random()}/{number}")
        for value in own[number, kept[number]]:
            sums.update(group_sum(group, 2 * value))
            weights.update(group_sum(group, 2.0))
    y, p = own[kept], np.full(int(kept.sum()), 0.5)
    alone = hajek(moments_of(1 / p), moments_of(y / p), moments_of(y / p**2))
    assert alone is not None
    return alone, clustered(alone, sums, weights)


@pytest.mark.parametrize(("conversations", "turns"), [(25, 12), (90, 8)])
def test_the_interval_covers_where_that_of_single_answers_does_not(
    conversations: int, turns: int
) -> None:
    rng = np.random.default_rng(7)
    covered = np.zeros(2)
    runs = 120
    for _ in range(runs):
        for place, found in enumerate(drawn(rng, conversations, turns)):
            interval = score_interval(found)
            covered[place] += interval.low <= 0 <= interval.high
    alone, grouped = covered / runs
    assert alone < 0.85
    assert grouped >= 0.9


def test_independent_answers_keep_their_variance() -> None:
    rng = np.random.default_rng(3)
    alone, grouped = drawn(rng, 2_000, 1)
    assert alone.variance <= grouped.variance < 1.5 * alone.variance
    assert grouped.effective_n >= min(alone.effective_n, GROUPS)


def test_sums_below_zero_are_kept_apart_and_add_up() -> None:
    sums = Counter(group_sum("1", -0.5))
    sums.update(group_sum("1", 0.25))
    assert min(sums.values()) >= 0
    weights = {"1": 1_000_000, "2": 1_000_000}
    assert ratio_variance(sums, weights) == pytest.approx(1 / 64)


def test_one_group_shows_no_variance() -> None:
    assert ratio_variance({"1": 3}, {"1": 5}) == math.inf


def test_a_conversation_has_one_group_whatever_its_answers() -> None:
    groups = {group_of("acme", f"thread-{n}") for n in range(2_000)}
    assert groups == set(map(str, range(GROUPS)))
    assert group_of("acme", "t") != group_of("other", "t") or group_of("acme", "u") != group_of(
        "other", "u"
    )
