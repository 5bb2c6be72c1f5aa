from __future__ import annotations

from collections.abc import Sequence

import pytest

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeUnreachableError, VllmClient
from tidegauge.quality.golden_set import GoldenAnswer, built_in
from tidegauge.quality.qualification import Qualification
from tidegauge.quality.scores import Score
from tidegauge.quality.specifications import RubricSpec
from tidegauge.workers.judge.judges import Judge, RubricJudge
from tidegauge.workers.judge.qualification_run import QualificationRun, examine, notices

JUDGE: Judge = RubricJudge(VllmClient("http://127.0.0.1:1"), RubricSpec(model="m"))


def examination(values: Sequence[float | None], *, first: int = 0) -> QualificationRun:
    scores = {
        f"anchor-{number}": Score(values={} if value is None else {"score": value})
        for number, value in enumerate(values, start=first)
    }
    return QualificationRun("epoch", Qualification(), scores)


BEFORE = [number / 40 for number in range(40)]


def test_the_same_scores_are_no_change() -> None:
    rounding = [value + 0.001 for value in BEFORE]
    assert not examination(rounding).differs(examination(BEFORE).scores)
    assert not examination(BEFORE[:10]).differs(examination(BEFORE).scores)


def test_a_shift_of_all_scores_is_a_change() -> None:
    kinder = [value + 0.1 for value in BEFORE]
    assert examination(kinder).differs(examination(BEFORE).scores)


def test_scores_that_come_and_go_are_a_change_when_they_are_many() -> None:
    one, many = list[float | None](BEFORE), list[float | None](BEFORE)
    one[3] = None
    many[:8] = [None] * 8
    assert not examination(one).differs(examination(BEFORE).scores)
    assert examination(many).differs(examination(BEFORE).scores)
    assert examination(BEFORE).differs(examination(many).scores)


def test_other_anchors_say_nothing_of_a_change() -> None:
    assert not examination([9.0] * 40, first=100).differs(examination(BEFORE).scores)


async def test_an_examination_asks_each_anchor_once() -> None:
    asked: list[GoldenAnswer] = []

    async def ask(_: Judge, anchor: GoldenAnswer) -> Score:
        asked.append(anchor)
        return Score(values={"score": 1.0 if anchor.kind == "good" else 0.0})

    few, more = built_in(questions=4), built_in(questions=30)
    first = await examine(JUDGE, ask, few, {})
    assert not first.qualification.qualified
    whole = await examine(JUDGE, ask, more, first.scores)
    assert len(asked) == len(more)
    assert whole.qualification.qualified
    assert notices("rubric", whole, changed=False)[0] == "qualified:rubric:hot_sampler"
    assert notices("rubric", whole, changed=True)[-1] == "judge_changed:rubric"


async def test_an_anchor_that_is_refused_has_no_score() -> None:
    async def ask(_: Judge, anchor: GoldenAnswer) -> Score:
        if anchor.kind == "injection":
            raise JudgeRefusedError("too long")
        return Score(values={"score": 0.5})

    found = await examine(JUDGE, ask, built_in(questions=5), {})
    assert (found.qualification.asked, found.qualification.scored) == (30, 25)


async def test_half_an_examination_is_none() -> None:
    async def ask(_: Judge, anchor: GoldenAnswer) -> Score:
        if anchor.kind == "injection":
            raise JudgeUnreachableError("gone")
        return Score(values={"score": 0.5})

    with pytest.raises(ExceptionGroup) as caught:
        await examine(JUDGE, ask, built_in(questions=2), {})
    assert caught.group_contains(JudgeUnreachableError)
