from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tidegauge.demo.prompts import Prompt
from tidegauge.demo.traffic import Client, DemoCustomer, plan

CUSTOMERS = (DemoCustomer("acme", "key-a", 0.7), DemoCustomer("globex", "key-b", 0.3))
PROMPTS = tuple(Prompt(f"question {number}", "topic") for number in range(50))


def test_a_plan_is_seeded_and_takes_the_prompts_in_order() -> None:
    asks = plan(PROMPTS, CUSTOMERS, count=120, seed=3)
    assert asks == plan(PROMPTS, CUSTOMERS, count=120, seed=3)
    assert asks != plan(PROMPTS, CUSTOMERS, count=120, seed=4)
    assert [ask.prompt for ask in asks] == [*PROMPTS, *PROMPTS, *PROMPTS[:20]]


def test_a_plan_mixes_customers_routes_streams_and_mistakes() -> None:
    asks = plan(PROMPTS, CUSTOMERS, count=2_000, seed=3)
    customers = Counter(ask.customer.name for ask in asks)
    assert 1_300 < customers["acme"] < 1_500
    assert 400 < sum(ask.route == "/chat" for ask in asks) < 600
    assert not any(ask.stream and ask.route == "/chat" for ask in asks)
    assert {ask.flaw for ask in asks} == {"none", "unknown_model", "wrong_key"}
    assert sum(ask.flaw != "none" for ask in asks) < 120


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, object]]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.seen.append((request.path, request.headers["Authorization"], await request.json()))
        await asyncio.sleep(0.01)
        self.at_once -= 1
        return web.json_response({})


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[str, Recorder]]:
    recorder = Recorder()
    application = web.Application()
    application.router.add_post("/{path:.*}", recorder.answer)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/"), recorder


async def test_every_request_is_sent_as_planned(gateway: tuple[str, Recorder]) -> None:
    address, recorder = gateway
    asks = plan(PROMPTS, CUSTOMERS, count=200, seed=3)
    client = Client(address, "smollm2", per_second=5_000, at_once=7)
    ticks: list[int] = []
    assert await client.send(asks, done=lambda: ticks.append(1)) == 200
    assert len(ticks) == 200
    assert client.statuses == {200: 200}
    assert recorder.most_at_once <= 7
    paths = Counter(path for path, _, _ in recorder.seen)
    assert paths["/chat"] == sum(ask.route == "/chat" for ask in asks)
    models = Counter(body.get("model") for _, _, body in recorder.seen)
    assert models["no-such-model"] == sum(ask.flaw == "unknown_model" for ask in asks)
    keys = Counter(key for _, key, _ in recorder.seen)
    assert keys["Bearer tg-no-such-key"] == sum(ask.flaw == "wrong_key" for ask in asks)


async def test_sending_ends_early_when_it_is_enough(gateway: tuple[str, Recorder]) -> None:
    address, recorder = gateway
    client = Client(address, "smollm2", per_second=5_000, at_once=1)
    asks = plan(PROMPTS, CUSTOMERS, count=200, seed=3)
    sent = await client.send(asks, enough=lambda: len(recorder.seen) >= 20)
    assert 20 <= sent < 30
    assert len(recorder.seen) == sent


async def test_the_rate_is_kept(gateway: tuple[str, Recorder]) -> None:
    address, _ = gateway
    client = Client(address, "smollm2", per_second=50, at_once=50)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.send(plan(PROMPTS, CUSTOMERS, count=26, seed=3))
    assert loop.time() - began >= 0.5


async def test_an_unreachable_gateway_is_counted() -> None:
    client = Client("http://127.0.0.1:9", "smollm2", per_second=5_000, at_once=4)
    await client.send(plan(PROMPTS, CUSTOMERS, count=5, seed=3))
    assert client.statuses == {0: 5}
