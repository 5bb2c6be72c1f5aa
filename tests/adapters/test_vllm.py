from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.workers.judge.conftest import ScriptedServer, nan, not_json, server

from tidegauge.adapters.vllm import (
    JudgeRefusedError,
    JudgeReplyError,
    JudgeServerError,
    JudgeUnreachableError,
    JudgeUnusableError,
    VllmClient,
)
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.schemas.exchange import Message

__all__ = ["server"]

ASKED = (Message(role="user", content="How are you?"), Message(role="assistant", content="Fine."))


async def test_the_next_token_is_told_with_its_likely_rivals(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        found = await client.next_token("m", ASKED)
    assert found.log_probabilities == {"4": -0.05, "5": -3.1}
    assert found.tokens == 100
    body = server.asked[0]
    assert (body["max_tokens"], body["temperature"], body["top_logprobs"]) == (1, 0, 20)
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


async def test_a_text_is_read_token_by_token(server: ScriptedServer) -> None:
    async with VllmClient(f"{server.url}/v1/") as client:
        found = await client.read("m", ASKED)
    assert found[0] == ScoredToken(None, None)
    assert len(found) == 6
    assert all(token.log_probability is not None for token in found[1:])


async def test_a_reply_may_be_long(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        found = await client.complete("m", ASKED[:1], max_tokens=50)
    assert found.text.endswith("Grade: 4")
    assert server.asked[0]["add_generation_prompt"] is True


async def test_the_queue_is_read_from_the_metrics(server: ScriptedServer) -> None:
    server.waiting = 7
    async with VllmClient(server.url) as client:
        load = await client.load()
    assert (load.waiting, load.cache_usage) == (7, 0.0)


async def test_nan_is_no_number_and_no_crash(server: ScriptedServer) -> None:
    server.broken = nan
    async with VllmClient(server.url) as client:
        found = await client.read("m", ASKED)
    assert found == (ScoredToken(None, None), ScoredToken(1, None))


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "[]",
        '{"prompt_logprobs": [5]}',
        '{"prompt_logprobs": [{"x": {"logprob": 1}}]}',
        '{"prompt_logprobs": [{"1": 5}]}',
    ],
)
async def test_a_reply_of_another_form_is_said_to_be_one(server: ScriptedServer, text: str) -> None:
    server.broken = lambda _: web.Response(text=text, content_type="application/json")
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeReplyError, match="is it a vLLM server"):
            await client.read("m", ASKED)


async def test_a_grade_of_another_form_is_said_to_be_one(server: ScriptedServer) -> None:
    server.broken = not_json
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeReplyError):
            await client.next_token("m", ASKED)
        server.broken = lambda _: web.json_response({"choices": [{"logprobs": {"content": [5]}}]})
        with pytest.raises(JudgeReplyError):
            await client.next_token("m", ASKED)


async def test_a_request_that_is_refused_is_not_repeated(server: ScriptedServer) -> None:
    server.broken = lambda _: web.json_response({"error": "too long"}, status=400)
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeRefusedError, match=r"400.*too long"):
            await client.read("m", ASKED)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
async def test_what_the_server_lacks_is_said_in_its_words(
    server: ScriptedServer, status: int
) -> None:
    server.broken = lambda _: web.json_response({"message": "no model m"}, status=status)
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeUnusableError, match=rf"{status}.*no model m"):
            await client.read("m", ASKED)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_an_error_does_not_repeat_what_was_asked(server: ScriptedServer, status: int) -> None:
    """Errors are logged and stand in alerts, which are kept for longer than texts may be."""
    said = f"Input should be a number, 'input': {ASKED[0].content!r}"
    server.broken = lambda _: web.json_response({"error": said}, status=status)
    async with VllmClient(server.url, attempts=1) as client:
        with pytest.raises(JudgeServerError, match="Input should be a number") as raised:
            await client.read("m", ASKED)
    assert ASKED[0].content not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"prompt_logprobs": None}, "prompt_logprobs is null"),
        ({}, "prompt_logprobs is null"),
        ({"model": "n", "prompt_logprobs": []}, "asked for the model 'm', and 'n' answered"),
    ],
)
async def test_a_server_that_cannot_read_texts_is_unusable(
    server: ScriptedServer, reply: dict[str, object], said: str
) -> None:
    server.broken = lambda _: web.json_response(reply)
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeUnusableError, match=said):
            await client.read("m", ASKED)


async def test_a_server_may_have_two_names_for_one_model(server: ScriptedServer) -> None:
    server.model = "first-name"
    server.roots = {"first-name": "/weights/a", "m": "/weights/a", "other": "/weights/b"}
    async with VllmClient(server.url) as client:
        assert (await client.next_token("m", ASKED)).log_probabilities
        server.model = "other"
        with pytest.raises(JudgeUnusableError, match="'other' answered"):
            await client.next_token("m", ASKED)


@pytest.mark.parametrize(
    ("logprobs", "said"),
    [
        (None, "no log-probabilities"),
        ({"content": [{"top_logprobs": [{"token": "token_id:20", "logprob": -1}]}]}, "numbers"),
    ],
)
async def test_a_server_that_tells_no_tokens_is_unusable(
    server: ScriptedServer, logprobs: object, said: str
) -> None:
    server.broken = lambda _: web.json_response({"choices": [{"logprobs": logprobs}]})
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeUnusableError, match=said):
            await client.next_token("m", ASKED)


async def test_an_error_in_a_reply_is_no_reply(server: ScriptedServer) -> None:
    server.broken = lambda _: web.json_response({"error": {"message": "out of cheese"}})
    async with VllmClient(server.url) as client:
        with pytest.raises(JudgeRefusedError, match="out of cheese"):
            await client.next_token("m", ASKED)


async def test_a_reply_that_was_cut_off_is_known(server: ScriptedServer) -> None:
    choice = {"message": {"content": "Grade: 2 would"}, "finish_reason": "length"}
    server.broken = lambda _: web.json_response({"choices": [choice]})
    async with VllmClient(server.url) as client:
        assert not (await client.complete("m", ASKED[:1], max_tokens=5)).finished


async def test_a_busy_server_is_asked_again(server: ScriptedServer) -> None:
    def busy_once(_: dict[str, Any]) -> web.Response | None:
        return web.Response(status=503) if len(server.asked) == 1 else None

    server.broken = busy_once
    async with VllmClient(server.url) as client:
        assert await client.read("m", ASKED)
    assert len(server.asked) == 2


async def test_a_server_that_stays_broken_is_given_up(server: ScriptedServer) -> None:
    server.broken = lambda _: web.Response(status=500)
    async with VllmClient(server.url, attempts=2) as client:
        with pytest.raises(JudgeUnreachableError, match="500"):
            await client.read("m", ASKED)
    assert len(server.asked) == 2


async def test_a_server_that_is_not_there_is_named(unused_tcp_port: int) -> None:
    async with VllmClient(f"http://127.0.0.1:{unused_tcp_port}", attempts=1) as client:
        with pytest.raises(JudgeUnreachableError, match="TIDEGAUGE_JUDGE_URL"):
            await client.load()


async def test_a_slow_server_is_not_waited_for_without_end(server: ScriptedServer) -> None:
    server.hold.clear()
    began = asyncio.get_running_loop().time()
    async with VllmClient(server.url, timeout_seconds=0.2, attempts=1) as client:
        with pytest.raises(JudgeUnreachableError, match="Timeout"):
            await client.read("m", ASKED)
    assert asyncio.get_running_loop().time() - began < 5


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(JudgeRefusedError, match="http://"):
        VllmClient("ftp://judge")
