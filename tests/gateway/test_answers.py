"""What is read of upstreams' answers, usual and odd, and how their exchanges end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.gateway.answers_of_apis import ANSWERS
from tests.gateway.conftest import Running
from tests.gateway.scripted import Connection, Received, ScriptedUpstream
from tests.gateway.upstream_answers import Answer

from tidegauge.schemas.exchange import ResponseEvent

QUESTION: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9},
}


async def ask(gateway: Running, answer: Answer, **fields: object) -> httpx.Response:
    body = {"model": "served", "stream": answer.stream, **QUESTION[answer.route], **fields}
    return await gateway.client.post(answer.route, json=body, follow_redirects=False)


async def send(answer: Answer, connection: Connection) -> None:
    lines = [f"HTTP/1.1 {answer.status} Scripted", *(f"{k}: {v}" for k, v in answer.headers)]
    if answer.stream:
        lines.append("transfer-encoding: chunked")
    else:
        lines.append(f"content-length: {len(answer.body)}")
    connection.writer.write("\r\n".join([*lines, "", ""]).encode())
    if not answer.stream:
        connection.writer.write(answer.body)
        await connection.writer.drain()
        return
    for piece in pieces(answer.body):
        await connection.chunk(piece)
    connection.writer.write(b"0\r\n\r\n")
    await connection.writer.drain()


def pieces(body: bytes) -> Iterator[bytes]:
    """Yield a body in pieces that end within events."""
    for start in range(0, len(body), 211):
        yield body[start : start + 211]


def facts(event: ResponseEvent) -> dict[str, object]:
    calls = []
    for call in json.loads(event.tool_calls or "[]"):
        custom = call["type"] == "custom"
        content = call[call["type"]]
        calls.append((content["name"], content["input" if custom else "arguments"]))
    usage = event.usage
    tokens: object = None
    if usage is not None:
        tokens = "estimated" if usage.estimated else (usage.input_tokens, usage.output_tokens)
        assert min(usage.input_tokens, usage.output_tokens) >= 0
    return {
        "text": event.output,
        "calls": tuple(calls),
        "finish": event.finish_reason,
        "usage": tokens,
        "outcome": event.outcome,
        "unread": event.unread,
    }


def expected(answer: Answer) -> dict[str, object]:
    names = ("text", "calls", "finish", "usage", "outcome", "unread")
    return {name: getattr(answer, name) for name in names}


async def test_every_fact_is_read_and_decides_the_outcome(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    current = ANSWERS[0]

    async def script(_request: Received, connection: Connection) -> None:
        await send(current, connection)

    upstream.script = script
    names = {}
    for current in ANSWERS:
        response = await ask(gateway, current)
        assert response.status_code == current.status, current.name
        names[response.headers["x-request-id"]] = current
    wrong = []
    events = gateway.answered
    assert len(events) == len(ANSWERS)
    for event in events:
        answer = names[event.request_id]
        found, right = facts(event), expected(answer)
        odd = {name: (found[name], right[name]) for name in right if found[name] != right[name]}
        if odd:
            wrong.append((answer.route, answer.name, odd))
        assert (event.outcome == "ok") or not event.checks
        failed = event.outcome in {"failed", "rejected"}
        assert failed == (event.error is not None)
        assert event.outcome == "ok" or event.error_detail
        if event.outcome == "ok":
            assert "empty" in event.checks, answer.name
            assert event.checks.get("tool_arguments", "passed") == "passed" or not event.tool_calls
        if (
            event.stream
            and event.output
            and answer.headers != (("content-type", "application/json"),)
        ):
            assert event.time_to_first_token_ms is not None, answer.name
    assert wrong == []
    assert gateway.recorder.counts().dropped == {}


@pytest.mark.parametrize("route", sorted(QUESTION))
async def test_a_usual_answer_passes_untouched(
    gateway: Running, upstream: ScriptedUpstream, route: str
) -> None:
    answer = next(case for case in ANSWERS if case.route == route and not case.stream)

    async def script(_request: Received, connection: Connection) -> None:
        await send(answer, connection)

    upstream.script = script
    response = await ask(gateway, answer)
    assert response.content == answer.body
    (event,) = gateway.answered
    assert (event.served_model, event.segment.route) == ("served", route)
