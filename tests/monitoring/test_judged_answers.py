from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.findings import JudgedAnswers
from tidegauge.schemas.sketches import Exemplar, Sketch
from tidegauge.streaming.merging import merge_sketches

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic

QUALITY = "quality.likelihood"
JUDGE = "likelihood@0123abcd"


@pytest.fixture
def held(harness: Harness, traffic: Traffic) -> Harness:
    document = build_rates_baseline(traffic.baseline_windows()).to_bytes()
    references = RatesBaseline.from_bytes(document, "rates-1").references
    harness.monitor.use("rates", "rates-1", references, harness.now_ms)
    return harness


def answer(request_id: str, score: float, rank: float) -> Exemplar:
    return Exemplar(
        request_id=request_id,
        rank=rank,
        text=f"Question of {request_id}?",
        customer="acme",
        value=score,
        context="A text.",
        answer=f"Answer of {request_id}.",
        reason="It is off the point.",
    )


def shown(sketch: Sketch, window: int, score: float) -> Sketch:
    """Add answers to a window: one with this score, and a better one."""
    name = f"{sketch.segment.version}-{window}"
    low, high = answer(f"{name}-low", score, 0.1 + score / 100), answer(f"{name}-high", -0.1, 0.4)
    return msgspec.structs.replace(
        sketch,
        exemplars={
            measures.worst(JUDGE, "fluency"): (low, high),
            measures.typical(JUDGE, "fluency"): (
                msgspec.structs.replace(high, rank=0.01),
                msgspec.structs.replace(low, rank=0.02),
            ),
        },
    )


def run(
    harness: Harness, traffic: Traffic, windows: range, *, version: int = 1, shift: float = 0.0
) -> None:
    segment = traffic.version(version)
    for window in windows:
        score = -1.0 - shift - window / 1000
        harness.give(
            shown(traffic.quality(window, 4, shift=shift, segment=segment), window, score),
            traffic.writers["quality"].progress(window + 1),
        )


def evidence(harness: Harness) -> tuple[JudgedAnswers, ...]:
    alert = harness.alerts(QUALITY)[-1]
    assert alert.verdict is not None
    return alert.verdict.evidence


def test_an_alarm_shows_answers_of_the_new_version_beside_the_old_one(
    held: Harness, traffic: Traffic
) -> None:
    run(held, traffic, range(40))
    run(held, traffic, range(40, 75), version=2, shift=0.9)
    new, old = evidence(held)
    assert (new.version, new.current, new.judge, new.score) == ("v2", True, JUDGE, "fluency")
    assert (old.version, old.current) == ("v1", False)
    assert len(new.worst) == 3
    values = [exemplar.value or 0.0 for exemplar in new.worst]
    assert values == sorted(values)
    assert values[0] < -1.9
    assert min(exemplar.value or 0.0 for exemplar in old.worst) > -1.1
    assert {exemplar.request_id.split("-")[0] for exemplar in new.worst} == {"v2"}
    (typical, *_) = new.typical
    assert typical.request_id not in {exemplar.request_id for exemplar in new.worst}
    assert (typical.text[:8], typical.context, typical.reason) == (
        "Question",
        "A text.",
        "It is off the point.",
    )


def test_without_another_version_what_was_before_is_shown(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(200))
    run(held, traffic, range(200, 235), shift=0.9)
    new, old = evidence(held)
    assert (new.version, old.version, new.current, old.current) == ("v1", "v1", True, False)
    assert min(exemplar.value or 0.0 for exemplar in old.worst) > -1.3


def test_the_worst_answers_of_two_sketches_are_the_worst_of_both(traffic: Traffic) -> None:
    one = shown(traffic.quality(0, 4), 0, -1.0)
    two = shown(traffic.quality(0, 4), 1, -3.0)
    both = merge_sketches(one, msgspec.structs.replace(two, sequence=one.sequence))
    worst = both.exemplars[measures.worst(JUDGE, "fluency")]
    assert [exemplar.value for exemplar in worst[:2]] == [-3.0, -1.0]


def test_an_alarm_on_another_signal_shows_no_answers(held: Harness, traffic: Traffic) -> None:
    for window in range(60):
        held.give(
            traffic.vitals(window, 4, slower=5.0 if window > 30 else 1.0),
            traffic.writers["vitals"].progress(window + 1),
        )
    alert = held.alerts("latency.total")[-1]
    assert alert.verdict is not None
    assert alert.verdict.evidence == ()
