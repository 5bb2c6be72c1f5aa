from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegauge.quality.errors import EstimateError
from tidegauge.quality.sampled_mean import (
    EARLIEST,
    SampledMean,
    hajek,
    of_sketch,
    score_interval,
    stratified,
)
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Moments, Sketch, SourceRange
from tidegauge.streaming.merging import moments_of

Floats = NDArray[np.float64]


def three(y: Floats, p: Floats) -> tuple[Moments, Moments, Moments]:
    return moments_of(1 / p), moments_of(y / p), moments_of(y / p**2)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.02, 1)), min_size=2, max_size=30))
def test_the_moments_give_hajeks_mean_and_variance(pairs: list[tuple[float, float]]) -> None:
    y, p = (np.array(part) for part in zip(*pairs, strict=True))
    found = hajek(*three(y, p))
    assert found is not None
    mean = (y / p).sum() / (1 / p).sum()
    n = y.size
    variance = (((y - mean) / p) ** 2).sum() / (1 / p).sum() ** 2 * n / (n - 1)
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.variance == pytest.approx(variance, abs=1e-7)
    assert found.effective_n == pytest.approx((1 / p).sum() ** 2 / (1 / p**2).sum())


def test_equal_chances_give_the_plain_mean() -> None:
    y = np.array([0.0, 0.5, 1.0, 1.0])
    found = hajek(*three(y, np.full(4, 0.1)))
    assert found is not None
    assert found.mean == pytest.approx(y.mean())
    assert found.variance == pytest.approx(y.var(ddof=1) / 4)
    assert found.effective_n == pytest.approx(4)


def test_nothing_judged_is_no_mean() -> None:
    assert hajek(*three(np.zeros(0), np.ones(0))) is None


def test_one_answer_has_no_finite_variance() -> None:
    found = hajek(*three(np.array([0.3]), np.array([0.5])))
    assert found is not None
    assert found.mean == pytest.approx(0.3)
    assert found.standard_error == np.inf


def test_moments_of_other_answers_are_refused() -> None:
    one, two = moments_of([1.0]), moments_of([1.0, 2.0])
    with pytest.raises(EstimateError, match="same sketches"):
        hajek(one, two, one)


def test_a_sketch_tells_its_mean() -> None:
    judge = measures.judge_label("rubric", "0123456789")
    y, p = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    weight, weighted, cross = three(y, p)
    sketch = Sketch(
        kind="quality",
        producer_id="judge/responses.v1-0",
        sequence=1,
        segment=Segment(model="m"),
        window_start_ms=0,
        window_ms=10_000,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=9),
        events=10,
        moments={
            measures.weight(judge): weight,
            measures.weighted(judge, "score"): weighted,
            measures.cross(judge, "score"): cross,
        },
    )
    found = of_sketch(sketch, judge, "score")
    assert found is not None
    assert found.mean == pytest.approx(0.5)
    assert of_sketch(sketch, "another@judge", "score") is None


def test_strata_count_by_their_answers() -> None:
    calm = SampledMean(mean=0.9, variance=0.01, n=10, effective_n=10.0)
    busy = SampledMean(mean=0.5, variance=0.04, n=10, effective_n=10.0)
    found = stratified([(300, calm), (100, busy)])
    assert found.mean == pytest.approx(0.8)
    assert found.variance == pytest.approx(0.75**2 * 0.01 + 0.25**2 * 0.04)
    assert found.n == 20


def test_no_strata_are_no_mean() -> None:
    with pytest.raises(EstimateError):
        stratified([])


def one_day(rng: np.random.Generator) -> tuple[float, float, float]:
    """Quality falls under load; the budget judges about twenty answers a minute."""
    answers, judged, first = [], [], []
    for minute in range(240):
        load = 20 + int(180 * (1 + np.sin(minute / 240 * 2 * np.pi)) / 2)
        y = np.clip(rng.normal(0.9 - 0.002 * load, 0.15, load), 0, 1)
        # Within a minute, too, the later answers suffer from those before them.
        y = np.clip(y - 0.0008 * np.arange(load), 0, 1)
        p = np.full(load, min(1.0, 20 / load))
        drawn = rng.random(load) < p
        answers.append(y)
        judged.append((y[drawn], p[drawn]))
        first.append(y[:20])
    y, p = (np.concatenate(part) for part in zip(*judged, strict=True))
    found = hajek(*three(y, p))
    assert found is not None
    truth = float(np.concatenate(answers).mean())
    return found.mean - truth, float(np.concatenate(first).mean()) - truth, found.standard_error


def biases(days: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(2026)
    errors = np.array([one_day(rng)[:2] for _ in range(days)])
    return errors.mean(axis=0), errors.std(axis=0, ddof=1) / np.sqrt(days)


def test_hajek_is_unbiased_when_quality_depends_on_load() -> None:
    bias, error = biases(12)
    assert abs(bias[0]) <= 3 * error[0]
    assert abs(bias[1]) > 3 * error[1]


@pytest.mark.stats
def test_hajek_is_unbiased_when_quality_depends_on_load_at_length() -> None:
    bias, error = biases(400)
    assert abs(bias[0]) <= 3 * error[0]
    assert abs(bias[0]) < 0.001
    assert bias[1] > 0.03


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
