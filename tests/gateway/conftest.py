"""A gateway on a real socket, its outbox, and upstreams to script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.gateway.scripted import ScriptedUpstream

from tidegauge.capture.batch import BatchBuilder
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.runs import NOWHERE, list_runs
from tidegauge.capture.settings import CaptureSettings, KafkaAccess
from tidegauge.gateway.app import Gateway, create_app
from tidegauge.gateway.checking_shipper import expand_formats
from tidegauge.gateway.http.asgi_protocol import AsgiProtocol
from tidegauge.gateway.http.protocol import HttpProtocol
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.schemas import decode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent

WAIT_SECONDS = 10.0


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, with a deadline."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is another task's or a file's
            await asyncio.sleep(0.005)


@dataclass
class Running:
    """A gateway that serves; ``admin`` asks its administration listener."""

    url: str
    app: Gateway
    recorder: Recorder
    directory: Path
    client: httpx.AsyncClient
    admin: httpx.AsyncClient

    def events(self) -> list[RequestEvent | ResponseEvent]:
        """Return everything in the outbox, as the shipper makes it."""
        events: list[RequestEvent | ResponseEvent] = []
        for run in list_runs(self.directory / "outbox"):
            builder = BatchBuilder(run.producer_id, expand_formats(self.recorder.settings), 1 << 30)
            entries = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=False)
            batch = builder.build(entries) if entries else None
            assert batch is None or not batch.lost
            events += [
                decode(record.value, RequestEvent, ResponseEvent)
                for record in (batch.records if batch else ())
            ]
        return events

    @property
    def asked(self) -> list[RequestEvent]:
        return [event for event in self.events() if isinstance(event, RequestEvent)]

    @property
    def answered(self) -> list[ResponseEvent]:
        return [event for event in self.events() if isinstance(event, ResponseEvent)]

    def log(self) -> list[dict[str, Any]]:
        """Return the request log."""
        self.app.runtime.request_log.flush()
        text = (self.directory / "requests.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    async def chat(self, text: str = "Hi", **fields: object) -> httpx.Response:
        """Ask for a chat completion."""
        body = {"model": "served", "messages": [{"role": "user", "content": text}], **fields}
        return await self.client.post("/v1/chat/completions", json=body)


StartGateway = Callable[..., Awaitable[Running]]


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
def wire() -> bool:
    """Whether hot routes come straight from the socket, as in production, or by ASGI."""
    return True


@pytest.fixture
async def start_gateway(tmp_path: Path, *, wire: bool) -> AsyncIterator[StartGateway]:
    """Start gateways from settings; ``models`` is the configuration's content.

    With ``bootstrap_servers`` what they record is shipped.
    """
    async with AsyncExitStack() as stack:

        async def start(
            models: dict[str, Any] | None = None,
            bootstrap_servers: str | None = None,
            conversation_secret: str = "",
            **values: Any,  # noqa: ANN401 - fields of the settings
        ) -> Running:
            if models is not None:
                config = tmp_path / "models.yaml"
                config.write_text(json.dumps({"models": models}))
                values["config"] = config
            values.setdefault("anonymous", "keys_file" not in values)
            values.setdefault("request_log", tmp_path / "requests.jsonl")
            settings = GatewaySettings(**values)
            settings.check()
            recorder = Recorder(
                CaptureSettings(
                    directory=tmp_path / "outbox",
                    kafka=KafkaAccess(bootstrap_servers=bootstrap_servers or ""),
                    conversation_secret=conversation_secret,
                ),
                ship=bootstrap_servers is not None,
                shipper="tidegauge.gateway.checking_shipper",
            )
            recorder.start()
            stack.callback(recorder.close)
            app = create_app(settings, recorder)
            return await stack.enter_async_context(_serving(app, recorder, tmp_path, wire=wire))

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Running:
    """A gateway before one upstream that it discovers."""
    running = await start_gateway(upstream_url=upstream.url)
    await eventually(lambda: running.app.runtime.ready)
    upstream.requests.clear()
    return running


class _serving:  # noqa: N801 - used like a function
    def __init__(self, app: Gateway, recorder: Recorder, directory: Path, *, wire: bool) -> None:
        self._app, self._recorder, self._directory, self._wire = app, recorder, directory, wire

    async def __aenter__(self) -> Running:
        config = uvicorn.Config(
            self._app,
            port=0,
            http=HttpProtocol if self._wire else AsgiProtocol,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_keep_alive=2,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        sockets = [config.bind_socket(), config.bind_socket()]
        await self._server.startup(sockets)
        port, self._app.admin_port = (each.getsockname()[1] for each in sockets)
        url, admin_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{self._app.admin_port}"
        self._client = httpx.AsyncClient(base_url=url, timeout=WAIT_SECONDS)
        self._admin = httpx.AsyncClient(base_url=admin_url, timeout=WAIT_SECONDS)
        return Running(url, self._app, self._recorder, self._directory, self._client, self._admin)

    async def __aexit__(self, *_: object) -> None:
        # As the server itself stops, without its pauses.
        await self._client.aclose()
        await self._admin.aclose()
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.shutdown()
        await eventually(lambda: not self._server.server_state.tasks)
        await self._server.lifespan.shutdown()
