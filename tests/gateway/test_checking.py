"""Checks that cannot wait for the shipper are made beside the event loop, a few at a time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.gateway.conftest import Running, StartGateway
from tests.gateway.scripted import Connection, Received, Script, ScriptedUpstream, chat_completion

from tidegauge.gateway import checking
from tidegauge.gateway.apis import Expectations, ParsedAnswer
from tidegauge.gateway.checking import Checker
from tidegauge.gateway.policy.checks import check

SCHEMA = {"type": "object", "required": ["a"]}
LONG = SCHEMA | {"title": "a" * 70_000}


def form(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}


def answering(text: str) -> Script:
    async def script(request: Received, connection: Connection) -> None:
        if b'"stream"' not in request.body:
            await connection.answer(chat_completion(text))
            return
        await connection.begin_stream()
        delta = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
        await connection.event({"choices": [delta]})
        await connection.end_stream()

    return script


Start = Callable[[dict[str, Any], str], Awaitable[Running]]


@pytest.fixture
def start(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Start:
    """Start a gateway before an upstream that answers what meets no form."""

    async def start(policy: dict[str, Any], capture: str) -> Running:
        upstream.script = answering('{"b": 1}')
        models = {"served": {"upstreams": [{"url": upstream.url}], **policy}}
        return await start_gateway(models, capture_text=capture)

    return start


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads in which the gateway has checked forms, as they come."""
    names: list[str] = []

    def noting(*arguments: Any) -> dict[str, str]:  # noqa: ANN401 - as check
        names.append(threading.current_thread().name)
        return check(*arguments)

    monkeypatch.setattr(checking, "check", noting)
    return names


@pytest.mark.parametrize(
    ("capture", "schema"), [("redacted", SCHEMA), ("none", SCHEMA), ("full", LONG)]
)
@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "stream"])
async def test_forms_that_the_shipper_will_not_see_are_checked_in_a_thread(
    start: Start, threads: list[str], capture: str, schema: object, stream: dict[str, Any]
) -> None:
    running = await start({}, capture)
    response = await running.chat(response_format=form(schema), **stream)
    assert response.status_code == 200
    assert threads == ["checks_0"]
    assert running.answered[0].checks["json_schema"] == "failed"


async def test_forms_that_decide_what_becomes_of_an_answer_are_checked_in_a_thread(
    start: Start, threads: list[str]
) -> None:
    running = await start({"failed_checks": {"json_schema": "retry"}}, "full")
    assert (await running.chat(response_format=form(SCHEMA))).status_code == 200
    assert threads == ["checks_0", "checks_0"]
    assert running.answered[0].attempts == 2


async def test_what_the_shipper_can_check_is_left_to_it(
    gateway: Running, upstream: ScriptedUpstream, threads: list[str]
) -> None:
    upstream.script = answering('{"a": 1}')
    await gateway.chat(response_format=form(SCHEMA))
    assert threads == []
    assert gateway.answered[0].checks["json_schema"] == "passed"


async def test_only_so_many_wait_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def waiting(*arguments: Any) -> dict[str, str]:  # noqa: ANN401 - as check
        assert go_on.wait(10)
        return check(*arguments)

    monkeypatch.setattr(checking, "check", waiting)
    checker = Checker()
    wanted = Expectations(json_schema=json.dumps(SCHEMA).encode())
    answer = ParsedAnswer(text='{"a": 1}')
    tasks = [asyncio.create_task(checker.check((), wanted, answer)) for _ in range(17)]
    assert (await tasks[-1])["json_schema"] == "unchecked: busy"
    plain = await checker.check((), Expectations(), answer)
    assert "json_schema" not in plain
    go_on.set()
    found = await asyncio.gather(*tasks[:-1])
    assert {one["json_schema"] for one in found} == {"passed"}
    assert (await checker.check((), wanted, answer))["json_schema"] == "passed"
    checker.close()
