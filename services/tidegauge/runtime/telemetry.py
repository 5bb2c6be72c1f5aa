"""Logs as JSON lines on stderr, and an HTTP server for health checks and metrics.

Values in a log line are JSON strings, so text from outside can neither break a line nor
imitate another one.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Final, Self

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from tidegauge.runtime.environment import SettingsError, bad_value
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["TelemetryError", "TelemetryServer", "configure_logging", "serve"]

LOOPBACK: Final = "127.0.0.1"

_log = structlog.stdlib.get_logger(__name__)

_LEVELS: Final = ("debug", "info", "warning", "error")
_FORMATS: Final = ("json", "console")


class TelemetryError(TidegaugeError):
    """The metrics server cannot listen on its address."""


def configure_logging(service: str) -> None:
    """Send the logs of this process and its libraries to stderr.

    ``TIDEGAUGE_LOG_FORMAT`` is ``json`` (default) or ``console``; ``TIDEGAUGE_LOG_LEVEL``
    is ``debug``, ``info`` (default), ``warning`` or ``error``. Libraries log from
    ``warning`` on, kafka-python at ``debug`` only.

    Args:
        service: Name in every line, such as ``vitals``.

    Raises:
        SettingsError: A variable has a value that is not listed.
    """
    level = logging.getLevelName(_choice("TIDEGAUGE_LOG_LEVEL", "info", _LEVELS).upper())
    style = _choice("TIDEGAUGE_LOG_FORMAT", "json", _FORMATS)

    def name_service(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        name_service,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if style == "console"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tidegauge").setLevel(level)
    # kafka-python logs an absent broker many times a second; the consumer loop logs it once.
    logging.getLogger("kafka").setLevel(
        logging.WARNING if level == logging.DEBUG else logging.CRITICAL
    )


def _choice(variable: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or default
    if value.lower() not in allowed:
        names = ", ".join(allowed)
        raise SettingsError(bad_value(variable, value, f"must be one of {names}", default=default))
    return value.lower()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error in a line of the log; a client that has gone meanwhile is none."""
        del request, client_address
        if not isinstance(sys.exception(), ConnectionError):
            _log.exception("a health check or the metrics failed")


class TelemetryServer:
    """Serves ``/healthz``, ``/readyz`` and ``/metrics`` until closed.

    Attributes:
        port: Port that it listens on, also if it was started with port 0.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.port: int = server.server_address[1]
        self._server = server
        self._thread = Thread(target=server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return itself, already listening."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def serve(
    port: int,
    ready: Callable[[], bool],
    *,
    alive: Callable[[], bool] = lambda: True,
    host: str = LOOPBACK,
) -> TelemetryServer:
    """Start serving health checks and metrics in a thread of its own.

    Args:
        port: Port to listen on; 0 for any free one.
        ready: Whether the process does its work; ``/readyz`` is 503 until it does.
        alive: Whether the process can still recover by itself; ``/healthz`` is 503 otherwise.
        host: Interface to listen on; loopback by default.

    Raises:
        TelemetryError: The port is taken or the host is not one of this machine's.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
            elif path == "/healthz":
                self._say("alive", yes=alive())
            elif path == "/readyz":
                self._say("ready", yes=ready())
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

        def _say(self, what: str, *, yes: bool) -> None:
            status = HTTPStatus.OK if yes else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, json.dumps({what: yes}).encode() + b"\n", "application/json")

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
            """Keep health checks out of the log."""

    try:
        server = _HttpServer((host, port), Handler)
    except OSError as error:
        raise TelemetryError(
            f"cannot serve metrics and health on {host}:{port} ({error.strerror}): "
            "choose another port"
        ) from error
    return TelemetryServer(server)
