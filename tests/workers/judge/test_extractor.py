from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.workers.judge.conftest import SEGMENT, origin, response

from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.quality.sampling import draw
from tidegauge.schemas import encode, measures
from tidegauge.schemas.evaluations import JudgmentEvent, Remark
from tidegauge.schemas.exchange import ErrorKind, Message, ResponseEvent
from tidegauge.schemas.sketches import JudgeCondition
from tidegauge.streaming.extractor import Extractor, Measurement
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.workers.judge.extractor import JudgeLimits, QualityExtractor
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.judgment import JudgeVerdict, measured
from tidegauge.workers.judge.sampler import Sampler, SamplingRule

HASHES = {"likelihood": "a" * 64, "rubric": "b" * 64}
LIKELIHOOD, RUBRIC = (
    measures.judge_label(name, specification_hash) for name, specification_hash in HASHES.items()
)


class Clock:
    """Moves by as much as the pool takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class ScriptedPool:
    """Answers every question at once; each call takes ``seconds`` of the clock."""

    def __init__(self, clock: Clock, *, seconds: float = 0.1) -> None:
        self.clock = clock
        self.seconds = seconds
        self.asked: list[Question] = []
        self.answer: Score | SkipReason | None = None
        self.good = {"likelihood"}
        self.asked_about = {"likelihood", "rubric"}
        self.waits: list[float] = []

    def ask(
        self, questions: Sequence[Question], *, deadline_seconds: float
    ) -> list[Score | SkipReason]:
        assert deadline_seconds == 10
        self.asked += questions
        self.clock.seconds += self.seconds * len(questions)
        return [self.answer or self._score(question) for question in questions]

    def _score(self, question: Question) -> Score:
        if question.judge == "rubric":
            return Score(values={"score": 0.5}, label_mass=0.95, tokens=300)
        return Score(values={"fluency": -1.0, "relevance": 0.4}, answer_tokens=7, tokens=60)

    def qualified(self, judge: str) -> bool:
        return judge in self.good

    def applies(self, judge: str, exchange: JudgedExchange) -> bool:
        assert exchange.messages
        return judge in self.asked_about

    def conditions(self) -> tuple[JudgeCondition, ...]:
        return ()

    def notices(self) -> tuple[str, ...]:
        return ("unqualified:rubric",)

    def wait_for_qualification(self, timeout_seconds: float) -> bool:
        self.waits.append(timeout_seconds)
        return True


class Bench:
    """An extractor over a scripted pool."""

    def __init__(
        self, *, likelihood: float = 1.0, rubric: float = 1.0, max_age_seconds: float = 60.0
    ) -> None:
        self.clock = Clock()
        self.pool = ScriptedPool(self.clock)
        rule = SamplingRule(
            salt="salt", rates={"likelihood": likelihood, "rubric": rubric}, floor=0.02
        )
        self.extractor = QualityExtractor(
            self.pool,
            Sampler(rule),
            specification_hashes=HASHES,
            limits=JudgeLimits(deadline_seconds=10.0, max_age_seconds=max_age_seconds),
            now_ms=lambda: 1_010_000,
            clock=self.clock,
        )

    def measure(self, *events: ResponseEvent) -> Sequence[Measurement]:
        return self.extractor.measure([(origin(n), event) for n, event in enumerate(events)])


def judgments(measured: Measurement) -> list[JudgmentEvent]:
    return [each.event for each in measured.outputs if isinstance(each.event, JudgmentEvent)]


def test_it_is_an_extractor_of_responses() -> None:
    extractor: Extractor[ResponseEvent] = Bench().extractor
    assert (extractor.kind, extractor.reads) == ("quality", ResponseEvent)
    assert extractor.notices() == ("unqualified:rubric",)
    assert extractor.measure([]) == ()


def test_a_judged_answer_counts_for_its_window() -> None:
    (found,) = Bench(likelihood=0.999).measure(response(1))
    assert found.progress == {"sampled": 1, "judged": 1}
    assert found.values[measures.score(LIKELIHOOD, "fluency")] == -1.0
    assert found.values[measures.weight(LIKELIHOOD)] == pytest.approx(1 / 0.999)
    assert found.values[measures.weighted(LIKELIHOOD, "relevance")] == pytest.approx(0.4 / 0.999)
    assert found.values[measures.cross(LIKELIHOOD, "fluency")] == pytest.approx(-1 / 0.999**2)
    assert found.values[measures.answer_tokens(LIKELIHOOD)] == 7
    assert measures.answer_tokens(RUBRIC) not in found.values
    assert set(found.trials) == {
        measures.invalid(LIKELIHOOD),
        measures.unqualified(LIKELIHOOD),
        measures.invalid(RUBRIC),
        measures.unqualified(RUBRIC),
    }
    assert found.hits == (measures.unqualified(RUBRIC),)
    assert found.exemplar is not None
    assert (found.exemplar.request_id, found.exemplar.text) == (response(1).request_id, "")


def test_each_judgment_says_how_it_came_about() -> None:
    (found,) = Bench().measure(response(1))
    first, second = judgments(found)
    assert (first.judge, second.judge) == ("likelihood", "rubric")
    assert (first.qualified, second.qualified) == (True, False)
    assert (first.salt, first.inclusion_probability, first.specification_hash) == (
        "salt",
        1.0,
        "a" * 64,
    )
    assert (second.label_mass, second.answer_tokens) == (0.95, None)
    assert (first.segment, first.time_ms) == (SEGMENT, 1_000_001)
    assert draw(first.salt, first.request_id) < first.inclusion_probability
    assert len({output.event_id for output in found.outputs}) == 2


def test_judging_again_gives_the_same_numbers() -> None:
    events = [response(n) for n in range(1, 20)]
    runs = [Bench(rubric=0.3).measure(*events) for _ in range(2)]
    assert runs[0] == runs[1]
    sequences = [j.sequence for found in runs[0] for j in judgments(found)]
    assert sequences == sorted(set(sequences))


def test_the_smaller_rate_draws_among_the_larger() -> None:
    bench = Bench(likelihood=0.5, rubric=0.1)
    found = bench.measure(*(response(n) for n in range(1, 401)))
    asked = [[j.judge for j in judgments(each)] for each in found]
    assert 150 < sum(bool(each) for each in asked) < 250
    assert 15 < sum("rubric" in each for each in asked) < 70
    assert all("likelihood" in each for each in asked if each)
    plain = [each for each, judges in zip(found, asked, strict=True) if not judges]
    assert {each.counted for each in plain} == {True}
    assert all(not each.progress for each in plain)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error": ErrorKind.UPSTREAM_TIMEOUT, "status": 504, "output": None}, "failed"),
        ({"output": ""}, "empty"),
        ({"capture": "none", "output": None, "messages": ()}, "not_captured"),
        ({"messages": ()}, "no_prompt"),
        ({"time_ms": 900_000}, "too_old"),
    ],
)
def test_what_is_not_judged_is_counted_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    bench = Bench()
    (found,) = bench.measure(response(1, **changes))
    assert found.progress == {"sampled": 1, f"skipped/{reason}": 1}
    assert found.counted
    assert found.outputs == ()
    assert bench.pool.asked == []


def test_age_is_no_matter_without_a_limit() -> None:
    (found,) = Bench(max_age_seconds=0.0).measure(response(1, time_ms=1))
    assert found.progress["judged"] == 1


def test_an_invalid_verdict_is_counted_and_is_no_score() -> None:
    bench = Bench()
    bench.pool.answer = Score(invalid="label_mass", label_mass=0.2)
    (found,) = bench.measure(response(1))
    assert measures.invalid(RUBRIC) in found.hits
    assert found.values == {}
    assert found.progress == {"sampled": 1, "judged": 1}
    assert {(j.invalid, tuple(j.scores)) for j in judgments(found)} == {("label_mass", ())}


def test_a_judge_that_is_away_is_counted() -> None:
    bench = Bench()
    bench.pool.answer = SkipReason.UNREACHABLE
    (found,) = bench.measure(response(1))
    assert found.progress == {"sampled": 1, "skipped/judge_unreachable": 1}


def test_too_much_work_is_shed_by_the_draw_and_the_rest_weighs_more() -> None:
    bench = Bench(rubric=1.0, likelihood=1.0)
    bench.pool.seconds = 0.1  # ten calls a second: eighty in the time of a batch
    bench.measure(response(1))
    events = [response(n) for n in range(2, 402)]
    found = bench.measure(*events)
    progress = [each.progress for each in found]
    shed = [p for p in progress if "skipped/shed" in p]
    judged = [j for each in found for j in judgments(each)]
    assert len(shed) + sum("judged" in p for p in progress) == 400
    assert {round(j.inclusion_probability, 9) for j in judged} == {0.1}
    assert all(draw("salt", j.request_id) < 0.1 for j in judged)
    kept = {j.request_id for j in judged}
    assert {e.request_id for e in events if draw("salt", e.request_id) < 0.1} == kept


def test_the_account_balances_whatever_happens() -> None:
    bench = Bench(likelihood=0.7, rubric=0.4)
    events = [
        response(
            n,
            **({"output": ""} if n % 5 == 0 else {}),
            time_ms=900_000 if n % 7 == 0 else 1_000_000,
        )
        for n in range(1, 301)
    ]
    totals: dict[str, int] = {}
    for start in range(0, 300, 60):
        for each in bench.measure(*events[start : start + 60]):
            for name, count in each.progress.items():
                totals[name] = totals.get(name, 0) + count
    skipped = sum(count for name, count in totals.items() if name.startswith("skipped/"))
    assert totals["judged"] == totals["sampled"] - skipped
    assert totals["judged"] > 0
    assert skipped > 0


def test_the_qualification_is_waited_for_once() -> None:
    bench = Bench()
    bench.measure(response(1))
    bench.measure(response(2))
    assert bench.pool.waits == [10.0]


def test_a_judged_answer_is_an_example_of_its_scores() -> None:
    event = response(
        messages=(Message(role="user", content="<context>It is 5 m.</context> How tall?"),),
        output="It is 5 m tall. " * 100,
    )
    bench = Bench()
    bench.pool.answer = Score(values={"score": 0.25}, reason="It repeats itself.")
    (found,) = bench.measure(event)
    examples = dict(found.examples)
    worst = examples[measures.worst(RUBRIC, "score")]
    typical = examples[measures.typical(RUBRIC, "score")]
    assert worst.value == 0.25
    assert typical.rank == draw("exemplar", event.request_id)
    assert found.exemplar is not None
    said = [each.event for each in found.outputs if isinstance(each.event, Remark)]
    assert {remark.text for remark in said} == {"It repeats itself."}
    assert {remark.author for remark in said} >= {RUBRIC}
    # What is kept for longer than the answer has none of the words.
    for kept in (*(exemplar for _, exemplar in found.examples), *judgments(found)):
        held = msgspec.json.encode(kept)
        assert not any(word in held for word in (b"How tall", b"5 m", b"repeats"))


def test_a_worse_score_has_a_lesser_rank() -> None:
    bench = Bench()
    ranks = []
    for score in (-1000.0, -2.0, 0.0, 0.5, 1.0):
        bench.pool.answer = Score(values={"score": score})
        (found,) = bench.measure(response(1))
        ranks.append(dict(found.examples)[measures.worst(RUBRIC, "score")].rank)
    assert ranks == sorted(ranks)
    assert all(0 <= rank < 1 for rank in ranks)


def test_the_workers_state_quotes_nothing() -> None:
    extractor = Bench().extractor
    processor = SketchingProcessor(extractor, "judge", SketchSettings())
    event = response(1)
    processor.assign(Partition("responses.v1", 0), None)
    record = Record(Partition("responses.v1", 0), 0, encode(event), timestamp_ms=event.time_ms)
    processor.process([record], event.time_ms)
    state = processor.snapshot(Partition("responses.v1", 0))
    assert b"request-1" in state
    assert b"It is the number 1" not in state
    assert b"What is 1?" not in state


def test_a_grade_of_groundedness_in_its_lower_half_is_a_hallucination() -> None:
    plan = Sampler(SamplingRule(salt="s", rates={"rubric": 1.0}, floor=0.02)).plans(0)["rubric"]
    verdict = JudgeVerdict(
        judge="rubric",
        specification_hash=HASHES["rubric"],
        number=1,
        judges=1,
        qualified=True,
        plan=plan,
        score=Score(values={"score": 0.25}),
        of_context=True,
    )
    checked, hallucinated = measures.grounding_checked(RUBRIC), measures.hallucinated(RUBRIC)
    assert measured(origin(1), response(1), (verdict,)).hits == (checked, hallucinated)
    supported = replace(verdict, score=Score(values={"score": 0.5}))
    assert measured(origin(1), response(1), (supported,)).hits == (checked,)
    other = replace(verdict, of_context=False)
    assert measured(origin(1), response(1), (other,)).hits == ()


def test_a_jurys_disagreement_is_counted_beside_the_score() -> None:
    bench = Bench()
    bench.pool.answer = Score(values={"score": 0.5}, disagreement=0.25)
    (found,) = bench.measure(response(1))
    assert found.values[measures.disagreement(RUBRIC)] == 0.25
    assert {judgment.disagreement for judgment in judgments(found)} == {0.25}


def test_a_question_whose_answer_is_known_is_judged_against_it() -> None:
    bench = Bench()
    bench.extractor._references = {"what is 1?": "The first number."}
    bench.measure(response(1, messages=(Message(role="user", content=" WHAT  is 1? "),)))
    bench.measure(response(2))
    references = [question.exchange.reference for question in bench.pool.asked]
    assert references == ["The first number."] * 2 + [None] * 2
