from __future__ import annotations

import math

import numpy as np
import pytest

from tidegauge.quality.errors import EstimateError
from tidegauge.quality.intervals import EARLIEST, score_interval
from tidegauge.quality.sampled_mean import SampledMean


def estimate(n: float, *, deviation: float = 0.3) -> SampledMean:
    return SampledMean(mean=0.7, variance=deviation**2 / n, n=int(n), effective_n=n)


def test_few_answers_are_too_early() -> None:
    found = score_interval(estimate(499))
    assert found.too_early
    assert found.high - found.mean == pytest.approx(1.96 * 0.3 / math.sqrt(499), rel=1e-3)
    assert not score_interval(estimate(EARLIEST)).too_early


def test_the_sequence_is_wider_than_one_look_and_narrows() -> None:
    widths = [score_interval(estimate(n)).high - 0.7 for n in (500, 1_000, 10_000)]
    looks = [1.96 * 0.3 / math.sqrt(n) for n in (500, 1_000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert all(1.3 < width / look < 2.5 for width, look in zip(widths, looks, strict=True))


def test_no_chance_is_refused() -> None:
    with pytest.raises(EstimateError):
        score_interval(estimate(600), alpha=0)


def misses(streams: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of streams whose sequence, and whose plain interval, misses at some look."""
    looks = np.arange(500, 5_001, 50)
    sequence = plain = 0
    for _ in range(streams):
        scores = np.clip(rng.beta(5, 2, looks[-1]), 0, 1)
        truth = 5 / 7
        for n in looks:
            seen = scores[:n]
            error = float(seen.std(ddof=1)) / math.sqrt(n)
            found = score_interval(SampledMean(float(seen.mean()), error**2, int(n), float(n)))
            if not found.low <= truth <= found.high:
                sequence += 1
                break
        means = np.cumsum(scores)[looks - 1] / looks
        errors = np.array([scores[:n].std(ddof=1) / math.sqrt(n) for n in looks])
        plain += bool((np.abs(means - truth) > 1.96 * errors).any())
    return sequence / streams, plain / streams


def test_peeking_is_allowed_for_the_sequence_only() -> None:
    ours, plain = misses(60, np.random.default_rng(3))
    assert ours <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)
    assert plain > 0.15


@pytest.mark.stats
def test_peeking_is_allowed_for_the_sequence_at_length() -> None:
    ours, plain = misses(1_000, np.random.default_rng(4))
    assert ours <= 0.05
    assert plain > 0.2
