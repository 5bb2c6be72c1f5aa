from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.quality.test_classifier import CLASSES, EXCHANGE, PAIR, classifier
from tests.workers.judge.conftest import ScriptedServer

from tidegauge.adapters.vllm import (
    JudgeRefusedError,
    JudgeReplyError,
    JudgeUnusableError,
    VllmClient,
)
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.schemas.exchange import Message
from tidegauge.workers.judge.classifier_judge import ClassifierJudge
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.main import make_judge_pool
from tidegauge.workers.judge.settings import JudgeSettings

REPLIES = {
    "/classify": {"data": [{"probs": [0.5, 0.4, 0.1]}]},
    "/score": {"data": [{"score": 0.8}]},
}


@pytest.mark.parametrize(
    ("text", "path", "score", "asked"),
    [
        (PAIR, "/score", 0.8, {"text_1": "It is 5 m.", "text_2": "How tall? 5 {question} m."}),
        (CLASSES, "/classify", 0.7, {"input": "5 {question} m."}),
    ],
)
async def test_each_method_asks_its_api(
    server: ScriptedServer, text: str, path: str, score: float, asked: dict[str, str]
) -> None:
    server.pooling = REPLIES
    spec = classifier(text)
    async with VllmClient(server.url) as client:
        found = await ClassifierJudge(client, spec).score(EXCHANGE)
    assert found.values["score"] == pytest.approx(score)
    assert server.asked == [{"model": spec.model, **asked, "use_activation": True, "path": path}]


TOO_LONG = (
    "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 "
    "input tokens."
)


