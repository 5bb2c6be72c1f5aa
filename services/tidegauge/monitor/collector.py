"""The collector: asks upstreams and their GPUs what they say of themselves, and publishes it.

There is one in a fleet, in the monitor's process. It reads vLLM's metrics, those of dcgm-exporter,
and NVML for GPUs of its own machine. What does not answer is said in the sample and in the log.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Final
from urllib.parse import urlsplit

import structlog

from tidegauge.adapters.nvml import read_gpus
from tidegauge.cost.exposition import MOST_BYTES, read_metrics
from tidegauge.cost.upstream_metrics import (
    GPU_METRICS,
    SERVER_METRICS,
    Reading,
    gpus_of,
    reading_of,
    sample_of,
)
from tidegauge.gateway.configuration import NVML, Catalog, Scraped, scraped_upstreams
from tidegauge.runtime.environment import shown_address
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.topics import UPSTREAMS
from tidegauge.schemas.upstream_events import GpuReading, UpstreamSample
from tidegauge.streaming.processor import Output

__all__ = ["Collector", "ScrapeError", "Scraper", "fetch"]

_TIMEOUT_SECONDS: Final = 3.0
_LONGEST_SECONDS: Final = 10.0
"""Longest time for the whole of an answer."""
_PIECE_BYTES: Final = 256 * 1024
_THREADS: Final = 4
_OK: Final = 200
_HEADERS: Final = {"Accept": "text/plain;version=0.0.4", "User-Agent": "tidegauge"}

_log = structlog.get_logger(__name__)


class ScrapeError(TidegaugeError):
    """An address does not give its metrics."""


Fetch = Callable[[str], bytes]


def fetch(url: str) -> bytes:
    """Return the metrics of an address.

    Raises:
        ScrapeError: It does not answer in time, or not with metrics of a bounded length.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path or "/", headers=_HEADERS)
        answer = connection.getresponse()
        if answer.status != _OK:
            raise ScrapeError(f"{shown_address(url)} answers with status {answer.status}")
        return _body(answer, time.monotonic() + _LONGEST_SECONDS)
    except (OSError, ssl.SSLError, http.client.HTTPException, ValueError) as error:
        raise ScrapeError(f"{shown_address(url)} does not answer: {error}") from error
    finally:
        connection.close()


def _body(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return an answer's body; one that trickles in does not keep the others waiting."""
    body = bytearray()
    while len(body) <= MOST_BYTES and (piece := answer.read1(_PIECE_BYTES)):
        body += piece
        if time.monotonic() > deadline:
            raise TimeoutError(f"its answer takes more than {_LONGEST_SECONDS:.0f} s")
    if answer.length and len(body) <= MOST_BYTES:
        raise http.client.IncompleteRead(bytes(body), answer.length)
    return bytes(body)


class Scraper:
    """Asks one upstream, and remembers the counters for the next time.

    Args:
        upstream: What to ask.
        fetch: Returns the metrics of an address.
        gpus: Returns the readings of this machine's GPUs.
    """

    def __init__(
        self,
        upstream: Scraped,
        fetch: Fetch = fetch,
        gpus: Callable[[Sequence[str]], tuple[GpuReading, ...]] = read_gpus,
    ) -> None:
        self.upstream = upstream
        self._fetch = fetch
        self._gpus = gpus
        self._read_ms: int | None = None
        self._server_before: Reading | None = None
        self._gpus_before: dict[str, GpuReading] = {}

    def sample(self, now_ms: int) -> UpstreamSample:
        """Return what the upstream and its GPUs say now."""
        asked, faults = self.upstream, []
        server: Reading | None = None
        gpus: tuple[GpuReading, ...] = ()
        try:
            if asked.metrics_url:
                server = self._server(asked.metrics_url)
        except TidegaugeError as error:
            faults.append(str(error))
        try:
            if asked.gpu_metrics_url == NVML:
                gpus = self._gpus(asked.gpus)
            elif asked.gpu_metrics_url:
                gpus = self._exporter(asked.gpu_metrics_url)
        except TidegaugeError as error:
            faults.append(str(error))
        sample = sample_of(
            asked.label,
            now_ms,
            server=server,
            gpus=gpus,
            before=(self._read_ms, self._server_before, tuple(self._gpus_before.values())),
            faults=faults,
        )
        # A silence leaves them as they are: what the counters grow by in it is counted after it.
        if server is not None or (gpus and not asked.metrics_url):
            self._read_ms, self._server_before = now_ms, server
        self._gpus_before |= {gpu.gpu: gpu for gpu in gpus}
        return sample

    def _server(self, url: str) -> Reading:
        metrics = read_metrics(self._fetch(url), SERVER_METRICS)
        if not metrics:
            raise ScrapeError(f"{shown_address(url)} has none of vLLM's metrics")
        return reading_of(metrics)

    def _exporter(self, url: str) -> tuple[GpuReading, ...]:
        found = gpus_of(read_metrics(self._fetch(url), GPU_METRICS), self.upstream.gpus)
        if not found:
            raise ScrapeError(
                f"{shown_address(url)} has no metrics of dcgm-exporter for the GPUs asked for"
            )
        return found


class Collector:
    """Publishes a sample of every upstream again and again, in threads of its own.

    Args:
        catalog: Returns the gateway's configuration as it is now.
        publish: Publishes events.
        now_ms: Returns the time.
        interval_seconds: Time between two samples.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        publish: Callable[[Sequence[Output]], None],
        now_ms: Callable[[], int],
        interval_seconds: float,
    ) -> None:
        self._catalog = catalog
        self._publish = publish
        self._now_ms = now_ms
        self._interval_seconds = interval_seconds
        self._scrapers: Mapping[Scraped, Scraper] = {}
        self._faults: dict[str, tuple[str, ...]] = {}

    def start(self, stop: Event) -> None:
        """Start the thread; ``stop`` ends it."""
        Thread(target=self.run, args=(stop,), name="collector", daemon=True).start()

    def run(self, stop: Event) -> None:
        """Collect until told to stop."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="scrape") as pool:
            while not stop.is_set():
                self.collect(pool)
                stop.wait(self._interval_seconds)

    def collect(self, pool: ThreadPoolExecutor) -> tuple[UpstreamSample, ...]:
        """Ask every upstream once, publish the samples and return them."""
        try:
            wanted = scraped_upstreams(self._catalog())
        except TidegaugeError as error:
            _log.warning("upstreams are asked as before", error=str(error)[:500])
            wanted = tuple(self._scrapers)
        self._scrapers = {one: self._scrapers.get(one) or Scraper(one) for one in wanted}
        samples = tuple(pool.map(self._sample, self._scrapers.values()))
        outputs = [
            Output(
                topic=UPSTREAMS,
                key=sample.upstream,
                event=sample,
                source="collector",
                event_id=f"{sample.upstream}/{sample.time_ms}",
                time_ms=sample.time_ms,
            )
            for sample in samples
        ]
        try:
            if outputs:
                self._publish(outputs)
        except LogError as error:
            _log.warning("samples of upstreams are lost", error=str(error)[:500])
        return samples

    def _sample(self, scraper: Scraper) -> UpstreamSample:
        sample = scraper.sample(self._now_ms())
        if sample.faults != self._faults.get(sample.upstream, ()):
            self._faults[sample.upstream] = sample.faults
            if sample.faults:
                _log.warning("upstream_silent", upstream=sample.upstream, faults=sample.faults)
            else:
                _log.info("upstream_answers_again", upstream=sample.upstream)
        return sample
