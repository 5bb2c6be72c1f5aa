"""The lean HTTP client against a server that does odd but lawful things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.gateway.conftest import eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream

from tidegauge.gateway.errors import (
    ConfigurationError,
    UpstreamAnswerError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from tidegauge.gateway.http.addresses import Address, Timeouts
from tidegauge.gateway.http.pool import Pool

REQUEST = b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def pool(upstream: ScriptedUpstream) -> AsyncIterator[Pool]:
    pool = Pool(Address.parse(upstream.url), Timeouts(connect=1, first_byte=1, idle=1))
    yield pool
    pool.close()


async def fetch(pool: Pool) -> tuple[int, bytes]:
    connection = await pool.request(REQUEST, b"{}")
    try:
        return connection.status, await connection.read(1 << 20)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 X\r\ncontent-length: 1\r\n\r\na", 201, b"a"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
            200,
            b"ab",
        ),
    ],
)
async def test_ways_to_frame_a_response(
    pool: Pool, upstream: ScriptedUpstream, reply: bytes, status: int, body: bytes
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        connection.writer.write(reply)

    upstream.script = script
    for _ in range(3):
        assert await fetch(pool) == (status, body)
    assert upstream.connections == pool.open_connections == 1


async def test_a_body_that_ends_with_the_connection(pool: Pool, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\n\r\nto the end")
        connection.writer.close()

    upstream.script = script
    assert await fetch(pool) == (200, b"to the end")
    assert pool.open_connections == 0


async def test_one_byte_at_a_time(pool: Pool, upstream: ScriptedUpstream) -> None:
    reply = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"

    async def script(_request: Received, connection: Connection) -> None:
        for byte in reply:
            connection.writer.write(bytes([byte]))
            await connection.writer.drain()
            await asyncio.sleep(0)

    upstream.script = script
    assert await fetch(pool) == (200, b"abc")


async def test_a_slow_reader_stops_the_upstream(pool: Pool, upstream: ScriptedUpstream) -> None:
    sent = 0

    async def script(_request: Received, connection: Connection) -> None:
        nonlocal sent
        connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 64000000\r\n\r\n")
        for _ in range(64):
            connection.writer.write(b"x" * 1_000_000)
            await connection.writer.drain()
            sent += 1

    upstream.script = script
    connection = await pool.request(REQUEST, b"{}")
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 32
    total = 0
    while data := await connection.piece():
        total += len(data)
    assert total == 64_000_000
    connection.close()
    assert pool.open_connections == 1


async def test_an_answer_beyond_the_limit(pool: Pool, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(b"x" * 5000)

    upstream.script = script
    connection = await pool.request(REQUEST, b"{}")
    with pytest.raises(UpstreamAnswerError, match="1000 bytes"):
        await connection.read(1000)
    connection.close()


async def test_cancelling_cuts_the_connection(pool: Pool, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.closed.wait()

    upstream.script = script
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await pool.request(REQUEST, b"{}")
    await eventually(lambda: pool.open_connections == 0 and upstream.connections == 0)


async def test_an_upstream_that_speaks_unasked(pool: Pool, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(b"ok")
        await asyncio.sleep(0.05)
        connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    upstream.script = script
    assert await fetch(pool) == (200, b"ok")
    await eventually(lambda: pool.open_connections == 0)
    assert await fetch(pool) == (200, b"ok")


async def test_idle_connections_are_closed(upstream: ScriptedUpstream) -> None:
    pool = Pool(Address.parse(upstream.url), Timeouts(keep_alive=0.05))
    await fetch(pool)
    assert pool.open_connections == 1
    await eventually(lambda: pool.open_connections == 0 and upstream.connections == 0)
    pool.close()


async def test_no_route_is_a_timeout_or_unreachable() -> None:
    pool = Pool(Address.parse("http://127.0.0.1:9"), Timeouts(connect=0.5))
    with pytest.raises((UpstreamUnreachableError, UpstreamTimeoutError), match=r"127\.0\.0\.1:9"):
        await pool.request(REQUEST, b"{}")
    pool.close()
    pool = Pool(Address.parse("http://no-such-host.invalid"), Timeouts(connect=5))
    with pytest.raises((UpstreamUnreachableError, UpstreamTimeoutError), match="no-such-host"):
        await pool.request(REQUEST, b"{}")
    pool.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h:8000", Address("h", 8000)),
        ("https://h/v1", Address("h", 443, tls=True)),
        ("http://h/base/v1/", Address("h", 80, prefix="/base")),
        ("http://[::1]:8000", Address("::1", 8000)),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize("url", ["h:8000", "ftp://h", "http://", "http://u:p@h", "http://h:x", ""])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Address.parse(url)
