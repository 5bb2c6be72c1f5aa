"""Clients that send without end, without a key or twice, or that hold connections open."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion

from tidegauge.gateway import engine
from tidegauge.gateway.apis import APIS
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.http.bodies import refuse_complex, without_lone_surrogates
from tidegauge.gateway.policy import keys

POST: Final = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n"
GET: Final = b"GET /healthz HTTP/1.1\r\nhost: h\r\n"
PLAIN: Final = b"POST /chat HTTP/1.1\r\nhost: h\r\n"
CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
BODY: Final = b'{"model": "served", "messages": []}'
MIB: Final = 1 << 20


@asynccontextmanager
async def connected(
    running: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(running.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        async with asyncio.timeout(30):
            yield reader, writer


async def send_until_refused(running: Running, head: bytes, piece: bytes, pieces: int) -> None:
    """Send a head and then pieces; the gateway must close the connection or say that it will."""
    async with connected(running) as (reader, writer):
        try:
            writer.write(head)
            for _ in range(pieces):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.read()
        except ConnectionError:
            return
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 413"))


@pytest.fixture
async def keyed(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> tuple[Running, str]:
    """A gateway that asks for a key, and a key."""
    file = tmp_path / "keys.json"
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    keys.save(file, [record])
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    return await start_gateway(models, keys_file=file, max_body_bytes=MIB), key


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (POST, b"x-%s: y\r\n" % (b"x" * 1000)),
        (POST + b"x-long: ", b"y" * 10_000),
        (POST + CHUNKED + b"2\r\n{}\r\n0\r\n", b"x-%s: y\r\n" % (b"x" * 1000)),
        (POST + CHUNKED, b"1;%s\r\n{\r\n" % (b"x" * 2000)),
        (POST + CHUNKED, b"1\r\n \r\n" * 2000),
        (GET, b"x-%s: y\r\n" % (b"x" * 1000)),
        (GET + b"x-long: ", b"y" * 10_000),
        (PLAIN + CHUNKED + b"2\r\n{}\r\n0\r\n", b"x-%s: y\r\n" % (b"x" * 1000)),
        (PLAIN + CHUNKED, b"1\r\n \r\n" * 2000),
        (b"GET /healthz HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999\r\n\r\n", b"z" * 10_000),
        (b"\r\n", b"\r\n" * 1000),
    ],
    ids=[
        "headers",
        "header",
        "trailers",
        "extensions",
        "small chunks",
        "slow headers",
        "slow header",
        "slow trailers",
        "slow small chunks",
        "unwanted body",
        "blank lines",
    ],
)
async def test_nothing_may_be_sent_without_end(
    start_gateway: StartGateway, upstream: ScriptedUpstream, head: bytes, piece: bytes
) -> None:
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, max_body_bytes=MIB)
    await send_until_refused(running, head, piece, 16 * MIB // len(piece))
    assert (await running.chat()).status_code == 200


async def test_a_body_in_small_chunks_takes_the_memory_of_a_body(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    text = json.dumps({"model": "served", "messages": [], "x": "y" * MIB}).encode()
    chunks = b"".join(b"2\r\n%b\r\n" % text[at : at + 2] for at in range(0, len(text) // 2 * 2, 2))
    last = b"1\r\n%b\r\n0\r\n\r\n" % text[-1:] if len(text) % 2 else b"0\r\n\r\n"
    async with connected(gateway) as (reader, writer):
        tracemalloc.start()
        try:
            writer.write(POST + CHUNKED + chunks + last)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert upstream.requests[-1].body == text
    assert peak < 40 * MIB


async def test_without_a_key_nothing_is_kept(keyed: tuple[Running, str]) -> None:
    running, _ = keyed
    async with connected(running) as (reader, writer):
        writer.write(POST + b"authorization: Bearer wrong\r\n" + CHUNKED + b"2\r\n{}\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401")
        assert b"connection: close" in head
        writer.write(b"2\r\nab\r\n" * 100_000)  # it may send for a while, so that it can read on
        await writer.drain()
        assert b"invalid_api_key" in await reader.read()


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["fast", "slow"])
async def test_a_client_with_a_wrong_key_and_a_long_body_reads_why(
    keyed: tuple[Running, str], before: bytes
) -> None:
    running, _ = keyed
    body = b'{"model": "served", "pad": "%b"}' % (b"x" * 900_000)
    async with connected(running) as (reader, writer):
        if before:
            writer.write(before)
            await reader.readuntil(b'{"alive":true}')
        writer.write(POST + b"content-length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 10_000):
            writer.write(body[at : at + 10_000])
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_refused_requests_are_counted_and_not_each_recorded(
    keyed: tuple[Running, str], upstream: ScriptedUpstream
) -> None:
    running, key = keyed
    request = POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    async with connected(running) as (reader, writer):
        for _ in range(200):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401")
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
    assert running.app.runtime.refusals["unauthorized"] == 200
    assert 1 <= running.recorder.counts().served < 100
    counts = running.recorder.counts()
    assert counts.served + counts.refused == 200
    assert len(running.answered) == counts.served
    assert upstream.requests == []
    running.client.headers["x-api-key"] = key
    assert (await running.chat()).status_code == 200
    metrics = (await running.admin.get("/metrics")).text
    assert 'tidegauge_gateway_refused_total{reason="unauthorized"} 200.0' in metrics


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["fast", "slow"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("authorization: Bearer KEY\r\n", 200),
        ("x-api-key: KEY\r\n", 200),
        ("API-Key: KEY\r\n", 200),
        ("authorization: Bearer KEY\r\nx-api-key: KEY\r\n", 200),
        ("authorization: Bearer KEY\r\nx-api-key: other\r\n", 401),
        ("authorization: Bearer KEY\r\nauthorization: Bearer KEY\r\n", 401),
        ("authorization: Bearer wrong\r\nAuthorization: Bearer KEY\r\n", 401),
        ("x-api-key: KEY\r\nX-Api-Key: KEY\r\n", 401),
        ("upgrade: h2c\r\nconnection: upgrade\r\nauthorization: Bearer KEY\r\n", 200),
    ],
)
async def test_where_a_key_may_stand(
    keyed: tuple[Running, str], before: bytes, headers: str, status: int
) -> None:
    running, key = keyed
    head = POST + headers.replace("KEY", key).encode() + b"content-length: %d\r\n\r\n" % len(BODY)
    async with connected(running) as (reader, writer):
        if before:
            writer.write(before)
            await reader.readuntil(b'{"alive":true}')
        writer.write(head + BODY)
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["fast", "slow"])
async def test_a_key_in_a_trailer_is_none(keyed: tuple[Running, str], before: bytes) -> None:
    running, key = keyed
    trailer = b"authorization: Bearer %b\r\n" % key.encode()
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    async with connected(running) as (reader, writer):
        writer.write(before + POST + CHUNKED + chunk + trailer + b"\r\n")
        if before:
            await reader.readuntil(b'{"alive":true}')
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("opening", [b"", b"P", POST, GET[:9], GET])
async def test_connections_that_wait_for_a_request_are_few_and_short(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, opening: bytes
) -> None:
    table = gateway.app.connections
    assert table is not None
    monkeypatch.setattr("tidegauge.gateway.http.connections._PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("tidegauge.gateway.http.connections._SWEEP_SECONDS", 0.05)
    table.limits = replace(table.limits, waiting_per_address=20, head_seconds=1.0)
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(60):
            reader, writer = await stack.enter_async_context(connected(gateway))
            writer.write(opening)
            readers.append(reader)  # so that none is closed by this side
        refusals = gateway.app.runtime.refusals
        await eventually(lambda: refusals["waiting"] > 0)
        assert (await gateway.chat()).status_code == 200
        # Twenty may wait. The client that chatted is one more while it keeps its connection.
        await eventually(lambda: refusals["waiting"] + refusals["deadline"] >= 60)
        assert refusals["deadline"] >= 19


async def test_a_body_has_a_deadline_that_its_bytes_do_not_move(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, request_seconds=0.3)
    async with connected(running) as (reader, writer):
        writer.write(POST + b"content-length: 99999\r\n\r\n")
        try:
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass  # closed, as it should be
    assert running.app.runtime.refusals["deadline"] == 1


async def test_an_address_has_a_limited_number_of_connections(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, connections_per_address=3)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(connected(running))
        reader, _ = await stack.enter_async_context(connected(running))
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
    assert (await running.chat()).status_code == 200


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b'{"prompt": ' + b"[" * 400 + b'"a",' * 200_000 + b'"a"' + b"]" * 400 + b"}", "levels"),
        (b'{"x": [' + b"{}," * 60_000 + b"{}]}", "objects and arrays"),
        (b'{"x": [' + b"1," * 2_100_000 + b"1]}", "values"),
        (b'{"prompt": [' + b'"",' * 300_000 + b'""]}', "strings"),
        (b'{"x": {' + b'"a":1,' * 110_000 + b'"a":1}}', "names"),
        (
            b'{"x": [{}, 1], ' + b'"a":1,' * 1_100 + b'"p": "%b"}' % (b"x" * 20_000),
            "names at its top",
        ),
        (b'{"x": "' + rb"\ud800" * 110_000 + b'"}', "halves of characters"),
        (b'{"x": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}", "levels"),
    ],
)
async def test_json_that_takes_long_to_parse_is_refused(
    gateway: Running, body: bytes, what: str
) -> None:
    for path in ("/v1/completions", "/v1/chat/completions"):
        response = await gateway.client.post(path, content=body)
        assert response.status_code == 400
        assert what in response.json()["error"]["message"]
        assert response.json()["error"]["code"] == "request_too_complex"


async def test_nesting_in_a_short_body_is_refused(gateway: Running) -> None:
    for depth in (900, 3000, 8000):
        body = b'{"model": "served", "prompt": ' + b"[" * depth + b"]" * depth + b"}"
        response = await gateway.client.post("/v1/completions", content=body)
        assert response.status_code in (200, 400)
    assert all(event.error != "gateway_error" for event in gateway.answered)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 90_000,
        '{"a": [1, 2]},' * 10_000,
        '\\" [' * 60_000,
        "\\\\" * 9000 + '"{"' * 60_000,
        ",",
    ],
)
def test_brackets_in_a_string_are_text(text: str) -> None:
    refuse_complex(json.dumps({"messages": [{"content": text}], "pad": "x" * 20_000}).encode())


def test_many_short_messages_are_not_complex() -> None:
    messages = [{"role": "user", "content": "x: {y}, [z]"}] * 40_000
    refuse_complex(json.dumps({"model": "served", "messages": messages}).encode())


PIECES = (rb"\ud83d", rb"\uDE00", rb"\\", rb"\\" * 20, rb"\n", b"u", b"a")


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_single_halves_of_characters_are_replaced(pieces: list[bytes]) -> None:
    body = b'"' + b"".join(pieces) + b'"'
    read = json.loads(without_lone_surrogates(body))
    whole = json.loads(body).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert read == whole


@pytest.mark.parametrize(("last", "steps"), [("", 4), ("\ud83d", 6)])
async def test_other_requests_have_their_turn_between_the_steps_of_a_long_body(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, last: str, steps: int
) -> None:
    turns, seen = 0, []

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def noted(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: object) -> object:
            seen.append(turns)
            return step(*arguments)

        return run

    for owner, name in (
        (engine, "refuse_complex"),
        (engine, "refuse_ambiguous"),
        (type(APIS["/v1/chat/completions"]), "read"),
        (engine, "without_lone_surrogates"),
        (Completion, "admit"),
    ):
        monkeypatch.setattr(owner, name, noted(getattr(owner, name)))
    other = asyncio.create_task(take_turns())
    said = {"role": "user", "content": "word " * 300_000 + last}
    body = json.dumps({"model": "served", "messages": [said]})
    response = await gateway.client.post("/v1/chat/completions", content=body)
    other.cancel()
    assert response.status_code == 200
    assert len(set(seen)) == steps


def test_broken_json_is_left_to_the_parser() -> None:
    refuse_complex(b'{"a": [' * 90 + b" " * 20_000)
    with pytest.raises(RefusedError, match="objects"):
        refuse_complex(b"[" * 60_000)


async def test_a_half_closed_client_gets_its_answer(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def slowly(_request: Received, connection: Connection) -> None:
        await asyncio.sleep(0.1)
        await connection.answer(chat_completion())

    upstream.script = slowly
    async with connected(gateway) as (reader, writer):
        writer.write(POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
        writer.write_eof()
        assert b'"Hello."' in await reader.read()


@pytest.mark.parametrize("half_closed", [True, False])
async def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_the_connection(
    gateway: Running, *, half_closed: bool
) -> None:
    body = b'{"model": "served", "messages": [], "stream": true}'
    head = POST.replace(b"1.1", b"1.0") + b"content-length: %d\r\n\r\n" % len(body)
    async with connected(gateway) as (reader, writer):
        writer.write(head + body)
        if half_closed:
            writer.write_eof()
        answer = await reader.read()
    head, _, stream = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    events = [event for event in stream.split(b"\n\n") if event != b": keep-alive"]
    assert events[-2:] == [b"data: [DONE]", b""]
    assert all(event.startswith(b"data: ") for event in events[:-1])
