"""Content encodings that a request names twice, and streams in one that the gateway cannot read."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import closing
from typing import Final

import httpx
import pytest
from tests.gateway.conftest import Running, StartGateway
from tests.gateway.scripted import Connection, Received, ScriptedUpstream

from tidegauge.gateway.http.pool import Pool
from tidegauge.gateway.http.protocol import HttpProtocol
from tidegauge.schemas.exchange import ErrorKind

BODY: Final = b'{"model":"served","messages":[{"role":"user","content":"Hi"}]}'
ASKED: Final = {"model": "served", "messages": [], "stream": True}
PIECES: Final = (b"\x0b\x04\x80", b"not decoded", b"\x03")
"""A body in a content encoding that is unknown to the gateway."""


def models(url: str) -> dict[str, object]:
    return {"served": {"upstreams": [{"url": url}]}}


async def begin_unreadable(
    connection: Connection, content_type: bytes = b"text/event-stream", status: int = 200
) -> None:
    connection.writer.write(
        b"HTTP/1.1 %d Scripted\r\ncontent-type: %b\r\ncontent-encoding: br\r\n"
        b"transfer-encoding: chunked\r\n\r\n" % (status, content_type)
    )
    await connection.writer.drain()


@pytest.fixture(params=[True, False], ids=["wire", "asgi"])
def wire(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("named", [("gzip", "deflate"), ("gzip", "gzip"), ("deflate", "br")])
async def test_two_lines_of_encodings_are_refused_by_their_names(
    gateway: Running, named: tuple[str, str]
) -> None:
    headers = [("content-encoding", name) for name in named]
    content = gzip.compress(BODY, mtime=0)
    response = await gateway.client.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 415
    assert f"'{', '.join(named)}'" in response.json()["error"]["message"]
    assert response.headers["accept-encoding"] == "gzip, deflate, zstd"


async def test_a_line_that_names_no_encoding_changes_nothing(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    headers = [("content-encoding", "gzip"), ("content-encoding", "identity")]
    content = gzip.compress(BODY, mtime=0)
    response = await gateway.client.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 200
    assert upstream.requests[0].body == BODY


async def test_nothing_is_written_into_a_stream_in_an_unknown_encoding(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegauge.gateway.http.pool._SWEEP_SECONDS", 0.01)
    sweep, sweeps = Pool._sweep, asyncio.Semaphore(0)

    def counted(pool: Pool) -> None:
        sweep(pool)
        sweeps.release()

    monkeypatch.setattr(Pool, "_sweep", counted)

    async def pause(_request: Received, connection: Connection) -> None:
        await begin_unreadable(connection)
        for piece in PIECES:
            await connection.chunk(piece)
            for _ in range(8):  # more than a pause after which a comment is due
                await sweeps.acquire()
        await connection.end_stream(done=False)

    upstream.script = pause
    running = await start_gateway(models(upstream.url), keep_alive_seconds=0.02)
    async with running.client.stream("POST", "/v1/chat/completions", json=ASKED) as response:
        assert response.headers["content-encoding"] == "br"
        assert b"".join([part async for part in response.aiter_raw()]) == b"".join(PIECES)
    assert running.answered[0].outcome == "unread"


@pytest.mark.parametrize(
    ("content_type", "status", "detail"),
    [
        (b"text/event-stream", 200, "the content encoding of the upstream's answer is unknown"),
        (b"application/json", 200, "the content encoding of the upstream's answer is unknown"),
        (b"application/json", 302, "the upstream answered 302, a redirect"),
    ],
)
async def test_an_unknown_encoding_after_comments_is_an_error(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    content_type: bytes,
    status: int,
    detail: str,
) -> None:
    heard = asyncio.Event()

    async def think(_request: Received, connection: Connection) -> None:
        await heard.wait()
        await begin_unreadable(connection, content_type, status)
        for piece in PIECES:
            await connection.chunk(piece)
        await connection.end_stream(done=False)

    upstream.script = think
    running = await start_gateway(models(upstream.url), keep_alive_seconds=0.05)
    text = ""
    async with running.client.stream("POST", "/v1/chat/completions", json=ASKED) as response:
        assert "content-encoding" not in response.headers
        async for part in response.aiter_text():
            text += part
            heard.set()
    assert text.startswith(": keep-alive\n\n")
    assert detail in text
    assert "not decoded" not in text
    (event,) = running.answered
    assert (event.status, event.outcome, event.error) == (200, "failed", ErrorKind.UPSTREAM_ERROR)


async def test_a_stream_in_an_unknown_encoding_that_breaks_gets_neither_an_error_nor_an_end(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def break_off(_request: Received, connection: Connection) -> None:
        await begin_unreadable(connection)
        await connection.chunk(PIECES[0])
        connection.writer.close()

    upstream.script = break_off
    received = bytearray()

    async def receive(response: httpx.Response) -> None:
        async for part in response.aiter_raw():
            received.extend(part)

    async with gateway.client.stream("POST", "/v1/chat/completions", json=ASKED) as response:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await receive(response)
    assert received == PIECES[0]
    assert gateway.answered[0].outcome == "failed"


@pytest.mark.parametrize("wire", [True])
async def test_a_half_closed_client_gets_all_of_a_stream_in_an_unknown_encoding(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegauge.gateway.http.closing.HALF_CLOSE_SECONDS", 0.0)
    eof_received, half_closed = HttpProtocol.eof_received, asyncio.Event()

    def noted(protocol: HttpProtocol) -> bool:
        half_closed.set()
        return eof_received(protocol)

    monkeypatch.setattr(HttpProtocol, "eof_received", noted)

    async def pause(_request: Received, connection: Connection) -> None:
        await begin_unreadable(connection)
        await connection.chunk(PIECES[0])
        await half_closed.wait()
        await connection.chunk(PIECES[1])
        await connection.end_stream(done=False)

    upstream.script = pause
    body = json.dumps(ASKED).encode()
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        async with asyncio.timeout(30):
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await reader.readuntil(b"3\r\n%b\r\n" % PIECES[0])
            writer.write_eof()
            assert await reader.read() == b"b\r\n%b\r\n0\r\n\r\n" % PIECES[1]
    assert gateway.answered[0].outcome == "unread"
