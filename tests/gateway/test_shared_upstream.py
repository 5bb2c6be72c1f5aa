"""Several gateways on one upstream: together they bill its time once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tidegauge.capture.exchange_record import BOTH
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.runs import NOWHERE, list_runs
from tidegauge.capture.settings import CaptureSettings
from tidegauge.cost.bill import make_bill
from tidegauge.cost.work import work_of
from tidegauge.gateway.checking_shipper import expand_formats
from tidegauge.runtime.brokers.process import free_port
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.upstream_events import MINUTE_MS
from tidegauge.streaming.upstream_work import MinuteOfWork, WorkAccumulator

COMMAND = [sys.executable, "-c", "from tidegauge.cli.main import main; main()", "gateway"]
WAIT_SECONDS = 30.0
REQUESTS = 10
USD_PER_HOUR = 3.6
MARGIN = 0.5
"""Seconds that samples of 50 ms may be off by, over all of them."""
EXPAND = expand_formats(CaptureSettings())[BOTH.type]
ANSWER = (
    b'{"id":"1","object":"chat.completion","created":1,"model":"one","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}'
)


class Busy:
    """Measures for how long at least one request is in flight."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._in_flight = 0
        self._since = 0.0

    def __enter__(self) -> None:
        if not self._in_flight:
            self._since = time.perf_counter()
        self._in_flight += 1

    def __exit__(self, *_: object) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self.seconds += time.perf_counter() - self._since


class BusyUpstream:
    """Answers after a while, and measures for how long it had a request."""

    def __init__(self) -> None:
        self.busy = Busy()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            with self.busy:
                await asyncio.sleep(0.15)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(ANSWER), ANSWER)
            )
        writer.close()


@contextmanager
def gateway(folder: Path, upstream: str) -> Iterator[str]:
    folder.mkdir()
    port = free_port()
    config = folder / "models.yaml"
    config.write_text(
        f"models: {{one: {{upstreams: [{{url: '{upstream}', gpu_usd_per_hour: {USD_PER_HOUR}}}]}}}}"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if "TIDEGAUGE" not in name},
        "TIDEGAUGE_GATEWAY_PORT": str(port),
        "TIDEGAUGE_GATEWAY_CONFIG": str(config),
        "TIDEGAUGE_GATEWAY_ANONYMOUS": "true",
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "outbox"),
        "TIDEGAUGE_CAPTURE_DRAIN_SECONDS": "0.1",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    }
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(COMMAND, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


async def ready(client: httpx.AsyncClient, url: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK:
                break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def ask(client: httpx.AsyncClient, url: str, busy: Busy) -> None:
    for _ in range(REQUESTS):
        body = {"model": "one", "messages": [{"role": "user", "content": "Hi"}]}
        with busy:
            assert (await client.post(f"{url}/v1/chat/completions", json=body)).is_success


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def answered(folder: Path) -> list[ResponseEvent]:
    (run,) = list_runs(folder / "outbox")
    entries = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=True)
    records = [record for entry in entries for record in EXPAND.decode(entry.frame.value)]
    return [record.response_event(folder.name, n) for n, record in enumerate(records, 1)]


def worked(events: list[ResponseEvent]) -> dict[tuple[str, int], MinuteOfWork]:
    work = WorkAccumulator()
    for event in events:
        work.add(event.segment.key, work_of(event, event.customer))
    return work.minutes


@pytest.mark.parametrize("gateways", [2, pytest.param(4, marks=pytest.mark.nightly)])
async def test_several_gateways_bill_a_shared_upstream_once(
    tmp_path: Path, stack: ExitStack, gateways: int
) -> None:
    upstream, clients = BusyUpstream(), Busy()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    label = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    folders = [tmp_path / f"gateway-{number}" for number in range(gateways)]
    async with server, httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        urls = [stack.enter_context(gateway(folder, f"http://{label}")) for folder in folders]
        await asyncio.gather(*(ready(client, url) for url in urls))
        start_ms = time.time_ns() // 1_000_000
        await asyncio.gather(*(ask(client, url, clients) for url in urls))
        end_ms = time.time_ns() // 1_000_000 + MINUTE_MS
        await asyncio.to_thread(stack.close)
    events = [answered(folder) for folder in folders]
    prices = {label: USD_PER_HOUR}
    (one,) = make_bill(worked([e for es in events for e in es]), prices, start_ms, end_ms).upstreams
    wall_usd = (end_ms // MINUTE_MS - start_ms // MINUTE_MS) * USD_PER_HOUR / 60
    assert one.usd == pytest.approx(wall_usd)
    assert one.shares_usd + one.idle_usd == pytest.approx(wall_usd, rel=0.01)
    # The upstream sees the least of a request, its client the most.
    assert upstream.busy.seconds - MARGIN <= one.busy_seconds <= clients.seconds + MARGIN
    alone = [make_bill(worked(es), prices, start_ms, end_ms).upstreams[0] for es in events]
    assert sum(bill.busy_seconds for bill in alone) > one.busy_seconds + MARGIN
