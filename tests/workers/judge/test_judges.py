from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp import web
from tests.quality.rubrics import helpfulness
from tests.workers.judge.conftest import ScriptedServer

from tidegauge.adapters.vllm import VllmClient
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.specifications import GroundednessSpec, LikelihoodSpec
from tidegauge.schemas.exchange import Message
from tidegauge.workers.judge.judges import GroundednessJudge, LikelihoodJudge, RubricJudge

EXCHANGE = JudgedExchange(
    (Message(role="user", content="What colour is grass?"),), "The grass is green."
)


async def test_the_rubric_judge_asks_once_when_the_grade_is_clear(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        score = await RubricJudge(client, helpfulness()).score(EXCHANGE)
    assert score.values["score"] == pytest.approx(0.76, abs=0.01)
    assert (score.tokens, score.retried, len(server.asked)) == (100, False, 1)


async def test_labels_are_scored_one_by_one_where_the_server_can(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        by_logprobs = await RubricJudge(client, helpfulness()).score(EXCHANGE)
        server.asked.clear()
        judge = RubricJudge(client, helpfulness(labels_by="scoring"))
        first, again = await judge.score(EXCHANGE), await judge.score(EXCHANGE)
    assert first.values == again.values == by_logprobs.values
    assert first.label_mass == pytest.approx(by_logprobs.label_mass)
    assert [body.get("path") for body in server.asked] == ["/generative_scoring"] * 10
    assert {body["apply_softmax"] for body in server.asked} == {False}
    named = {tuple(sorted(body["label_token_ids"])) for body in server.asked}
    assert len(named) == 1, "every call names all labels, another one first"


async def test_a_server_without_label_scoring_is_asked_for_log_probabilities(
    server: ScriptedServer,
) -> None:
    server.scores_labels = False
    async with VllmClient(server.url) as client:
        judge = RubricJudge(client, helpfulness(labels_by="scoring"))
        first, again = await judge.score(EXCHANGE), await judge.score(EXCHANGE)
        assert first == again == await RubricJudge(client, helpfulness()).score(EXCHANGE)
    assert sum(body.get("path") == "/generative_scoring" for body in server.asked) == 1


async def test_an_unclear_grade_is_asked_for_again_with_reasoning(server: ScriptedServer) -> None:
    server.grade = {"4": -2.0, "Well": -0.2}
    async with VllmClient(server.url) as client:
        score = await RubricJudge(client, helpfulness()).score(EXCHANGE)
    assert score.values == {"score": 0.75}
    assert score.label_mass == pytest.approx(0.135, abs=0.001)
    assert (score.tokens, score.retried, len(server.asked)) == (200, True, 2)


async def test_a_grade_that_stays_unclear_is_invalid(server: ScriptedServer) -> None:
    server.grade, server.reply = {"Well": -0.2}, "I cannot say."
    async with VllmClient(server.url) as client:
        score = await RubricJudge(client, helpfulness()).score(EXCHANGE)
    assert (score.invalid, dict(score.values)) == ("no_grade", {})


async def test_without_retries_the_first_reply_counts(server: ScriptedServer) -> None:
    server.grade = {"Well": -0.2}
    async with VllmClient(server.url) as client:
        score = await RubricJudge(client, helpfulness(retries=False)).score(EXCHANGE)
    assert (score.invalid, len(server.asked)) == ("no_label", 1)


async def test_the_likelihood_judge_reads_the_answer_twice(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        judge = LikelihoodJudge(client, LikelihoodSpec(model="m"))
        score = await judge.score(EXCHANGE)
        assert score.answer_tokens == 4
        assert -2 < score.values["fluency"] < 0
        assert score.values["relevance"] > 0
        assert len(server.asked) == 3  # with a probe of what stands before an answer
        again = await judge.score(EXCHANGE)
    assert again.values == score.values
    assert len(server.asked) == 4  # the answer by itself is known by now


async def test_another_questions_answer_is_less_relevant(server: ScriptedServer) -> None:
    other = JudgedExchange((Message(role="user", content="How far is the moon?"),), EXCHANGE.answer)
    async with VllmClient(server.url) as client:
        judge = LikelihoodJudge(client, LikelihoodSpec(model="m"))
        own, strange = await judge.score(EXCHANGE), await judge.score(other)
    assert strange.values["relevance"] < own.values["relevance"]


async def test_a_low_score_is_explained_if_that_is_asked_for(server: ScriptedServer) -> None:
    server.grade, server.reply = {"1": -0.01}, "It says nothing of grass.\nGrade: 2"
    async with VllmClient(server.url) as client:
        score = await RubricJudge(client, helpfulness(reasons_below=0.3)).score(EXCHANGE)
        assert score.reason == "It says nothing of grass."
        assert score.values["score"] == pytest.approx(0.0, abs=0.01), "the score stays"
        server.grade = {"5": -0.01}
        asked = len(server.asked)
        await RubricJudge(client, helpfulness(reasons_below=0.3)).score(EXCHANGE)
    assert len(server.asked) == asked + 1


async def test_the_groundedness_judge_reads_the_answer_with_its_context_and_without_it(
    server: ScriptedServer,
) -> None:
    asked = Message(
        role="user", content="<context>The fee is 30 euros in Porto.</context> How much?"
    )
    specification = GroundednessSpec(model="m")
    async with VllmClient(server.url) as client:
        judge = GroundednessJudge(client, specification)
        supported = await judge.score(JudgedExchange((asked,), "The fee is 30 euros."))
        read = [[message["content"] for message in body["messages"]] for body in server.asked]
        invented = await judge.score(JudgedExchange((asked,), "The fee is 90 euros."))
    assert read == [
        ["", "How much?", "0"],
        ["", "The fee is 30 euros in Porto.\n\nHow much?", "The fee is 30 euros."],
        ["", "How much?", "The fee is 30 euros."],
    ]
    assert len(server.asked) == 5, "the empty answer is read once"
    assert supported.answer_tokens == 5
    assert 0 < invented.values["groundedness"] < supported.values["groundedness"] < 1


def test_the_groundedness_judge_is_asked_about_answers_whose_context_is_known() -> None:
    specification = GroundednessSpec(model="m")
    asked = Message(role="user", content="<context>The fee is 30 euros.</context> How much?")
    assert specification.applies(JudgedExchange((asked,), "30"))
    assert not specification.applies(JudgedExchange((asked,), "30", cut=True))
    assert not specification.applies(EXCHANGE)
    assert specification.specification_hash != GroundednessSpec(model="n").specification_hash


async def test_a_jury_changes_no_score_and_shows_its_disagreement(server: ScriptedServer) -> None:
    grades = {"m": {"5": -0.001}, "b": {"4": -0.001}, "c": {"2": -0.001}}

    def by_model(body: dict[str, Any]) -> web.Response | None:
        if body["model"] not in grades:
            return web.Response(status=404)
        server.grade = grades[body["model"]]
        return None

    server.broken = by_model
    jury = msgspec.structs.replace(helpfulness(), jury=("b", "gone", "c"), jury_share=1.0)
    async with VllmClient(server.url) as client:
        alone = await RubricJudge(client, helpfulness()).score(EXCHANGE)
        score = await RubricJudge(client, jury).score(EXCHANGE)
    assert alone.disagreement is None
    assert score.values == alone.values
    assert score.disagreement == pytest.approx(0.75)
    assert score.tokens == 300
    assert jury.specification_hash == helpfulness().specification_hash


async def test_a_jury_is_asked_about_its_share(server: ScriptedServer) -> None:
    jury = msgspec.structs.replace(helpfulness(), jury=("b",), jury_share=0.0)
    async with VllmClient(server.url) as client:
        score = await RubricJudge(client, jury).score(EXCHANGE)
    assert score.disagreement is None
    assert {body["model"] for body in server.asked} == {"m"}
