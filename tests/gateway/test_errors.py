"""Every way in which a request can fail: what the client reads, and what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_chunk

from tidegauge.gateway.policy import keys
from tidegauge.runtime.brokers.process import free_port
from tidegauge.schemas.exchange import ErrorKind


@pytest.fixture(params=[True, False], ids=["wire", "asgi"])
def wire(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def _one(url: str, **fields: object) -> dict[str, Any]:
    return {"served": {"upstreams": [{"url": url, **fields}]}}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[]", "invalid_value"),
        (b'{"messages": []}', "invalid_value"),
        (b'{"model": 3, "messages": []}', "invalid_value"),
        (b'{"model": "served", "messages": "hi"}', "invalid_value"),
        (b'{"model": "served", "messages": [{"role": 1}]}', "invalid_value"),
    ],
)
async def test_malformed_bodies(gateway: Running, body: bytes, code: str) -> None:
    response = await gateway.client.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    (answered,) = gateway.answered
    assert (answered.status, answered.error) == (400, ErrorKind.INVALID_REQUEST)
    assert (answered.segment.model, answered.customer) == ("unknown", "anonymous")
    assert gateway.asked == []
    assert gateway.recorder.counts().served == 1


async def test_an_unknown_model_never_names_a_segment(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    body = {"model": "<script>", "messages": []}
    response = await gateway.client.post("/v1/chat/completions", json=body)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    (answered,) = gateway.answered
    assert answered.error == ErrorKind.UNKNOWN_MODEL
    assert answered.segment.model == "unknown"
    assert "script" not in (answered.error_detail or "")
    assert "script" not in json.dumps(gateway.log())
    assert upstream.requests == []


@pytest.mark.parametrize("announce", [True, False])
async def test_an_oversize_body(start_gateway: StartGateway, *, announce: bool) -> None:
    running = await start_gateway(_one("http://127.0.0.1:9"), max_body_bytes=1024)
    body = json.dumps({"model": "served", "messages": [], "x": "y" * 4096}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    response = await running.client.post(
        "/v1/chat/completions", content=body if announce else chunks()
    )
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"
    assert running.answered[0].error == ErrorKind.REQUEST_TOO_LARGE


async def test_an_upstream_that_is_down(start_gateway: StartGateway) -> None:
    running = await start_gateway(_one(f"http://127.0.0.1:{free_port()}"))
    for stream in (False, True):
        response = await running.chat(stream=stream)
        assert response.status_code == 502
        assert response.json()["error"]["code"] == "upstream_unreachable"
    assert [event.error for event in running.answered] == [ErrorKind.UPSTREAM_UNREACHABLE] * 2
    assert len(running.asked) == 2


async def test_an_upstream_that_is_slow(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.closed.wait()

    upstream.script = script
    running = await start_gateway(_one(upstream.url), first_byte_seconds=0.2)
    response = await running.chat()
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "upstream_timeout"
    (answered,) = running.answered
    assert answered.error == ErrorKind.UPSTREAM_TIMEOUT
    assert answered.latency_ms >= 200


async def test_a_stream_that_stalls(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hel"))
        await connection.closed.wait()

    upstream.script = script
    running = await start_gateway(_one(upstream.url), idle_seconds=0.2)
    response = await running.chat(stream=True)
    assert response.status_code == 200
    assert '"upstream_timeout"' in response.text
    assert running.answered[0].error == ErrorKind.UPSTREAM_TIMEOUT


@pytest.mark.parametrize(
    ("status", "seen", "kind"),
    [
        (400, 400, ErrorKind.UPSTREAM_REJECTED),
        (422, 422, ErrorKind.UPSTREAM_REJECTED),
        (402, 402, ErrorKind.UPSTREAM_ERROR),
        (403, 403, ErrorKind.UPSTREAM_REJECTED),
        (408, 408, ErrorKind.UPSTREAM_TIMEOUT),
        (429, 429, ErrorKind.UPSTREAM_ERROR),
        (500, 500, ErrorKind.UPSTREAM_ERROR),
        (503, 503, ErrorKind.UPSTREAM_ERROR),
        (529, 529, ErrorKind.UPSTREAM_ERROR),
        (401, 502, ErrorKind.UPSTREAM_ERROR),
    ],
)
async def test_the_upstreams_own_errors(
    gateway: Running, upstream: ScriptedUpstream, status: int, seen: int, kind: ErrorKind
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer({"error": {"message": "of the upstream"}}, status)

    upstream.script = script
    response = await gateway.chat()
    assert response.status_code == seen
    assert ("of the upstream" in response.text) == (status == seen)
    assert gateway.answered[0].error == kind


@pytest.mark.parametrize("garbage", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-"])
async def test_an_upstream_that_speaks_no_http(
    gateway: Running, upstream: ScriptedUpstream, garbage: bytes
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        connection.writer.write(garbage)
        await connection.writer.drain()
        await asyncio.sleep(0)
        connection.writer.close()

    upstream.script = script
    response = await gateway.chat()
    assert response.status_code == 502
    assert gateway.answered[0].error in (
        ErrorKind.UPSTREAM_ERROR,
        ErrorKind.UPSTREAM_INTERRUPTED,
    )


async def test_an_error_inside_a_stream(gateway: Running, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hel"))
        await connection.event({"error": {"message": "out of memory"}})
        await connection.end_stream()

    upstream.script = script
    response = await gateway.chat(stream=True)
    assert "out of memory" in response.text
    assert gateway.answered[0].error == ErrorKind.UPSTREAM_ERROR


async def test_a_stream_cut_short_politely(gateway: Running, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hel"))
        await connection.end_stream(done=False)

    upstream.script = script
    await gateway.chat(stream=True)
    assert gateway.answered[0].error == ErrorKind.UPSTREAM_INTERRUPTED


async def test_another_upstream_answers_before_the_first_byte(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    entries = [
        {"url": down, "version": "old", "weight": 1e9},
        {"url": upstream.url, "version": "new", "weight": 1e-9},
    ]
    running = await start_gateway({"served": {"upstreams": entries}})
    assert (await running.chat()).status_code == 200
    assert (await running.chat(stream=True)).status_code == 200
    for answered in running.answered:
        assert (answered.attempts, answered.segment.version) == (2, "new")
        assert answered.error is None
        assert answered.retried_ms is not None
        assert 0 < answered.retried_ms <= answered.latency_ms
    assert running.answered[0].upstream == upstream.url.removeprefix("http://")


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer tg-000000000000-0", "Basic x"])
async def test_a_wrong_key(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path, header: str | None
) -> None:
    file = tmp_path / "keys.json"
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    keys.save(file, [record])
    running = await start_gateway(_one(upstream.url), keys_file=file)
    running.client.headers.update({} if header is None else {"authorization": header})
    response = await running.chat("secret text")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    (answered,) = running.answered
    assert (answered.error, answered.customer) == (ErrorKind.UNAUTHORIZED, "unknown")
    assert answered.messages == ()
    assert (await running.client.get("/v1/models")).status_code == 401
    running.client.headers["authorization"] = f"Bearer {key}"
    assert (await running.chat()).status_code == 200
    assert running.answered[-1].customer == "acme"


async def test_a_revoked_key_ends_soon(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    keys.save(file, [record])
    running = await start_gateway(_one(upstream.url), keys_file=file)
    running.client.headers["authorization"] = f"Bearer {key}"
    assert (await running.chat()).status_code == 200
    keys.save(file, keys.revoke([record], record.id, revoked="later"))
    await eventually(lambda: len(running.app.runtime.engine.keys) == 0)
    assert (await running.chat()).status_code == 401


async def test_paths_and_methods_that_do_not_exist(gateway: Running) -> None:
    response = await gateway.client.get("/v1/nothing")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    response = await gateway.client.get("/v1/chat/completions")
    assert response.status_code == 405
    assert gateway.recorder.counts().served == 0
