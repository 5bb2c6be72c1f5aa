"""How exchanges end whose client leaves, whose model calls tools, whose upstream is full."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import (
    USAGE_CHUNK,
    Connection,
    Received,
    Script,
    ScriptedUpstream,
    chat_chunk,
    chat_completion,
)

from tidegauge.gateway.apis import APIS
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ErrorKind, ResponseEvent, Usage
from tidegauge.vitals.customers import Customers
from tidegauge.vitals.extractor import measure_response

RESPONSE = {"id": "r1", "object": "response", "model": "served", "output": []}
SAID = {"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}
TOKENS = {"input_tokens": 7, "output_tokens": 2}
OBJECT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"required": ["x"]}}}
CALL = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
WITH_OBJECT = {"id": "a", "function": {"name": "find", "arguments": {"x": 1}}}
ERROR = {"error": {"message": "boom", "code": 500}}


def sending(*events: object) -> Script:
    """Stream events and then wait until the gateway closes."""

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        for event in events:
            await connection.event(event)
        await connection.closed.wait()

    return script


def answering(body: object, status: int = 200) -> Script:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(body, status)

    return script


async def left_after(
    gateway: Running, route: str, body: dict[str, Any], last: str
) -> ResponseEvent:
    """Ask for a stream, leave when a text has arrived, and return what is recorded."""
    async with gateway.client.stream("POST", route, json=body | {"stream": True}) as response:
        received = ""
        async for text in response.aiter_text():
            received += text
            if last in received:
                break
    await eventually(lambda: gateway.answered)
    (event,) = gateway.answered
    return event


CHAT = {"model": "served", "messages": [{"role": "user", "content": "How do I get there?"}]}


async def test_a_client_that_leaves_after_the_finish_reason_has_its_answer(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    end = chat_chunk(finish="stop", usage=USAGE_CHUNK["usage"])
    upstream.script = sending(chat_chunk("Hel"), chat_chunk("lo."), end)
    event = await left_after(gateway, "/v1/chat/completions", CHAT, '"stop"')
    assert (event.outcome, event.error, event.output) == ("ok", None, "Hello.")
    assert event.usage == Usage(input_tokens=7, output_tokens=2)
    assert event.checks["empty"] == event.checks["truncation"] == "passed"
    assert measures.LATENCY_MS in measure_response(event, Customers(1)).values


async def test_a_client_that_leaves_after_the_last_event_of_a_response_has_its_answer(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    whole = RESPONSE | {"status": "completed", "output": [SAID], "usage": TOKENS}
    upstream.script = sending(
        {"type": "response.created", "response": RESPONSE | {"status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "Hello."},
        {"type": "response.completed", "response": whole},
    )
    body = {"model": "served", "input": "Hi"}
    event = await left_after(gateway, "/v1/responses", body, "response.completed")
    assert (event.outcome, event.output, event.finish_reason) == ("ok", "Hello.", "stop")
    assert event.usage == Usage(input_tokens=7, output_tokens=2)


@pytest.mark.parametrize("error", [ERROR, {"object": "error", "message": "boom"}])
async def test_a_client_that_leaves_because_of_an_error_was_failed(
    gateway: Running, upstream: ScriptedUpstream, error: object
) -> None:
    upstream.script = sending(chat_chunk("Hel"), error)
    event = await left_after(gateway, "/v1/chat/completions", CHAT, "boom")
    assert (event.outcome, event.error) == ("failed", ErrorKind.UPSTREAM_ERROR)
    assert measure_response(event, Customers(1)).hits == (measures.ERROR,)


async def test_a_client_that_leaves_before_the_end_is_charged_what_was_sent(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = sending(chat_chunk("Hel"), chat_chunk("lo."))
    event = await left_after(gateway, "/v1/chat/completions", CHAT, "lo.")
    assert (event.outcome, event.error) == ("cancelled", ErrorKind.CLIENT_DISCONNECTED)
    assert event.usage == Usage(input_tokens=9, output_tokens=2, estimated=True)
    assert event.checks == {}
    assert measures.ERROR not in measure_response(event, Customers(1)).trials


async def test_a_client_that_times_out_is_charged_its_prompt(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It leaves sooner than a client would that times out.
    monkeypatch.setattr("tidegauge.gateway.http.closing.HALF_CLOSE_SECONDS", 0.0)
    asked = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        asked.set()
        await connection.closed.wait()

    upstream.script = script
    task = asyncio.create_task(gateway.chat("How do I get there?"))
    await asked.wait()
    task.cancel()
    await eventually(lambda: gateway.answered)
    (event,) = gateway.answered
    assert (event.status, event.outcome, event.error) == (
        499,
        "cancelled",
        ErrorKind.CLIENT_DISCONNECTED,
    )
    assert event.usage == Usage(input_tokens=9, output_tokens=0, estimated=True)


async def test_an_upstream_that_dies_after_the_finish_reason_has_answered(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hello."))
        await connection.event(chat_chunk(finish="stop"))
        connection.die()

    upstream.script = script
    response = await gateway.chat(stream=True)
    assert "error" not in response.text
    (event,) = gateway.answered
    assert (event.outcome, event.error) == ("ok", None)


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
def start(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Start:
    """Start a gateway whose model has a policy."""

    async def start(**policy: object) -> Running:
        return await start_gateway({"served": {"upstreams": [{"url": upstream.url}], **policy}})

    return start


@pytest.mark.parametrize("reaction", ["retry", "error"])
@pytest.mark.parametrize(
    ("message", "finish"),
    [
        ({"content": None, "tool_calls": [CALL]}, "tool_calls"),
        ({"content": "Let me look.", "tool_calls": [CALL]}, "tool_calls"),
        ({"content": None, "tool_calls": [WITH_OBJECT]}, "stop"),
        ({"content": None, "function_call": CALL["function"]}, "function_call"),
        ({"content": None, "refusal": "I will not."}, "stop"),
        ({"content": None, "images": [{"type": "image_url"}]}, "stop"),
    ],
    ids=["call", "text and call", "object", "legacy", "refusal", "image"],
)  # fmt: skip
async def test_what_is_no_text_is_not_held_to_a_form(
    start: Start,
    upstream: ScriptedUpstream,
    reaction: str,
    message: dict[str, Any],
    finish: str,
) -> None:
    checks = ("json", "json_schema", "empty", "tool_arguments", "truncation")
    running = await start(failed_checks=dict.fromkeys(checks, reaction))
    body = chat_completion()
    body["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
    upstream.script = answering(body)
    offered: dict[str, Any] = (
        {"functions": [TOOL["function"]]} if finish == "function_call" else {"tools": [TOOL]}
    )
    response = await running.chat(response_format=OBJECT, **offered)
    assert response.json() == body
    assert len(upstream.requests) == 1
    (event,) = running.answered
    assert event.usage == Usage(input_tokens=7, output_tokens=3)
    assert event.checks.keys().isdisjoint({"json", "json_schema"})
    assert event.checks["empty"] == "passed"
    assert event.checks.get("tool_arguments", "passed") == "passed"


async def test_a_call_that_nobody_offered_fails_its_check(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    other = {"id": "a", "type": "custom", "custom": {"name": "run", "input": "1"}}
    body = chat_completion()
    body["choices"] = [{"message": {"tool_calls": [other]}, "finish_reason": "tool_calls"}]
    upstream.script = answering(body)
    await gateway.chat(tools=[TOOL])
    await gateway.chat(tools=[{"type": "custom", "custom": {"name": "run"}}])
    found = [event.checks["tool_arguments"] for event in gateway.answered]
    assert found == ["failed", "passed"]


async def test_an_error_in_a_200_is_not_checked_and_not_retried(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(failed_checks={"empty": "retry", "json_schema": "error"})
    upstream.script = answering(ERROR)
    response = await running.chat(response_format=OBJECT)
    assert (response.status_code, response.json()) == (200, ERROR)
    (event,) = running.answered
    assert (event.outcome, event.checks, len(upstream.requests)) == ("failed", {}, 1)


async def test_an_error_in_a_200_is_no_response_of_the_plain_chat(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering(ERROR)
    response = await gateway.client.post("/chat", json={"message": "Hi"})
    assert response.json() == ERROR
    (event,) = gateway.answered
    assert (event.status, event.outcome) == (response.status_code, "failed")


async def test_an_embedding_is_not_held_to_checks(start: Start, upstream: ScriptedUpstream) -> None:
    running = await start(failed_checks={"empty": "error"})
    body = {"data": [{"embedding": [0.5]}], "model": "served", "usage": {"prompt_tokens": 3}}
    upstream.script = answering(body)
    response = await running.client.post("/v1/embeddings", json={"model": "served", "input": "a"})
    assert (response.status_code, response.json()) == (200, body)
    (event,) = running.answered
    assert (event.outcome, event.checks, event.output) == ("ok", {}, None)
    assert event.usage == Usage(input_tokens=3, output_tokens=0)


async def test_answers_that_are_held_back_are_paid_all_the_same(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(failed_checks={"empty": "retry", "refusal": "error"})
    answers = [chat_completion(""), chat_completion("I'm sorry, but I can't help with that.")]

    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(answers.pop(0))

    upstream.script = script
    assert (await running.chat()).status_code == 502
    (event,) = running.answered
    assert (event.outcome, event.attempts) == ("failed", 2)
    assert event.usage == Usage(input_tokens=14, output_tokens=6)


async def test_an_upstream_without_capacity_fails_the_service(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering({"error": {"message": "slow down"}}, 429)
    assert (await gateway.chat()).status_code == 429
    (event,) = gateway.answered
    assert (event.status, event.outcome) == (429, "failed")
    assert measure_response(event, Customers(1)).hits == (measures.ERROR,)


async def test_what_an_upstream_forbids_passes_with_its_message(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    body = {"error": {"message": "Your input was flagged.", "code": 403}}
    upstream.script = answering(body, 403)
    response = await gateway.chat()
    assert (response.status_code, response.json()) == (403, body)
    (event,) = gateway.answered
    assert (event.outcome, event.error) == ("rejected", ErrorKind.UPSTREAM_REJECTED)


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, 1e30])
async def test_numbers_beyond_64_bits_lose_no_event(gateway: Running, number: float) -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("seed", "max_tokens", "n", "temperature", "top_p"), number
    )
    assert (await gateway.chat(**fields)).status_code == 200
    (asked,), (event,) = gateway.asked, gateway.answered
    assert (asked.sampling.seed, asked.sampling.max_tokens, asked.sampling.n) == (None, None, None)
    assert event.outcome == "ok"
    assert gateway.recorder.counts().dropped == {}


@pytest.mark.parametrize(
    ("path", "usage"),
    [
        (
            "/v1/chat/completions",
            {
                "prompt_tokens": 10,
                "completion_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
        ),
        (
            "/v1/responses",
            {
                "input_tokens": 10,
                "output_tokens": 6,
                "input_tokens_details": {"cached_tokens": 8},
                "output_tokens_details": {"reasoning_tokens": 5},
            },
        ),
    ],
)
async def test_cached_and_reasoning_tokens_are_captured_and_priced(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, usage: dict[str, Any]
) -> None:
    price = {"input": 1e6, "output": 2e6, "cached": 1e5}
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url, "price": price}]}}
    )
    body = {**chat_completion(), "usage": usage}
    if path == "/v1/responses":
        body = {**RESPONSE, "status": "completed", "output": [SAID], "usage": usage}
    upstream.script = answering(body)
    await running.client.post(path, json=CHAT | {"input": "Hi"})
    (event,) = running.answered
    assert event.usage == Usage(
        input_tokens=10, output_tokens=6, cached_tokens=8, reasoning_tokens=5
    )
    assert event.cost_usd == pytest.approx(2 + 0.8 + 12)


def test_only_messages_of_a_conversation_are_messages() -> None:
    items = [
        {"role": "user", "content": "What is the tide?"},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "item_reference", "id": "m0"},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "function_call", "name": "find", "arguments": "{}", "call_id": "a"},
        {"type": "function_call_output", "call_id": "a", "output": "High."},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"text": "Low."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "2 m"}]},
        {"type": "mcp_list_tools", "tools": []},
        {"content": "of nobody"},
        7,
    ]  # fmt: skip
    asked = APIS["/v1/responses"].read(json.dumps({"model": "m", "input": items}).encode())
    assert [(message.role, message.content) for message in asked.messages] == [
        ("user", "What is the tide?"),
        ("assistant", ""),
        ("tool", "High."),
        ("tool", "Low."),
        ("assistant", "2 m"),
    ]


def test_results_of_tools_in_a_user_turn_are_the_tools() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": [{"type": "text", "text": "High."}],
    }
    turns = [
        {"role": "user", "content": "What is the tide?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "tool_use", "id": "a", "name": "find", "input": {"x": 1}},
            ],
        },
        {"role": "user", "content": [result]},
        {"role": "user", "content": [result, {"type": "text", "text": "And then?"}]},
    ]  # fmt: skip
    tools = [{"name": "find", "input_schema": {"type": "object"}}]
    body = {"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "Be brief."}]}
    asked = APIS["/v1/messages"].read(
        json.dumps({**body, "messages": turns, "tools": tools}).encode()
    )
    assert [(message.role, message.content) for message in asked.messages] == [
        ("system", "Be brief."),
        ("user", "What is the tide?"),
        ("assistant", ""),
        ("tool", "High."),
        ("tool", "High."),
        ("user", "And then?"),
    ]
    (call,) = json.loads(asked.messages[2].tool_calls or "")
    assert (call["name"], call["arguments"]) == ("find", {"x": 1})
    assert json.loads(asked.expectations.tools or b"")[0]["function"]["name"] == "find"
    assert asked.sampling.max_tokens == 5
