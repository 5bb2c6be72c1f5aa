"""Reads the monitor over HTTP, as anybody's program would."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

import msgspec

from tidegauge.demo.errors import DemoError
from tidegauge.verdicts.view import MonitorView

__all__ = ["MonitorClient", "MonitorError"]

_REPORT_SECONDS = 180


class MonitorError(DemoError):
    """The monitor did not answer as it should."""


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
            MonitorError: It does not answer, or with something else.
        """
        body = self._ask("GET", "/api/view", seconds=10)
        try:
            return msgspec.json.decode(body, type=MonitorView)
        except msgspec.DecodeError as error:
            raise MonitorError(f"{self.address}/api/view is no view: {error}") from error

    def build_report(self) -> str:
        """Have a report built from what was captured; return its address.

        Raises:
            MonitorError: It could not be built.
        """
        raise NotImplementedError

    def _ask(self, method: str, path: str, *, seconds: float) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(self.address + path, method=method)  # noqa: S310 - ours
        try:
            with opener.open(request, timeout=seconds) as response:
                body: bytes = response.read()
        except OSError as error:
            raise MonitorError(f"{method} {self.address}{path} failed: {error}") from error
        return body
