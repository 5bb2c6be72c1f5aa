"""The parts of a running gateway, and how they are reloaded."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from tidegauge.capture.recorder import Recorder
from tidegauge.gateway import configuration
from tidegauge.gateway.capture_metrics import CaptureCollector
from tidegauge.gateway.completion import Completion, RequestLog
from tidegauge.gateway.engine import Engine, Policy
from tidegauge.gateway.errors import ConfigurationError, UpstreamError
from tidegauge.gateway.exchange_state import CapturePolicy
from tidegauge.gateway.http.addresses import Address, Timeouts
from tidegauge.gateway.metrics import CheckCollector, Metrics, UpstreamCollector
from tidegauge.gateway.policy import keys
from tidegauge.gateway.policy.limit_counters import Counters, LocalCounters, SharedCounters
from tidegauge.gateway.policy.limiter import Limiter
from tidegauge.gateway.proxy.upstreams import Upstreams
from tidegauge.gateway.reachability import Reachability
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.gateway.tracing import open_telemetry

__all__ = ["Runtime", "check_files"]

_WATCH_SECONDS: Final = 1.0
_DISCOVERED_SECONDS: Final = 30.0

_log = structlog.get_logger("tidegauge.gateway")


class Runtime:
    """Builds and holds the parts of the gateway; create it in a running event loop.

    Args:
        settings: The gateway's settings.
        recorder: A started recorder.
        registry: Registry for the metrics.

    Raises:
        ConfigurationError: A file cannot be used.
    """

    def __init__(
        self, settings: GatewaySettings, recorder: Recorder, registry: CollectorRegistry
    ) -> None:
        self.settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics = Metrics()
        registry.register(self.metrics)
        self.refusals = self.metrics.refusals
        timeouts = Timeouts(
            connect=settings.connect_seconds,
            first_byte=settings.first_byte_seconds,
            idle=settings.idle_seconds,
        )
        self.upstreams = Upstreams(timeouts)
        self._reachability = Reachability(self.upstreams, time.monotonic)
        registry.register(UpstreamCollector(self.upstreams))
        registry.register(CheckCollector(recorder.facts))
        registry.register(CaptureCollector(recorder, time.monotonic))
        self.request_log = RequestLog(settings.request_log)
        self._tracing = open_telemetry() if settings.traces else None
        self.completion = Completion(
            CapturePolicy(
                settings.capture_text,
                settings.capture_characters,
                settings.segment_by_customer,
                [name.strip().lower().encode() for name in settings.conversation_headers],
                recorder.settings.conversation_secret.encode(),
                settings.context_metadata,
            ),
            recorder,
            self.request_log,
            self.metrics,
            self._tracing,
        )
        self._limiter = Limiter(
            self._counters(),
            time.time,
            when_down=settings.limits_when_down,
            on_failure=self._limits_unavailable,
        )
        self.engine = Engine(
            Policy(
                anonymous=settings.anonymous,
                assumed_output_tokens=settings.assumed_output_tokens,
                max_answer_bytes=settings.max_answer_bytes,
                quiet_seconds=settings.keep_alive_seconds or None,
            ),
            self.upstreams,
            keys.KeyRing(()),
            self._limiter,
            self.completion,
        )
        self.reload()

    def _counters(self) -> Counters:
        url = self.settings.redis_url
        return (
            LocalCounters(time.monotonic) if url is None else SharedCounters(url.get_secret_value())
        )

    @property
    def default_model(self) -> str | None:
        """Return the default model of ``/chat``, None while no model is known."""
        return self.settings.chat_model or next(iter(self.upstreams.routes), None)

    @property
    def ready(self) -> bool:
        """Whether any model is offered."""
        return bool(self.upstreams.routes)

    async def reachable(self) -> bool:
        """Return whether an upstream takes connections, as of the last few seconds."""
        return await self._reachability.any()

    def reload(self) -> int:
        """Read the files of models and keys again and put all of them in force, or none.

        Returns:
            The number of models offered.

        Raises:
            ConfigurationError: A file is wrong; the previous configuration stays in force.
        """
        settings = self.settings
        try:
            ring = None if settings.keys_file is None else _read_keys(settings.keys_file)
            if settings.config is not None:
                self.upstreams.reload(configuration.load(settings.config))
            if ring is not None:
                self.engine.keys = ring
        except ConfigurationError:
            self.metrics.reloaded(done=False)
            raise
        self.metrics.reloaded(done=True)
        return len(self.upstreams.routes)

    def reload_or_complain(self) -> None:
        """Reload on a signal; an error is logged."""
        try:
            models = self.reload()
        except ConfigurationError as error:
            _log.error("reload refused", reason=str(error))
        else:
            _log.info("reloaded", models=models)

    def start(self) -> None:
        """Start the background tasks, such as watching the key file."""
        self._tasks.append(asyncio.create_task(self._record_waiting()))
        if self.settings.keys_file is not None:
            self._tasks.append(asyncio.create_task(self._watch_keys(self.settings.keys_file)))
        if self.settings.config is None and self.settings.upstream_url is not None:
            self._tasks.append(asyncio.create_task(self._discover(self.settings.upstream_url)))

    async def stop(self) -> None:
        """Stop the background tasks, close all connections and write the log's last lines."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.engine.close()
        self.completion.close()
        self.upstreams.close()
        self.request_log.close()
        await self._limiter.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    async def _record_waiting(self) -> None:
        """Record requests that wait for their answers, at most two seconds after arrival."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.completion.record_waiting(time.perf_counter())

    async def _watch_keys(self, path: Path) -> None:
        """Put a changed key file in force within two seconds, so that revocation is prompt."""
        seen = _stamp(path)
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            stamp = _stamp(path)
            if stamp == seen:
                continue
            seen = stamp
            try:
                self.engine.keys = _read_keys(path)
            except ConfigurationError as error:
                _log.error("key file refused", reason=str(error))
            else:
                _log.info("key file re-read", keys=len(self.engine.keys))

    async def _discover(self, url: str) -> None:
        """Offer the upstream's models: soon after it starts, and when they change."""
        api_key_env = self.settings.upstream_api_key_env
        known: list[str] = []
        complained = False
        while True:
            try:
                names = await self.upstreams.discover(url, api_key_env)
            except UpstreamError as error:
                if not known and not complained:
                    _log.warning("waiting for the upstream's models", reason=error.detail)
                    complained = True
            else:
                if names != known:
                    catalog = configuration.single_upstream(url, names, api_key_env=api_key_env)
                    self.upstreams.reload(catalog)
                    known = names
                    _log.info("models discovered", models=len(names))
            await asyncio.sleep(_DISCOVERED_SECONDS if known else _WATCH_SECONDS)

    def _limits_unavailable(self, error: Exception) -> None:
        self.metrics.limits_unavailable += 1
        _log.warning("rate limits unavailable", reason=type(error).__name__)


def check_files(settings: GatewaySettings) -> None:
    """Read the files that the settings name, so that errors are reported before serving.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    if settings.config is not None:
        configuration.load(settings.config)
    elif settings.upstream_url is not None:
        Address.parse(settings.upstream_url)
    if settings.keys_file is not None:
        _read_keys(settings.keys_file)


def _read_keys(path: Path) -> keys.KeyRing:
    return keys.KeyRing(keys.load(path))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
