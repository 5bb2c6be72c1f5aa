"""Reads the monitor over HTTP, as anybody's program would."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from tidegauge.demo.errors import DemoError
from tidegauge.demo.server_costs import DemoCosts
from tidegauge.monitoring.view import MonitorView

__all__ = ["MonitorClient", "MonitorClientError"]

_REPORT_SECONDS = 240
_POLL_SECONDS = 0.5
_RANGE_FIELDS = ("reference_from", "reference_to", "from", "to")


class MonitorClientError(DemoError):
    """The monitor did not answer as it should."""


class _Report(msgspec.Struct):
    report_id: str


class _Listed(msgspec.Struct):
    reports: list[_Report]
    busy: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class MonitorClient:
    """A monitor's JSON API.

    Attributes:
        address: Such as ``http://127.0.0.1:8090``.
    """

    address: str

    def view(self) -> MonitorView:
        """Return everything that the monitor knows now.

        Raises:
            MonitorClientError: It does not answer, or with something else.
        """
        body = self._ask("GET", "/api/view", seconds=10)
        try:
            return msgspec.json.decode(body, type=MonitorView)
        except msgspec.DecodeError as error:
            raise MonitorClientError(f"{self.address}/api/view is no view: {error}") from error

    def costs(self) -> DemoCosts:
        """Return what the server did and cost.

        Raises:
            MonitorClientError: It does not answer, or with something else.
        """
        body = self._ask("GET", "/api/costs", seconds=10)
        try:
            return msgspec.json.decode(body, type=DemoCosts)
        except msgspec.DecodeError as error:
            raise MonitorClientError(f"{self.address}/api/costs: {error}") from error

    def build_report(self, reference_ms: tuple[int, int], current_ms: tuple[int, int]) -> str:
        """Have a report built that compares two ranges of time; return its address.

        Args:
            reference_ms: From and to, Unix milliseconds.
            current_ms: The same.

        Raises:
            MonitorClientError: It could not be built, or not in time.
        """
        known = {report.report_id for report in self._reports().reports}
        ranges = (*reference_ms, *current_ms)
        form = dict(zip(_RANGE_FIELDS, map(_iso, ranges), strict=True))
        self._ask("POST", "/reports", seconds=30, form=form)
        deadline = time.monotonic() + _REPORT_SECONDS
        while time.monotonic() < deadline:
            listed = self._reports()
            for report in listed.reports:
                if report.report_id not in known:
                    return f"{self.address}/reports/{report.report_id}"
            if not listed.busy:
                raise MonitorClientError(
                    f"the monitor built no report: {listed.error or 'it gave no reason'}"
                )
            time.sleep(_POLL_SECONDS)
        raise MonitorClientError(f"the report was not ready after {_REPORT_SECONDS} s")

    def _reports(self) -> _Listed:
        body = self._ask("GET", "/api/reports", seconds=10)
        try:
            return msgspec.json.decode(body, type=_Listed)
        except msgspec.DecodeError as error:
            raise MonitorClientError(f"{self.address}/api/reports is no list: {error}") from error

    def _ask(
        self, method: str, path: str, *, seconds: float, form: Mapping[str, str] | None = None
    ) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(  # noqa: S310 - our own monitor
            self.address + path, data, method=method
        )
        try:
            with opener.open(request, timeout=seconds) as response:
                body: bytes = response.read()
        except OSError as error:
            raise MonitorClientError(f"{method} {self.address}{path} failed: {error}") from error
        return body


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
