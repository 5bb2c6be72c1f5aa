"""The protocol under the hot routes: fragments, pipelines, keep-alive, handing over."""

from __future__ import annotations

import asyncio
from contextlib import closing
from types import SimpleNamespace
from typing import cast

import pytest
from tests.gateway.conftest import Running, eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream

from tidegauge.gateway.http.flow_control import FlowControl
from tidegauge.gateway.http.protocol import HttpProtocol, SocketSink

BODY = b'{"model": "served", "messages": []}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n" % len(BODY)
REQUEST = HEAD + b"\r\n" + BODY


async def talk(running: Running, *pieces: bytes, answers: int = 1) -> list[bytes]:
    """Send pieces one after the other and return the answers' status lines."""
    port = int(running.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        statuses = []
        async with asyncio.timeout(10):
            for _ in range(answers):
                head = await reader.readuntil(b"\r\n\r\n")
                statuses.append(head.partition(b"\r\n")[0])
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
        return statuses


OK = b"HTTP/1.1 200 OK"


async def test_a_request_in_fragments(gateway: Running) -> None:
    assert await talk(gateway, REQUEST[:60], REQUEST[60:100], REQUEST[100:]) == [OK]
    assert await talk(gateway, *[REQUEST[n : n + 1] for n in range(len(REQUEST))]) == [OK]


async def test_one_connection_many_requests(gateway: Running) -> None:
    get = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
    assert await talk(gateway, REQUEST, REQUEST, get, REQUEST, answers=4) == [OK] * 4
    assert gateway.recorder.counts().served == 3


async def test_no_task_is_left_behind_by_a_connection_that_was_handed_over(
    gateway: Running,
) -> None:
    await gateway.chat()
    (serving,) = (task for task in asyncio.all_tasks() if _serves(task))
    assert (await gateway.client.get("/healthz")).is_success  # on the same connection
    await eventually(serving.done)
    assert not serving.cancelled()


def _serves(task: asyncio.Task[object]) -> bool:
    return "_serve_all" in repr(task.get_coro())


async def test_a_request_while_the_last_is_answered_waits(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    plain = upstream.script

    async def script(request: Received, connection: Connection) -> None:
        await asyncio.sleep(0.05)
        await plain(request, connection)

    upstream.script = script
    assert await talk(gateway, REQUEST, REQUEST, answers=2) == [OK, OK]


async def test_a_request_while_the_last_answer_is_being_read_waits(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(b" " * (8 << 20))

    upstream.script = script
    assert await talk(gateway, REQUEST, REQUEST, answers=2) == [OK, OK]


GET = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.mark.parametrize("cut", [0, 1, 60, len(REQUEST) - 1])
async def test_a_pipeline_is_answered_in_its_order(gateway: Running, cut: int) -> None:
    """The first part ends anywhere in the first request; the slow path serves the last ones."""
    missing = GET.replace(b"healthz", b"missing")
    pieces = [piece for piece in (REQUEST[:cut], REQUEST[cut:] + REQUEST + missing[:9]) if piece]
    answers = await talk(gateway, *pieces, missing[9:] + REQUEST + GET, answers=5)
    assert answers == [OK, OK, b"HTTP/1.1 404 Not Found", OK, OK]
    assert gateway.recorder.counts().served == 3


async def test_a_pipeline_behind_chunks_is_closed_after_the_first_answer(gateway: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert await talk(gateway, chunked + REQUEST) == [OK]
    with pytest.raises(asyncio.IncompleteReadError):
        await talk(gateway, chunked + REQUEST, answers=2)


async def test_bytes_that_arrive_between_an_answer_and_held_ones_stay_behind(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    plain = upstream.script
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def script(request: Received, connection: Connection) -> None:
        writer.write(GET.replace(b"healthz", b"missing"))
        await writer.drain()
        await plain(request, connection)
        writer.write(GET)

    upstream.script = script
    with closing(writer):
        writer.write(REQUEST)
        async with asyncio.timeout(10):
            for status in (OK, b"HTTP/1.1 404 Not Found", OK):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.partition(b"\r\n")[0] == status
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))


async def test_a_client_that_wants_to_close(gateway: Running) -> None:
    request = HEAD + b"connection: close\r\n\r\n" + BODY
    with pytest.raises(asyncio.IncompleteReadError):
        await talk(gateway, request, REQUEST, answers=2)


async def test_expect_continue(gateway: Running) -> None:
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(HEAD + b"expect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.readline()).startswith(OK)


async def test_chunked_bodies(gateway: Running, upstream: ScriptedUpstream) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:]))
    assert await talk(gateway, head + chunks + b"0\r\n\r\n") == [OK]
    assert upstream.requests[0].body == BODY


@pytest.mark.parametrize(
    "garbage", [b"POST /v1/chat/completions HTTP/9.9\r\n\r\n", b"\x16\x03\x01"]
)
async def test_what_is_no_http(gateway: Running, garbage: bytes) -> None:
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(garbage + b"\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_a_slow_reader_slows_the_upstream(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    sent = 0

    async def script(_request: Received, connection: Connection) -> None:
        nonlocal sent
        await connection.begin_stream()
        for _ in range(400):
            await connection.chunk(b": " + b"x" * 100_000 + b"\n\n")
            sent += 1
        await connection.end_stream()

    upstream.script = script
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    body = b'{"model": "served", "messages": [], "stream": true}'
    with closing(writer):
        writer.write(HEAD.replace(b"35", b"%d" % len(body)) + b"\r\n" + body)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 300
        total = 0
        while total < 40_000_000:
            total += len(await reader.read(1 << 20))
    assert sent == 400


async def test_headers_without_end_are_refused(gateway: Running) -> None:
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(HEAD)
        async with asyncio.timeout(10):
            try:
                for number in range(5000):
                    writer.write(b"x-%d: %b\r\n" % (number, b"y" * 100))
                    await writer.drain()
                    await asyncio.sleep(0)
            except ConnectionError:
                return
            assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_a_client_that_stalls_is_let_go(gateway: Running) -> None:
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(HEAD + b"\r\n" + BODY[:5])
        async with asyncio.timeout(10):
            assert await reader.read() == b""
    assert gateway.recorder.counts().served == 0


class Transport(asyncio.Transport):
    """Keeps what is written, and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._paused = False

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


async def test_reading_pauses_while_much_is_held_back() -> None:
    transport = Transport()
    flow = FlowControl(transport, asyncio.get_running_loop())
    flow.hold(bytes(64 * 1024))
    assert transport.is_reading()
    flow.hold(b"x")
    assert not transport.is_reading()
    assert flow.release() == bytes(64 * 1024) + b"x"
    assert transport.is_reading()
    assert flow.release() == b""


async def test_a_writer_waits_while_the_client_reads_too_slowly() -> None:
    transport = Transport()
    flow = FlowControl(transport, asyncio.get_running_loop())
    went_on: list[int] = []
    flow.once_writable(lambda: went_on.append(1))
    flow.pause_writing()
    flow.once_writable(lambda: went_on.append(2))
    protocol = cast("HttpProtocol", SimpleNamespace(transport=transport, flow=flow))
    sink = SocketSink(protocol, keep_alive=True, can_chunk=False)
    writing = asyncio.create_task(sink.send(b"piece"))
    await asyncio.sleep(0)
    assert (transport.written, writing.done(), went_on) == (b"piece", False, [1])
    flow.resume_writing()
    await writing
    assert went_on == [1, 2]
