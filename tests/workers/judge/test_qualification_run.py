from __future__ import annotations

from collections.abc import Sequence

import pytest

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeUnreachableError, VllmClient
from tidegauge.quality.golden_set import GoldenAnswer, built_in
from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.qualification import Qualification
from tidegauge.quality.specifications import RubricSpec
from tidegauge.workers.judge.judges import Judge, RubricJudge
from tidegauge.workers.judge.qualification_run import QualificationRun, notices, run_qualification

JUDGE: Judge = RubricJudge(VllmClient("http://127.0.0.1:1"), RubricSpec(model="m"))


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

    few, more = built_in(questions=4), built_in(questions=30)
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

    found = await run_qualification(JUDGE, ask, built_in(questions=5), {})
    assert (found.qualification.asked, found.qualification.scored) == (30, 25)


async def test_half_a_qualification_run_is_none() -> None:
    async def ask(_: Judge, golden_answer: GoldenAnswer) -> Score:
        if golden_answer.kind == "injection":
            raise JudgeUnreachableError("gone")
        return Score(values={"score": 0.5})

    with pytest.raises(ExceptionGroup) as caught:
        await run_qualification(JUDGE, ask, built_in(questions=2), {})
    assert caught.group_contains(JudgeUnreachableError)
