from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.quality.rubrics import helpfulness

from tidegauge.adapters.vllm import (
    JudgeFailedError,
    JudgeRefusedError,
    JudgeUnreachableError,
    JudgeUnusableError,
    VllmClient,
)
from tidegauge.quality.golden_set import GoldenAnswer, built_in
from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.qualification import Qualification, Separation
from tidegauge.workers.judge.judges import Judge, RubricJudge
from tidegauge.workers.judge.qualification_run import (
    QualificationRun,
    explain,
    notices,
    run_qualification,
)

JUDGE: Judge = RubricJudge(VllmClient("http://127.0.0.1:1"), helpfulness())
KINDS = JUDGE.kinds


def qualification_run(values: Sequence[float | None], *, first: int = 0) -> QualificationRun:
    scores = {
        f"golden-{number}": Score(values={} if value is None else {"score": value})
        for number, value in enumerate(values, start=first)
    }
    return QualificationRun("specification_hash", Qualification(), scores)


BEFORE = [number / 40 for number in range(40)]


def test_the_same_scores_are_no_change() -> None:
    rounding = [value + 0.001 for value in BEFORE]
    assert not qualification_run(rounding).differs(qualification_run(BEFORE).scores)
    assert not qualification_run(BEFORE[:10]).differs(qualification_run(BEFORE).scores)


def test_a_shift_of_all_scores_is_a_change() -> None:
    kinder = [value + 0.1 for value in BEFORE]
    assert qualification_run(kinder).differs(qualification_run(BEFORE).scores)


def test_scores_that_come_and_go_are_a_change_when_they_are_many() -> None:
    one, many = list[float | None](BEFORE), list[float | None](BEFORE)
    one[3] = None
    many[:8] = [None] * 8
    assert not qualification_run(one).differs(qualification_run(BEFORE).scores)
    assert qualification_run(many).differs(qualification_run(BEFORE).scores)
    assert qualification_run(BEFORE).differs(qualification_run(many).scores)


def test_other_golden_answers_say_nothing_of_a_change() -> None:
    assert not qualification_run([9.0] * 40, first=100).differs(qualification_run(BEFORE).scores)


async def test_a_qualification_run_asks_each_golden_answer_once() -> None:
    asked: list[GoldenAnswer] = []

    async def ask(_: Judge, golden_answer: GoldenAnswer) -> Score:
        asked.append(golden_answer)
        return Score(values={"score": 1.0 if golden_answer.kind == "good" else 0.0})

    few, more = built_in(KINDS, questions=4), built_in(KINDS, questions=30)
    first = await run_qualification(JUDGE, ask, few, {})
    assert not first.qualification.qualified
    whole = await run_qualification(JUDGE, ask, more, first.scores)
    assert len(asked) == len(more)
    assert whole.qualification.qualified
    assert notices("rubric", whole, changed=False)[0] == "qualified:rubric:hot_sampler"
    assert notices("rubric", whole, changed=True)[-1] == "judge_changed:rubric"


async def test_an_golden_answer_that_is_refused_has_no_score() -> None:
    async def ask(_: Judge, golden_answer: GoldenAnswer) -> Score:
        if golden_answer.kind == "injection":
            raise JudgeRefusedError("too long")
        return Score(values={"score": 0.5})

    found = await run_qualification(JUDGE, ask, built_in(KINDS, questions=5), {})
    assert (found.qualification.asked, found.qualification.scored) == (30, 25)
    assert not found.refused


async def test_half_a_qualification_run_is_none() -> None:
    async def ask(_: Judge, golden_answer: GoldenAnswer) -> Score:
        if golden_answer.kind == "injection":
            raise JudgeUnreachableError("gone")
        return Score(values={"score": 0.5})

    with pytest.raises(JudgeUnreachableError, match="gone"):
        await run_qualification(JUDGE, ask, built_in(questions=2), {})


async def test_one_golden_answer_without_a_reply_is_left_out() -> None:
    asked: list[str] = []
    golden = built_in(KINDS, questions=12)

    async def ask(_: Judge, answer: GoldenAnswer) -> Score:
        asked.append(answer.key)
        if answer.key == golden[7].key:
            raise JudgeFailedError("answered 500")
        return Score(values={"score": 1.0 if answer.kind == "good" else 0.0})

    found = await run_qualification(JUDGE, ask, golden, {})
    assert found.qualification.qualified
    assert (len(found.scores), found.qualification.asked) == (len(golden) - 1, len(golden) - 1)
    assert asked.count(golden[7].key) == 2, "it is given a second chance"
    assert len(asked) == len(golden) + 1


async def test_a_server_that_is_away_is_not_asked_of_every_golden_answer() -> None:
    asked: list[str] = []

    async def ask(_: Judge, answer: GoldenAnswer) -> Score:
        asked.append(answer.key)
        raise JudgeUnreachableError("nobody there")

    with pytest.raises(JudgeUnreachableError, match="nobody"):
        await run_qualification(JUDGE, ask, built_in(KINDS, questions=12), {})
    assert len(asked) == 3


async def test_a_server_without_the_model_is_asked_once() -> None:
    asked: list[str] = []

    async def ask(_: Judge, answer: GoldenAnswer) -> Score:
        asked.append(answer.key)
        raise JudgeUnusableError("answered 404: no such model")

    with pytest.raises(JudgeUnusableError, match="no such model"):
        await run_qualification(JUDGE, ask, built_in(KINDS, questions=12), {})
    assert len(asked) == 1


async def test_a_server_that_refuses_every_golden_answer_is_quoted() -> None:
    async def ask(_: Judge, __: GoldenAnswer) -> Score:
        raise JudgeRefusedError("top_logprobs must be at most 5")

    found = await run_qualification(JUDGE, ask, built_in(KINDS, questions=4), {})
    assert found.refused == "top_logprobs must be at most 5"


def test_why_a_judge_is_not_qualified_is_said() -> None:
    low = Qualification((Separation("shuffled", "score", 0.5, 0.2, 9, 9),), scored=18, asked=18)
    assert explain(low).endswith("(area under the curve: shuffled 0.50)")
