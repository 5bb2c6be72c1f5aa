"""Follows what the log says of upstreams, and makes a view of their use and cost of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final

import structlog

from tidegauge.cost.account import CostAccount
from tidegauge.cost.hourly_bills import HourlyBills
from tidegauge.gateway.configuration import Catalog, gpu_prices, load, scraped_upstreams
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.reports.cost_view import CostView, cost_view
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.topics import UPSTREAMS
from tidegauge.schemas.upstream_events import UpstreamSample, UpstreamWork

__all__ = ["CatalogFile", "CostBoard"]

_HOUR_MS: Final = 3_600_000
_AHEAD_MS: Final = 600_000
"""How far a producer's clock may be ahead."""
_VIEW_SECONDS: Final = 10.0
_VIEW_COST: Final = 30
"""A view is made again after this many times as long as it took, at the earliest."""
_RETRY_SECONDS: Final = 5.0
_FIRST_SECONDS: Final = 5.0
"""A log that gives no record for so long has none."""
_CATCHING_UP_SECONDS: Final = 120.0
"""Longest time in which no view is made while the log is read from its beginning."""

_log = structlog.get_logger(__name__)


class CatalogFile:
    """The gateway's configuration, read again when its file has changed; without keys.

    Args:
        path: The file; None for an empty configuration.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._catalog = Catalog({})

    def __call__(self) -> Catalog:
        """Return the configuration as it is now.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        if self._path is None:
            return self._catalog
        try:
            found = self._path.stat()
        except OSError as error:
            raise ConfigurationError(f"cannot read the gateway's configuration: {error}") from error
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._catalog = load(self._path, with_keys=False)
            self._stamp = stamp
        return self._catalog


class CostBoard:
    """Keeps the account of the last hours, and the newest view of it.

    Args:
        kafka: How to reach Kafka.
        catalog: Returns the gateway's configuration, for the prices.
        now_ms: Returns the time.
        hours: Length of the range.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        catalog: Callable[[], Catalog],
        now_ms: Callable[[], int],
        hours: int,
    ) -> None:
        self._kafka = kafka
        self._catalog = catalog
        self._now_ms = now_ms
        self._hours = hours
        self._began_ms = 0
        self._bills = self._new_bills()
        self._known = Catalog({})
        self._view: CostView | None = None
        self._next = 0.0

    def view(self) -> CostView | None:
        """Return the newest view, None before the first."""
        return self._view

    def start(self, stop: Event) -> None:
        """Start the thread; ``stop`` ends it."""
        Thread(target=self.run, args=(stop,), name="costs", daemon=True).start()

    def run(self, stop: Event) -> None:
        """Follow the log until told to stop."""
        while not stop.is_set():
            # The first hour is billed as a whole.
            start_ms = (self._now_ms() - self._hours * _HOUR_MS) // _HOUR_MS * _HOUR_MS
            began, heard, caught_up = time.monotonic(), False, False
            try:
                oldest_ms = reader.oldest_ms(self._kafka, UPSTREAMS)
                self._began_ms = self._now_ms() if oldest_ms is None else oldest_ms
                self._bills = self._new_bills()
                for record in reader.follow(
                    self._kafka, UPSTREAMS, until=stop.is_set, start_ms=start_ms
                ):
                    waited = time.monotonic() - began
                    if record is not None:
                        heard = True
                        self.add(record.value)
                    elif heard or waited > _FIRST_SECONDS:
                        caught_up = True
                    # What has been read in part would look as if less had been spent.
                    if caught_up or waited > _CATCHING_UP_SECONDS:
                        self._refresh()
            except LogError as error:
                _log.warning("costs wait for the log", error=str(error)[:500])
                stop.wait(_RETRY_SECONDS)

    def add(self, value: bytes) -> None:
        """Add a record of the log; one that cannot be read is left out."""
        try:
            event: UpstreamWork | UpstreamSample = decode(value, UpstreamWork, UpstreamSample)
        except DecodeError as error:
            _log.warning("record of upstreams left out", error=str(error)[:200])
            return
        self._bills.account.add(event)

    def refresh(self) -> None:
        """Make the view anew."""
        now_ms = self._now_ms()
        self._bills.account.keep(*self._range(now_ms))
        try:
            self._known = self._catalog()
        except TidegaugeError as error:
            _log.warning("prices are those of before", error=str(error)[:500])
        prices, known = gpu_prices(self._known), self._known
        self._view = cost_view(
            self._bills,
            prices,
            now_ms,
            self._hours,
            known.budgets,
            known.judges,
            asked={one.label for one in scraped_upstreams(known)},
        )

    def _new_bills(self) -> HourlyBills:
        account = CostAccount(*self._range(self._now_ms()))
        account.began_ms = self._began_ms
        return HourlyBills(account)

    def _range(self, now_ms: int) -> tuple[int, int]:
        return now_ms - (self._hours + 1) * _HOUR_MS, now_ms + _AHEAD_MS

    def _refresh(self) -> None:
        began = time.monotonic()
        if began < self._next:
            return
        self.refresh()
        took = time.monotonic() - began
        self._next = began + took + max(_VIEW_SECONDS, _VIEW_COST * took)