@dataclass
class RecordedServer:
    """Answers as vLLM 0.32 did with three small models; what it was not asked is too long for it.

    Attributes:
        url: Where it listens.
        exchanges: What was asked of it, and its reply and status.
        asked: What it is asked now, in order.
    """

    url: str
    exchanges: list[dict[str, Any]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        for each in self.exchanges:
            if (each["path"], each["asked"]) == (request.path, asked):
                return web.json_response(each["reply"], status=each["status"])
        return web.json_response({"error": {"message": TOO_LONG, "code": 400}}, status=400)


@pytest.fixture
async def recorded(unused_tcp_port: int) -> AsyncIterator[RecordedServer]:
    exchanges = json.loads(Path(__file__).with_name("vllm_pooling.json").read_text("utf-8"))
    found = RecordedServer(f"http://127.0.0.1:{unused_tcp_port}", exchanges)
    application = web.Application()
    application.router.add_post("/{path}", found.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    yield found
    await runner.cleanup()


TICKETS = JudgedExchange(
    (
        Message(
            role="user",
            content="<context>The museum opens at nine and closes at five. Tickets cost 12 euros."
            "</context> What do tickets cost?",
        ),
    ),
    "Tickets cost 14 euros for adults.",
)
TOKENS = """
kind: classifier
name: supported
model: tokens
method: tokens
text: "{context}[SEP]{question}[SEP]{answer}"
scale: [{label: SUPPORTED}, {label: HALLUCINATED}]
"""
NATURAL = """
kind: classifier
name: entailed
model: classes
method: classify
text: "{context}[SEP]{answer}"
scale: [{label: entailment}, {label: neutral}, {label: contradiction}]
"""


async def test_the_answers_tokens_alone_are_scored(recorded: RecordedServer) -> None:
    (pooled,) = (each for each in recorded.exchanges if each["path"] == "/pooling")
    tokens = pooled["reply"]["data"][0]["data"]
    assert len(tokens) == 50
    async with VllmClient(recorded.url) as client:
        judge = ClassifierJudge(client, classifier(TOKENS))
        found = await judge.score(TICKETS)
        tokens[36:49] = [[0.9, 0.1]] * 13
        kept = await judge.score(TICKETS)
    assert found.values["score"] < 0.001
    assert (found.answer_tokens, found.tokens) == (13, 50)
    assert found.reason == "14 e; ros; .", "the words of the worst spans"
    assert min(supported for supported, _ in tokens) < 0.001, "of the context"
    assert kept.values == {"score": pytest.approx(0.9)}
    assert not kept.reason


async def test_classes_and_scores_are_read_as_vllm_tells_them(recorded: RecordedServer) -> None:
    pair = PAIR.replace("{question} {answer}", "{answer}").replace("nli", "pair")
    async with VllmClient(recorded.url) as client:
        classes = await ClassifierJudge(client, classifier(NATURAL)).score(TICKETS)
        score = await ClassifierJudge(client, classifier(pair)).score(TICKETS)
        swapped = NATURAL.replace("neutral", "x").replace("contradiction", "neutral")
        other = classifier(swapped.replace("label: x", "label: contradiction"))
        misread = await ClassifierJudge(client, other).score(TICKETS)
    assert classes.values["score"] == pytest.approx(3.3e-5, abs=1e-6)
    assert score.values["score"] == pytest.approx(0.8702, abs=1e-4)
    assert misread.invalid == "other_order"


REFUSED = {
    "score": (404, {"detail": "Not Found"}, "for models with one class"),
    "tokens": (
        400,
        {"error": {"message": "Try switching the model's pooling_task", "code": 400}},
        "for models that tell classes of each token",
    ),
}


@pytest.mark.parametrize("method", REFUSED)
async def test_a_model_for_something_else_cannot_be_asked(
    recorded: RecordedServer, method: str
) -> None:
    status, reply, said = REFUSED[method]
    for each in recorded.exchanges:
        if each["path"] in {"/score", "/pooling"}:
            each.update(status=status, reply=reply)
    text = TOKENS if method == "tokens" else PAIR.replace("nli", "pair")
    spec = classifier(text.replace("{question} {answer}", "{answer}"))
    async with VllmClient(recorded.url) as client:
        with pytest.raises(JudgeUnusableError, match=said):
            await ClassifierJudge(client, spec).score(TICKETS)


async def test_less_is_shown_to_a_model_that_reads_less(recorded: RecordedServer) -> None:
    async with VllmClient(recorded.url) as client:
        judge = ClassifierJudge(client, classifier(CLASSES))
        with pytest.raises(JudgeRefusedError, match="maximum context length"):
            await judge.score(replace(TICKETS, answer="long " * 600))
    lengths = [len(asked["input"]) for asked in recorded.asked]
    assert lengths[0] == 3000
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 500
    assert "tokens left out" in recorded.asked[-1]["input"]


async def test_a_server_without_the_api_cannot_be_asked(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeUnusableError, match="404"):
            await ClassifierJudge(client, classifier(PAIR)).score(EXCHANGE)


@pytest.mark.parametrize("reply", [{}, {"data": []}, {"data": [{"score": "high"}]}])
async def test_a_reply_of_another_form_is_no_score(
    server: ScriptedServer, reply: dict[str, object]
) -> None:
    server.pooling = {"/score": reply}
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeReplyError):
            await ClassifierJudge(client, classifier(PAIR)).score(EXCHANGE)


def test_a_classifier_may_have_a_server_of_its_own(
    server: ScriptedServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    server.pooling = REPLIES
    file = tmp_path / "entailed.yaml"
    file.write_text(f"{PAIR}\nurl: {server.url}\n")
    away = f"http://127.0.0.1:{unused_tcp_port}"
    pool = make_judge_pool(JudgeSettings(judges=str(file), url=away))
    pool.start()
    try:
        (found,) = pool.ask([Question("entailed", EXCHANGE)], deadline_seconds=10)
    finally:
        pool.close()
    assert isinstance(found, Score)
    assert found.values == {"score": 0.8}


def test_a_classifiers_own_server_is_spared_by_its_own_load(
    server: ScriptedServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    server.pooling = REPLIES
    server.waiting = 5
    file = tmp_path / "entailed.yaml"
    file.write_text(f"{PAIR}\nurl: {server.url}\n")
    away = f"http://127.0.0.1:{unused_tcp_port}"
    pool = make_judge_pool(JudgeSettings(judges=str(file), url=away))
    pool.start()
    question = Question("entailed", EXCHANGE)
    try:
        assert pool.ask([question], deadline_seconds=3) == [SkipReason.LATE]
        assert server.asked == []
        server.waiting = 0
        (found,) = pool.ask([question], deadline_seconds=10)
    finally:
        pool.close()
    assert isinstance(found, Score)
