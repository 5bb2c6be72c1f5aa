from __future__ import annotations

from pathlib import Path

import pytest
from tests.quality.test_classifier import CLASSES, EXCHANGE, PAIR, classifier
from tests.workers.judge.conftest import ScriptedServer

from tidegauge.adapters.vllm import JudgeReplyError, JudgeUnusableError, VllmClient
from tidegauge.quality.judged_exchange import Score
from tidegauge.workers.judge.classifier_judge import ClassifierJudge
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.main import make_judge_pool
from tidegauge.workers.judge.settings import JudgeSettings

REPLIES = {
    "/classify": {"data": [{"probs": [0.5, 0.4, 0.1]}]},
    "/score": {"data": [{"score": 0.8}]},
    "/pooling": {"data": [{"data": [[0.9, 0.1, 0.0], [0.2, 0.0, 0.8]]}]},
}


@pytest.mark.parametrize(
    ("text", "path", "score", "asked"),
    [
        (PAIR, "/score", 0.8, {"text_1": "It is 5 m.", "text_2": "How tall? 5 {question} m."}),
        (CLASSES, "/classify", 0.7, {"input": "5 {question} m."}),
        (
            CLASSES.replace("classify", "tokens"),
            "/pooling",
            0.2,
            {"input": "5 {question} m.", "task": "token_classify"},
        ),
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
    assert server.asked == [{"model": spec.model, **asked, "path": path}]


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
