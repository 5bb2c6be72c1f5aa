"""Limits and budgets of a key, with many requests at once and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion

from tidegauge.gateway.policy import keys

Start = Callable[..., Awaitable[Running]]


@pytest.fixture
def start(start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path) -> Start:
    """Start a gateway whose one key has the given limits."""

    async def start(
        price: dict[str, float] | None = None,
        failed_checks: dict[str, str] | None = None,
        **limits: Any,  # noqa: ANN401 - fields of a customer
    ) -> Running:
        key, record = keys.create(keys.Customer(name="acme", key_id="", **limits), created="now")
        keys.save(tmp_path / "keys.json", [record])
        entry: dict[str, object] = {"url": upstream.url}
        if price is not None:
            entry["price"] = price
        running = await start_gateway(
            {"served": {"upstreams": [entry], "failed_checks": failed_checks or {}}},
            keys_file=tmp_path / "keys.json",
        )
        running.client.headers["authorization"] = f"Bearer {key}"
        return running

    return start


@pytest.mark.parametrize("sampling", [{}, {"max_tokens": 3}, {"max_tokens": 100_000}])
@pytest.mark.parametrize(
    "limits",
    [
        {"requests_per_minute": 2},
        {"tokens_per_minute": 30},
        # The upstream reports 7 tokens of the prompt and 3 of the answer: 13 millionths of a USD.
        {"budget_usd_per_day": 26e-6, "price": {"input": 1.0, "output": 2.0}},
    ],
    ids=lambda limits: next(iter(limits)),
)
async def test_sixty_requests_at_once_pass_no_limit(
    start: Start, upstream: ScriptedUpstream, limits: dict[str, Any], sampling: dict[str, Any]
) -> None:
    running = await start(**limits)
    refused = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await refused.wait()
        await connection.answer(chat_completion())

    upstream.script = script
    tries = [asyncio.create_task(running.chat(**sampling)) for _ in range(60)]
    await eventually(lambda: sum(task.done() for task in tries) >= 57)
    refused.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*tries)]
    assert 1 <= statuses.count(200) <= (3 if "tokens_per_minute" in limits else 2)
    assert statuses.count(200) + statuses.count(429) == 60


@pytest.mark.parametrize(
    "limits",
    [
        {"tokens_per_minute": 35},
        {"budget_usd_per_day": 50e-6, "price": {"input": 1.0, "output": 2.0}},
    ],
    ids=lambda limits: next(iter(limits)),
)
async def test_sixty_requests_whose_answers_are_asked_for_twice_pass_no_limit(
    start: Start, upstream: ScriptedUpstream, limits: dict[str, Any]
) -> None:
    running = await start(failed_checks={"empty": "retry"}, **limits)
    refused = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await refused.wait()
        usage = {"prompt_tokens": 5, "completion_tokens": 3}  # as the gateway estimates the prompt
        await connection.answer(chat_completion("\n", usage=usage))

    upstream.script = script
    tries = [asyncio.create_task(running.chat(max_tokens=3)) for _ in range(60)]
    await eventually(lambda: sum(task.done() for task in tries) >= 56)
    refused.set()
    await asyncio.gather(*tries)
    used = [event for event in running.answered if event.usage is not None]
    assert [event.attempts for event in used] == [2, 2]
    assert sum(event.cost_usd or 0.0 for event in used) <= 50e-6


async def test_more_tokens_than_the_limit_may_be_asked_for(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(tokens_per_minute=20_000)
    assert (await running.chat()).status_code == 200
    answer = await running.chat(max_tokens=32_768)
    assert answer.status_code == 200
    assert upstream.requests[-1].json["max_tokens"] == 32_768
    after = await running.chat(max_tokens=1)
    assert after.headers["x-ratelimit-remaining-tokens"] == str(20_000 - 20 - 6)


async def test_a_usage_below_zero_gives_nothing_back(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        usage = {"prompt_tokens": -1_000_000, "completion_tokens": -1_000_000}
        await connection.answer(chat_completion(usage=usage))

    upstream.script = script
    running = await start(tokens_per_minute=1_000)
    await running.chat(max_tokens=10)
    answer = await running.chat(max_tokens=10)
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 1_000 - 15


async def test_a_client_that_does_not_wait_is_charged_for_its_prompt(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, _connection: Connection) -> None:
        await asyncio.Event().wait()

    answering = upstream.script
    upstream.script = script
    running = await start(tokens_per_minute=10_000)
    with pytest.raises(httpx.ReadTimeout):
        await running.client.post(
            "/v1/chat/completions",
            json={"model": "served", "messages": [{"role": "user", "content": "x" * 4_000}]},
            timeout=0.3,
        )
    await eventually(lambda: running.answered)
    upstream.script = answering
    answer = await running.chat(max_tokens=1)
    left = 10_000 - (4_000 // 4 + 4) - 6
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) == left
