from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegauge.quality.errors import EstimateError
from tidegauge.quality.sampled_mean import SampledMean, hajek, of_sketch, stratified
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Moments, Sketch, SourceRange
from tidegauge.streaming import moments

Floats = NDArray[np.float64]


def three(y: Floats, p: Floats) -> tuple[Moments, Moments, Moments]:
    return moments.of(1 / p), moments.of(y / p), moments.of(y / p**2)


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
    one, two = moments.of([1.0]), moments.of([1.0, 2.0])
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
