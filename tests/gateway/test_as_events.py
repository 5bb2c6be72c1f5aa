"""Whole answers for clients that have been promised a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from tests.gateway.answers_of_apis import ANSWERS
from tests.gateway.conftest import Running, StartGateway
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion
from tests.gateway.upstream_answers import Answer

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.gateway.apis import APIS
from tidegauge.gateway.proxy.relay import FrameSplitter, Relay, data_of, is_end
from tidegauge.schemas.exchange import ErrorKind

APART = {
    "lines of JSON",
    "a stream that nobody asked for",
    "response whose status is a number",
}


def is_whole(answer: Answer) -> bool:
    headers = dict(answer.headers)
    odd = answer.stream or answer.name in APART or "content-encoding" in headers
    return answer.outcome == "ok" and not odd


def read(answer: ParsedAnswer) -> tuple[object, ...]:
    return answer.text, answer.refusal, answer.tool_calls, answer.finish_reason, answer.media


def test_the_events_say_what_the_answer_says() -> None:
    wrong = []
    for answer in filter(is_whole, ANSWERS):
        api = APIS[answer.route]
        collector = api.collector(2)
        splitter = FrameSplitter()
        for frame in splitter.feed(api.as_events(answer.body, with_usage=True)):
            data = data_of(frame)
            if data is not None and not is_end(data):
                collector.take(data)
        found, right = collector.answer(), api.answer(answer.body)
        if (read(found), found.usage, splitter.rest) != (read(right), right.usage, b""):
            wrong.append((answer.route, answer.name, read(found), read(right)))
    assert wrong == []


class Silent:
    """A gateway whose upstream answers in one piece, after the client has heard a comment."""

    def __init__(self, running: Running, upstream: ScriptedUpstream, heard: asyncio.Event) -> None:
        self.running = running
        self.client = openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="-", max_retries=0)
        self._upstream = upstream
        self._heard = heard

    def answers(self, body: object, status: int = 200) -> None:
        async def script(_request: Received, connection: Connection) -> None:
            await self._heard.wait()
            await connection.answer(body, status)

        self._upstream.script = script

    async def text(self, route: str, **asked: object) -> str:
        """Ask for a stream and return all of it."""
        body = {"model": "served", "stream": True, **asked}
        return (await self.running.client.post(route, json=body)).text


@pytest.fixture
async def silent(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Silent]:
    heard, keep_alive = asyncio.Event(), Relay.keep_alive

    async def tell(relay: Relay) -> None:
        await keep_alive(relay)
        heard.set()

    monkeypatch.setattr(Relay, "keep_alive", tell)
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    silent = Silent(await start_gateway(models, keep_alive_seconds=0.02), upstream, heard)
    async with silent.client:
        yield silent


MESSAGE = {"role": "user", "content": "Hi"}


async def test_chat_comes_as_chunks(silent: Silent) -> None:
    silent.answers(chat_completion("Hello."))
    text = await silent.text("/v1/chat/completions", messages=[MESSAGE])
    assert '"object":"chat.completion.chunk"' in text
    assert '"delta":{"role":"assistant","content":"Hello."}' in text
    assert "usage" not in text
    assert text.endswith("data: [DONE]\n\n")
    (event,) = silent.running.answered
    assert (event.status, event.outcome, event.output) == (200, "ok", "Hello.")


async def test_the_openai_package_reads_them(silent: Silent) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hello.", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    silent.answers(chat_completion(choices=[choice]))
    chunks = await silent.client.chat.completions.create(
        model="served",
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    found = [chunk async for chunk in chunks]
    delta = found[0].choices[0].delta
    assert delta.content == "Hello."
    assert delta.tool_calls is not None
    assert delta.tool_calls[0].function is not None
    assert (delta.tool_calls[0].index, delta.tool_calls[0].function.name) == (0, "find")
    assert found[-1].usage is not None
    assert found[-1].usage.total_tokens == 10


async def test_the_openai_package_reads_a_response(silent: Silent) -> None:
    part = {"type": "output_text", "text": "Hello.", "annotations": []}
    call = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "find", "arguments": "{}"}
    said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
    silent.answers(
        {
            "id": "r1",
            "object": "response",
            "status": "completed",
            "model": "served",
            "created_at": 1,
            "output": [{**said, "content": [part]}, call],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
    )
    async with silent.client.responses.stream(model="served", input="Hi") as events:
        kinds = [event.type async for event in events]
        response = await events.get_final_response()
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds
    assert kinds[-1] == "response.completed"
    assert response.output_text == "Hello."
    assert [item.type for item in response.output] == ["message", "function_call"]


async def test_a_message_comes_as_blocks(silent: Silent) -> None:
    call = {"type": "tool_use", "id": "a", "name": "find", "input": {"x": 1}}
    content = [{"type": "text", "text": "Hello."}, call]
    body = {"id": "m1", "type": "message", "role": "assistant", "content": content}
    silent.answers({**body, "stop_reason": "tool_use", "usage": {"output_tokens": 3}})
    text = await silent.text("/v1/messages", messages=[MESSAGE], max_tokens=9)
    kinds = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", *block, *block, "message_delta", "message_stop"]
    assert '"partial_json":"{\\"x\\":1}"' in text


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"<html>busy</html>", 503, "the upstream answered 503"),
        (b"<html>login</html>", 200, "no answer can be read"),
        ({"error": {"message": "boom"}}, 500, "boom"),
        ({"error": {"message": "boom"}}, 200, "boom"),
    ],
)
async def test_what_is_no_answer_comes_as_an_error(
    silent: Silent, body: object, status: int, said: str
) -> None:
    silent.answers(body, status)
    with pytest.raises(openai.APIError, match=said):
        async for _ in await silent.client.chat.completions.create(
            model="served", messages=[{"role": "user", "content": "Hi"}], stream=True
        ):
            pass
    (event,) = silent.running.answered
    assert (event.status, event.outcome) == (200, "failed")
    assert event.error == ErrorKind.UPSTREAM_ERROR


async def test_a_failure_of_the_gateway_ends_the_stream(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("tidegauge.gateway.proxy.forwarding.read_whole", fail)
    silent.answers(chat_completion())
    text = await silent.text("/v1/chat/completions", messages=[MESSAGE])
    assert "the gateway failed" in text.rpartition("data: ")[2]
    (event,) = silent.running.answered
    assert (event.status, event.outcome, event.error) == (200, "failed", ErrorKind.GATEWAY_ERROR)
