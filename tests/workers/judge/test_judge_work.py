"""Judges' calls as work of the servers that they ask."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiohttp import web
from tests.workers.judge.conftest import ScriptedServer, origin, response, server

from tidegauge.adapters.vllm import JudgeCall, JudgeRefusedError, VllmClient
from tidegauge.cost.bill import make_bill
from tidegauge.gateway.http.addresses import Address
from tidegauge.reports.bill_tables import costs_by
from tidegauge.schemas.exchange import Message, ResponseEvent, Usage
from tidegauge.schemas.sketches import JudgeCondition, SketchKind
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.upstream_work import WorkAccumulator
from tidegauge.workers.judge.judge_work import JUDGES, WorkExtractor, pieces_of

__all__ = ["server"]

ASKED = (Message(role="user", content="How are you?"),)
MINUTE_MS = 60_000


class Silent:
    """Measures nothing of each answer."""

    kind: SketchKind = "quality"
    reads = ResponseEvent

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> Sequence[Measurement]:
        return [Measurement(hits=("judged",)) for _ in events]

    def notices(self) -> tuple[str, ...]:
        return ("qualified:x",)

    def conditions(self) -> tuple[JudgeCondition, ...]:
        return ()


async def test_every_call_is_work_of_its_server_once(server: ScriptedServer) -> None:
    async with VllmClient(f"{server.url}/v1") as client:
        await client.next_token("judge-model", ASKED)
        await client.complete("judge-model", ASKED, max_tokens=50)
    extractor = WorkExtractor(Silent(), [client])
    assert extractor.measure([]) == []
    events = [(origin(n), response()) for n in range(2)]
    first, second = extractor.measure(events)
    assert (first.hits, extractor.kind, extractor.notices()) == (
        ("judged",),
        "quality",
        ("qualified:x",),
    )
    assert {piece.upstream for piece in first.work} == {server.url.removeprefix("http://")}
    assert {(piece.customer, piece.line, piece.segment) for piece in first.work} == {
        (JUDGES, "judge", "judge-model///")
    }
    assert sum(piece.work.prompt_tokens for piece in first.work) == 200
    assert second.work == ()
    assert extractor.measure(events)[0].work == ()


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("http://10.0.0.7:8000/v1", "10.0.0.7:8000"),
        ("http://judge:80", "judge"),
        ("https://judge.example:443/prefix", "judge.example"),
        ("http://user:secret@[::1]:8001", "[::1]:8001"),
    ],
)
def test_a_server_has_the_label_that_gateways_give_it(url: str, label: str) -> None:
    assert VllmClient(url).authority == label
    if "@" not in url:
        assert Address.parse(url).authority == label


async def test_a_call_that_was_not_answered_is_no_work(server: ScriptedServer) -> None:
    async with VllmClient(server.url) as client:
        server.broken = lambda _: web.Response(status=400)
        with pytest.raises(JudgeRefusedError):
            await client.complete("m", ASKED, max_tokens=5)
    assert list(client.take_calls()) == []


async def test_calls_to_a_gateway_are_told_by_it_alone(server: ScriptedServer) -> None:
    async with VllmClient(server.url, api_key="tg-3f9a1c5b7d20-00") as client:
        await client.next_token("m", ASKED)
    assert list(client.take_calls()) == []


def test_judging_has_its_line_in_the_bill() -> None:
    call = JudgeCall("m", MINUTE_MS, MINUTE_MS + 30_000, Usage(input_tokens=90, output_tokens=10))
    work = WorkAccumulator()
    work.add("judged/v1//", pieces_of("a:1", call))
    bill = make_bill(work.minutes, {"a:1": 60.0}, MINUTE_MS, 2 * MINUTE_MS)
    (line,) = costs_by(bill, "line")
    assert (line.name, line.requests, line.tokens) == ("judge", 1, 100)
    assert line.usd == pytest.approx(0.5)
    assert [group.name for group in costs_by(bill, "model")] == ["m"]
