"""Many streams that stay silent, opened and closed again: nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import os
import resource

from tests.gateway.conftest import Running
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_chunk

from tidegauge.schemas.exchange import ErrorKind

BODY = b'{"model": "served", "messages": [{"role": "user", "content": "Hi"}], "stream": true}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    + BODY
)
STREAMS = int(os.environ.get("TIDEGAUGE_TEST_STREAMS", "300"))
"""Client, gateway and upstream share this process, so that a stream takes four descriptors."""


async def settled(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other tasks' work
            await asyncio.sleep(0.02)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, as cheap as can be


async def test_idle_streams_leave_nothing_behind(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 5 * STREAMS + 200)), hard))

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("one"))
        await connection.closed.wait()

    await gateway.chat()
    upstream.script = script
    before, tasks = descriptors(), len(asyncio.all_tasks())
    port = int(gateway.url.rpartition(":")[2])
    clients = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        clients.append((reader, writer))
    async with asyncio.timeout(60):
        for reader, _ in clients:
            await reader.readuntil(b'"one"')
    metrics = gateway.app.runtime.metrics
    assert metrics.in_flight == STREAMS
    for _, writer in clients:
        writer.transport.abort()
    await settled(lambda: metrics.in_flight == 0)
    await settled(lambda: len(asyncio.all_tasks()) <= tasks)
    clients.clear()
    gc.collect()
    await settled(lambda: descriptors() <= before)
    left = [event for event in gateway.answered if event.error == ErrorKind.CLIENT_DISCONNECTED]
    assert len(left) >= STREAMS
    assert gateway.recorder.counts().served == STREAMS + 1
    assert all(target.in_flight == 0 for target in gateway.app.runtime.upstreams.targets)
