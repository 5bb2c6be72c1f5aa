"""A check's rate corrected by a judge's votes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.workers.judge.conftest import SEGMENT, origin, response

from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.sampling import SamplingPlan
from tidegauge.reports.check_votes import check_votes
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import Sketch, SketchKind, SourceRange
from tidegauge.workers.judge.judgment import JudgeVerdict, measured

LABEL = measures.judge_label("refused", "d" * 64)


def sketch(
    kind: SketchKind,
    hits: dict[str, int],
    trials: dict[str, int],
    totals: dict[str, dict[str, int]],
) -> Sketch:
    return Sketch(
        kind=kind,
        producer_id="p",
        sequence=1,
        segment=SEGMENT,
        window_start_ms=0,
        window_ms=10_000,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=1),
        events=1,
        hits=hits,
        trials=trials,
        totals=totals,
    )


def verdict(refused: bool, rate: float) -> JudgeVerdict:  # noqa: FBT001 - the vote
    return JudgeVerdict(
        judge="refused",
        specification_hash="d" * 64,
        number=1,
        judges=1,
        qualified=True,
        plan=SamplingPlan(period=1, salt="s", kappa=rate, floor=rate),
        score=Score(values={"score": 0.1 if refused else 0.9}),
        votes_on="refusal",
    )


def judged(events: list[tuple[ResponseEvent, bool]], rate: float) -> Sketch:
    """Return the sketch of answers with a judge's votes on them."""
    hits: Counter[str] = Counter()
    totals: dict[str, Counter[str]] = {}
    for number, (event, vote) in enumerate(events):
        found = measured(origin(number), event, (verdict(vote, rate),))
        hits.update(found.hits)
        for name, labels in found.totals.items():
            totals.setdefault(name, Counter()).update(labels)
    return sketch("quality", dict(hits), {}, {name: dict(each) for name, each in totals.items()})


def test_a_blind_check_is_corrected_and_its_disagreement_shown() -> None:
    rng = np.random.default_rng(5)
    refused = rng.random(4_000) < 0.2
    checked = refused & (rng.random(4_000) < 0.5)  # it finds half of the refusals
    drawn = rng.random(4_000) < 0.25
    events = [
        (response(n, checks={"refusal": "failed" if checked[n] else "passed"}), bool(refused[n]))
        for n in np.flatnonzero(drawn).tolist()
    ]
    failed = measures.failed("refusal")
    vitals = sketch("vitals", {failed: int(checked.sum())}, {failed: 4_000}, {})
    (found,) = check_votes(judged(events, 0.25), vitals)
    assert (found.check, found.judge, found.judged) == ("refusal", LABEL, len(events))
    assert found.rate == pytest.approx(0.1, abs=0.02)
    assert found.low is not None
    assert found.high is not None
    assert found.low < refused.mean() < found.high
    assert found.low > found.rate
    assert found.disagreement == found.missed == pytest.approx(0.1, abs=0.03)


def test_without_a_check_on_the_answer_there_is_no_vote() -> None:
    assert not check_votes(judged([(response(1), True)], 0.5), sketch("vitals", {}, {}, {}))


def test_a_judge_that_always_agrees_has_no_interval() -> None:
    events = [(response(n, checks={"refusal": "passed"}), False) for n in range(5)]
    failed = measures.failed("refusal")
    (found,) = check_votes(judged(events, 0.5), sketch("vitals", {failed: 1}, {failed: 10}, {}))
    assert (found.corrected, found.disagreement, found.low) == (0.1, 0, None)
