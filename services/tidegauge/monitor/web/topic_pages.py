"""An alarm broken down by topic: did the topics change, or are the same topics served worse?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from tidegauge.monitor.web.alarms import alarm_page
from tidegauge.monitor.web.openapi import documented, json_of
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitoring.mix_decomposition import ClusterShift, sentence
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.text import clip
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.findings import Verdict
from tidegauge.usecases.explain import Explanation

__all__ = ["TopicLine", "TopicPages", "topic_lines"]

_MOST = 20
_TITLE = 100

Explain = Callable[[Verdict, int], Explanation]
"""Breaks a verdict down by topic, as of a moment in Unix milliseconds, or raises TidegaugeError."""


@dataclass(frozen=True, slots=True)
class TopicLine:
    """One topic's part in a change."""

    title: str
    shift: ClusterShift


def topic_lines(found: Explanation, most: int = _MOST) -> tuple[TopicLine, ...]:
    """Return the topics that contribute most, with their terms."""
    return tuple(
        TopicLine(
            clip(found.titles.get(shift.cluster, ""), _TITLE) or f"cluster {shift.cluster}", shift
        )
        for shift in found.mix.clusters[:most]
    )


class TopicPages:
    """Adds ``/alarm/topics`` to the application; the log is read for one reader at a time.

    Args:
        view: Returns the present view.
        explain: Breaks a verdict down by topic.
        now_ms: The clock.
        false_alarm_days: The promise.
    """

    def __init__(
        self,
        view: Callable[[], MonitorView | None],
        explain: Explain,
        now_ms: Callable[[], int],
        false_alarm_days: float,
    ) -> None:
        self._view = view
        self._explain = explain
        self._now_ms = now_ms
        self._days = false_alarm_days
        self._reading = threading.Lock()

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""

        @app.get("/alarm/topics", response_class=HTMLResponse, include_in_schema=False)
        def topics(monitor: str, segment: str) -> HTMLResponse:
            view = self._view()
            now_ms = self._now_ms()
            found = view and alarm_page(
                view, monitor, segment, now_ms=now_ms, false_alarm_days=self._days
            )
            if not found:
                page = renderer.render(
                    "missing.html", {"what": "No such monitor has reported yet."}
                )
                return HTMLResponse(page, status_code=404)
            explained, error = self._read(found.verdict, now_ms)
            values = {
                "alarm": found,
                "error": error,
                "explained": explained,
                "sentence": sentence(explained.mix) if explained else "",
                "lines": topic_lines(explained) if explained else (),
            }
            status = 200 if explained else 422
            return HTMLResponse(renderer.render("mix.html", values), status_code=status)

        @app.get(
            "/api/topics",
            tags=["api"],
            response_class=Response,
            responses={
                404: documented("No such monitor has reported"),
                422: documented("It cannot be taken apart"),
            },
        )
        def api_topics(monitor: str, segment: str) -> Response:
            """Take a verdict apart by topic; ``segment`` is a segment's key. Reads the log."""
            view = self._view()
            verdicts = view.verdicts if view else ()
            wanted = (monitor, segment)
            found = next((v for v in verdicts if (v.monitor, v.segment.key) == wanted), None)
            if found is None:
                return json_of({"error": "no such monitor has reported yet"}, status=404)
            explained, error = self._read(found, self._now_ms())
            return json_of(explained) if explained else json_of({"error": error}, status=422)

    def _read(self, verdict: Verdict, now_ms: int) -> tuple[Explanation | None, str]:
        if not self._reading.acquire(blocking=False):
            return None, "another verdict is being taken apart: try again in some seconds"
        try:
            return self._explain(verdict, now_ms), ""
        except TidegaugeError as error:
            return None, str(error)
        finally:
            self._reading.release()
