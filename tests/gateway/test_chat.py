"""Chat completions through the gateway: plain, streamed, and what is recorded of them."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.gateway.conftest import Running, eventually
from tests.gateway.scripted import (
    USAGE_CHUNK,
    Connection,
    Received,
    ScriptedUpstream,
    chat_chunk,
    chat_completion,
)

from tidegauge.schemas.exchange import ErrorKind, Message, Usage


@pytest.fixture(params=[True, False], ids=["wire", "asgi"])
def wire(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_bytes_pass_untouched_both_ways(gateway: Running, upstream: ScriptedUpstream) -> None:
    body = b'{ "model": "served",  "messages": [{"role":"user","content":"\\u00e9"}], "x": 1.50 }'
    reply = b'{"choices": [ {"index":0,"message":{"content":"ok", "new": {"a":1.0}}} ] }'

    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(reply, headers={"x-of-upstream": "yes"})

    upstream.script = script
    response = await gateway.client.post("/v1/chat/completions", content=body)
    assert response.content == reply
    assert response.headers["x-of-upstream"] == "yes"
    assert upstream.requests[0].body == body
    assert upstream.requests[0].path == "/v1/chat/completions"
    assert upstream.requests[0].headers["x-request-id"] == response.headers["x-request-id"]


async def test_an_exchange_becomes_two_events_and_a_log_line(gateway: Running) -> None:
    response = await gateway.chat("How do I reset my password?", temperature=0.5, seed=7)
    assert response.status_code == 200
    (asked,), (answered,) = gateway.asked, gateway.answered
    assert (asked.sequence, answered.sequence) == (1, 2)
    assert asked.request_id == answered.request_id == response.headers["x-request-id"]
    assert asked.messages == (Message(role="user", content="How do I reset my password?"),)
    assert asked.segment.model == "served"
    assert asked.segment.version == "v1"
    assert asked.segment.route == "/v1/chat/completions"
    assert (asked.sampling.temperature, asked.sampling.seed) == (0.5, 7)
    assert (answered.status, answered.error, answered.output) == (200, None, "Hello.")
    assert answered.usage == Usage(input_tokens=7, output_tokens=3)
    assert answered.customer == "anonymous"
    assert answered.served_model == "served"
    assert answered.latency_ms > 0
    assert answered.time_to_first_token_ms is None
    (line,) = gateway.log()
    assert line["event"] == "request"
    assert line["request_id"] == answered.request_id
    assert line["latency_ms"] == pytest.approx(answered.latency_ms, abs=0.001)
    assert (line["prompt_characters"], line["response_characters"]) == (27, 6)
    assert (line["input_tokens"], line["output_tokens"]) == (7, 3)
    assert "password" not in json.dumps(line)
    counts = gateway.recorder.counts()
    assert counts.served == counts.captured["responses.v1"] == 1


async def test_usage_is_asked_for_and_hidden_again(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    response = await gateway.chat(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [line for line in response.text.split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    assert not any('"usage"' in event for event in events)
    assert len(events) == 5
    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}
    (answered,) = gateway.answered
    assert answered.usage == Usage(input_tokens=7, output_tokens=2)
    assert answered.output == "Hello."
    assert answered.stream
    assert answered.finish_reason == "stop"
    assert answered.time_to_first_token_ms is not None
    assert 0 < answered.time_to_first_token_ms <= answered.latency_ms
    assert answered.inter_token is not None


async def test_usage_stays_for_a_client_that_asked(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    options = {"include_usage": True, "continuous_usage_stats": False}
    response = await gateway.chat(stream=True, stream_options=options)
    assert f"data: {json.dumps(USAGE_CHUNK)}\n\n" in response.text
    assert upstream.requests[0].json["stream_options"] == options


async def test_pieces_arrive_as_they_are_sent(gateway: Running, upstream: ScriptedUpstream) -> None:
    go_on = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.chunk(b": keep-alive\n\n")
        await connection.event(chat_chunk("one"))
        await go_on.wait()
        await connection.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"t')
        await connection.chunk('wö"}}]}\n\n'.encode())
        await connection.event(chat_chunk(finish="stop"))
        await connection.end_stream()

    upstream.script = script
    body = {"model": "served", "messages": [], "stream": True}
    async with gateway.client.stream("POST", "/v1/chat/completions", json=body) as response:
        received = ""
        async for text in response.aiter_text():
            received += text
            if '"one"' in received and not go_on.is_set():
                assert received.startswith(": keep-alive\n\n")
                assert "tw" not in received
                go_on.set()
    assert received.endswith("data: [DONE]\n\n")
    assert gateway.answered[0].output == "onetwö"


async def test_an_upstream_that_dies_in_a_stream_is_told(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hel"))
        await asyncio.sleep(0)
        connection.die()

    upstream.script = script
    response = await gateway.chat(stream=True)
    last = response.text.strip().split("\n\n")[-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["code"] == "upstream_interrupted"
    assert "[DONE]" not in response.text
    (answered,) = gateway.answered
    assert answered.error == ErrorKind.UPSTREAM_INTERRUPTED
    assert answered.output == "Hel"
    assert answered.usage == Usage(input_tokens=5, output_tokens=1, estimated=True)
    assert answered.checks == {}


async def test_a_client_that_leaves_cancels_the_upstream(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    cut = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hel"))
        await connection.closed.wait()
        cut.set()

    upstream.script = script
    body = {"model": "served", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with gateway.client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for _ in response.aiter_text():
            break
    async with asyncio.timeout(5):
        await cut.wait()
    await eventually(lambda: gateway.answered)
    (answered,) = gateway.answered
    assert answered.error == ErrorKind.CLIENT_DISCONNECTED
    assert (answered.status, answered.output) == (200, "Hel")
    assert answered.usage is not None
    assert answered.usage.estimated
    assert gateway.recorder.counts().served == 1


async def test_a_client_that_leaves_before_the_answer(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It leaves sooner than a client would.
    monkeypatch.setattr("tidegauge.gateway.http.closing.HALF_CLOSE_SECONDS", 0.0)
    cut = asyncio.Event()
    asked = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        asked.set()
        await connection.closed.wait()
        cut.set()

    upstream.script = script
    task = asyncio.create_task(gateway.chat())
    await asked.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await cut.wait()
    await eventually(lambda: gateway.answered)
    (answered,) = gateway.answered
    assert (answered.status, answered.error) == (499, ErrorKind.CLIENT_DISCONNECTED)


async def test_connections_are_kept(gateway: Running, upstream: ScriptedUpstream) -> None:
    for _ in range(5):
        assert (await gateway.chat()).status_code == 200
        assert (await gateway.chat(stream=True)).status_code == 200
    assert upstream.connections == 1


async def test_a_kept_connection_that_was_closed_is_replaced(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def once(_request: Received, connection: Connection) -> None:
        await connection.answer(chat_completion())
        connection.die()

    upstream.script = once
    for _ in range(5):
        assert (await gateway.chat()).status_code == 200
    assert all(event.error is None for event in gateway.answered)


async def test_other_fields_of_a_reply_are_captured(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]

    async def script(_request: Received, connection: Connection) -> None:
        reply = chat_completion()
        reply["choices"][0] = {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": calls},
            "finish_reason": "tool_calls",
        }
        await connection.answer(reply)

    upstream.script = script
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    messages = [{"role": "user", "content": content}]
    await gateway.chat(tools=tools, messages=messages)
    (answered,) = gateway.answered
    assert answered.messages[0].content == "What is this?\n[image]"
    assert json.loads(answered.tool_calls or "")[0]["function"]["name"] == "f"
    assert answered.checks == {
        "truncation": "passed",
        "empty": "passed",
        "tool_arguments": "passed",
    }
