"""Composition root of the gateway's process."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog
import uvicorn

from tidegauge.capture.recorder import Recorder
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.app import Gateway, create_app
from tidegauge.gateway.http.protocol import HttpProtocol
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.runtime.telemetry import configure_logging

__all__ = ["run"]

_ALLOCATIONS_A_COLLECTION: Final = 50_000
_KEEP_ALIVE_SECONDS: Final = 75
"""nginx's default: longer than clients keep an idle connection, so that they close it first."""

_log = structlog.get_logger("tidegauge.gateway")


class _Server(uvicorn.Server):
    """A uvicorn server that exits with 0 on SIGTERM and SIGINT and reloads on SIGHUP."""

    def __init__(self, config: uvicorn.Config, app: Gateway) -> None:
        super().__init__(config)
        self._gateway = app

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the event loop while serving."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    def _stop(self) -> None:
        self.should_exit = True

    def _reload(self) -> None:
        self._gateway.runtime.reload_or_complain()


def _raise_descriptors() -> None:
    """Allow as many open files as the system does; each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # where the hard limit is none that a process may have
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run() -> None:
    """Serve until SIGTERM or SIGINT, then finish requests in flight and ship their events.

    Raises:
        TidegaugeError: The settings, a file or the outbox cannot be used.
    """
    configure_logging("gateway")
    settings = GatewaySettings.from_environment()
    _raise_descriptors()
    capture = CaptureSettings.from_environment()
    with Recorder(capture, shipper="tidegauge.gateway.checking_shipper") as recorder:
        app = create_app(settings, recorder)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=HttpProtocol,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(
                1, int(settings.shutdown_seconds - capture.drain_seconds)
            ),
        )
        # Objects loaded by now stay; scanning them at each collection would delay all requests.
        # Requests rarely leave reference cycles, so rare collections are enough.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS_A_COLLECTION)
        _log.info("gateway starts", host=settings.host, port=settings.port)
        sockets = [config.bind_socket()]
        if settings.admin_port is not None:
            admin = uvicorn.Config(
                app, host=settings.admin_host, port=settings.admin_port, log_config=None
            )
            sockets.append(admin.bind_socket())
        _Server(config, app).run(sockets)
