"""The pages of requests: a filtered sample of the newest ones, and one request in full."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Protocol, TypeVar

from fastapi import FastAPI, Path
from fastapi.responses import HTMLResponse

from tidegauge.monitor.web.question_pages import missing
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.segment_page import Name, name
from tidegauge.reports.text import clip, plain
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.usecases.recent_exchanges import ExchangeFilter, FoundExchanges

__all__ = ["ExchangeLog", "RequestPages", "request_line"]

T = TypeVar("T")

_UNKNOWN: Final = frozenset(("pending", "cancelled", "unread"))
"""Outcomes without an error that are no answer either."""
_PROMPT = 140
_TEXT = 20_000
_BUSY = "another reader is reading the log: try again in some seconds"


class ExchangeLog(Protocol):
    """The exchanges that the log holds."""

    def recent(self, wanted: ExchangeFilter, now_ms: int) -> FoundExchanges:
        """Return the newest exchanges that meet a filter.

        Raises:
            TidegaugeError: The log cannot be read.
        """

    def find(self, request_id: str) -> ResponseEvent | RequestEvent | None:
        """Return an exchange, None if the log does not hold it.

        Raises:
            TidegaugeError: The log cannot be read.
        """

    def judgments(self, event: ResponseEvent) -> tuple[JudgmentEvent, ...]:
        """Return what judges said of an answer.

        Raises:
            TidegaugeError: The log cannot be read.
        """


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One exchange in a line.

    Attributes:
        event: The exchange.
        name: Its segment.
        prompt: The beginning of its last message.
        outcome: How it ended, in a word or two.
        tone: Colour of the outcome.
    """

    event: ResponseEvent
    name: Name
    prompt: str
    outcome: str
    tone: str


def request_line(event: ResponseEvent) -> RequestLine:
    """Return an exchange in a line."""
    last = event.messages[-1].content if event.messages else ""
    failed = sorted(check for check, outcome in event.checks.items() if outcome == "failed")
    if event.error is not None:
        outcome, tone = event.error.value.replace("_", " "), "critical"
    elif failed:
        outcome, tone = ", ".join(failed).replace("_", " "), "warn"
    elif event.outcome is not None and event.outcome in _UNKNOWN:
        outcome, tone = str(event.outcome), "quiet"
    else:
        outcome, tone = "answered", "ok"
    return RequestLine(event, name(event.segment), clip(last, _PROMPT), clip(outcome, 60), tone)


class RequestPages:
    """Adds ``/requests`` and ``/request/<id>``; the log is read for one reader at a time.

    Args:
        log: The exchanges that the log holds.
        now_ms: The clock.
    """

    def __init__(self, log: ExchangeLog, now_ms: Callable[[], int]) -> None:
        self._log = log
        self._now_ms = now_ms
        self._reading = threading.Lock()

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""

        @app.get("/requests", response_class=HTMLResponse, include_in_schema=False)
        def requests(
            model: str = "", version: str = "", route: str = "", customer: str = "", only: str = ""
        ) -> HTMLResponse:
            wanted = ExchangeFilter(model, version, route, customer, only)
            found, error = self._read(lambda: self._log.recent(wanted, self._now_ms()))
            values = {
                "wanted": wanted,
                "found": found,
                "lines": [request_line(event) for event in found.exchanges] if found else [],
                "error": error,
            }
            status = 503 if error else 200
            return HTMLResponse(renderer.render("requests.html", values), status_code=status)

        @app.get("/request/{request_id}", response_class=HTMLResponse, include_in_schema=False)
        def request(request_id: Annotated[str, Path(max_length=200)]) -> HTMLResponse:
            event, error = self._read(lambda: self._log.find(request_id))
            if error:
                return missing(renderer, f"The log was not read: {error}.", 503)
            if event is None:
                return missing(
                    renderer,
                    f"No event of {plain(request_id)[:100]} is in the log: its text has expired, "
                    "or it was never captured.",
                )
            judgments: tuple[JudgmentEvent, ...] = ()
            if isinstance(event, ResponseEvent):
                said, _ = self._read(lambda: self._log.judgments(event))
                judgments = said or ()
            values = {
                "event": event,
                "answered": isinstance(event, ResponseEvent),
                "name": name(event.segment),
                "judgments": judgments,
                "most": _TEXT,
            }
            return HTMLResponse(renderer.render("request.html", values))

    def _read(self, read: Callable[[], T]) -> tuple[T | None, str]:
        if not self._reading.acquire(blocking=False):
            return None, _BUSY
        try:
            return read(), ""
        except TidegaugeError as error:
            return None, str(error)
        finally:
            self._reading.release()
