"""The pages, one question each: now, an incident, a segment, topics, releases, setup, pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Path, Query
from fastapi.responses import HTMLResponse

from tidegauge.monitor.web.alarms import change_line
from tidegauge.monitor.web.charts import RANGES, segment_charts
from tidegauge.monitor.web.incident_page import find_incident, incident_page
from tidegauge.monitor.web.now import now
from tidegauge.monitor.web.pipeline_page import pipeline_page
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.sections import swap_lines, topic_cards
from tidegauge.monitor.web.segment_page import describe, name
from tidegauge.monitor.web.setup_page import setup_page
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.formatting import duration
from tidegauge.reports.quality import Estimator
from tidegauge.reports.runbooks import RUNBOOKS
from tidegauge.reports.standing import promise
from tidegauge.runtime.settings import SettingInForce
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.segments import Segment

__all__ = ["PastAlerts", "QuestionPages", "missing", "no_past"]

PastAlerts = Callable[[str], Sequence[Alert]]
"""Returns the alerts of an incident that the log still has, or raises TidegaugeError."""

_CHANGES = 30


def no_past(_incident_id: str) -> Sequence[Alert]:
    """Return nothing: where there is no log to ask."""
    return ()


@dataclass(frozen=True, slots=True)
class QuestionPages:
    """Adds the pages that are made from the present view alone.

    Attributes:
        view: Returns the present view, as whoever asks may see it.
        now_ms: The clock.
        estimator: Computes the judges' means.
        false_alarm_days: The promise.
        past: Returns past alerts of an incident, as whoever asks may see them.
        settings: The monitor's settings, with values that may be shown.
    """

    view: Callable[[], MonitorView | None]
    now_ms: Callable[[], int]
    estimator: Estimator
    false_alarm_days: float
    past: PastAlerts = no_past
    settings: tuple[SettingInForce, ...] = ()

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""
        self._mount_now(app, renderer)
        self._mount_incident(app, renderer)
        self._mount_segment(app, renderer)
        self._mount_sections(app, renderer)

    def _mount_now(self, app: FastAPI, renderer: Renderer) -> None:
        @app.get("/", response_class=HTMLResponse, include_in_schema=False)
        def first_page(refresh: str = "on", incidents: str = "") -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            shown = now(view, now_ms=self.now_ms(), every_incident=incidents == "all")
            return _page(renderer, "now.html", {"page": shown}, live=refresh != "off")

    def _mount_incident(self, app: FastAPI, renderer: Renderer) -> None:
        @app.get("/i/{incident_id}", response_class=HTMLResponse, include_in_schema=False)
        def incident(
            incident_id: Annotated[str, Path(max_length=200)], said: str = ""
        ) -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            found, problem = find_incident(incident_id, view), ""
            if found is None:
                try:
                    found = find_incident(incident_id, view, self.past(incident_id))
                except TidegaugeError as error:
                    problem = str(error)
            if found is None:
                what = "There is no such incident: it has expired, or never was."
                return missing(renderer, f"{what} {problem}".strip())
            shown = incident_page(
                found, view, now_ms=self.now_ms(), false_alarm_days=self.false_alarm_days
            )
            return _page(renderer, "incident.html", {"page": shown, "said": said, "error": ""})

        @app.get("/runbook/{signal}", response_class=HTMLResponse, include_in_schema=False)
        def runbook(signal: Annotated[str, Path(max_length=40)]) -> HTMLResponse:
            book = RUNBOOKS.get(signal)
            if book is None:
                return missing(renderer, "There is no such runbook.")
            return _page(renderer, "runbook.html", {"book": book, "books": RUNBOOKS})

    def _mount_segment(self, app: FastAPI, renderer: Renderer) -> None:
        @app.get("/segment", response_class=HTMLResponse, include_in_schema=False)
        def segment(
            model: str,
            version: str = "",
            route: str = "",
            customer: str = "",
            span: Annotated[str, Query(alias="range")] = "1h",
        ) -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            wanted = Segment(model=model, version=version, route=route, customer=customer)
            # A monitor may watch all versions of a model as one: its page shows each.
            parts = [
                found
                for found in view.segments
                if found.segment == wanted or wanted in found.segment.parents()
            ]
            items = [describe(found, view, self.estimator) for found in parts]
            if not items:
                return missing(renderer, "There is no such segment.")
            shown = {item.segment for item in items} | {wanted}
            moment_ms = self.now_ms()
            chosen = span if span in RANGES else "1h"
            charts = [segment_charts(found, view, chosen, moment_ms) for found in parts]
            values = {
                "title": name(wanted),
                "items": list(zip(items, charts, strict=True)),
                "ranges": RANGES,
                "range": chosen,
                "time_ms": view.time_ms,
                "display_range": duration(view.display_range_ms / 1000),
                "changes": [
                    change_line(change, moment_ms)
                    for change in reversed(view.history)
                    if change.segment in shown and change.before is not None
                ][:_CHANGES],
                "promise": promise(self.false_alarm_days),
            }
            return _page(renderer, "segment.html", values)

    def _mount_sections(self, app: FastAPI, renderer: Renderer) -> None:
        @app.get("/topics", response_class=HTMLResponse, include_in_schema=False)
        def topics() -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            moment_ms = self.now_ms()
            cards = topic_cards(view, now_ms=moment_ms, false_alarm_days=self.false_alarm_days)
            not_tested = pipeline_page(view, moment_ms).not_tested
            return _page(renderer, "topics.html", {"cards": cards, "not_tested": not_tested})

        @app.get("/releases", response_class=HTMLResponse, include_in_schema=False)
        def releases() -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            return _page(renderer, "releases.html", {"swaps": swap_lines(view, self.now_ms())})

        @app.get("/setup", response_class=HTMLResponse, include_in_schema=False)
        def setup() -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            shown = setup_page(view, false_alarm_days=self.false_alarm_days)
            return _page(renderer, "setup.html", {"page": shown, "settings": self.settings})

        @app.get("/pipeline", response_class=HTMLResponse, include_in_schema=False)
        def pipeline() -> HTMLResponse:
            view = self.view()
            if view is None:
                return _waiting(renderer)
            values = {"page": pipeline_page(view, self.now_ms()), "view": view}
            return _page(renderer, "pipeline.html", values)


def missing(renderer: Renderer, what: str, status: int = 404) -> HTMLResponse:
    """Return the page for what is not there."""
    return HTMLResponse(renderer.render("missing.html", {"what": what}), status_code=status)


def _page(
    renderer: Renderer, template: str, values: Mapping[str, object], *, live: bool = True
) -> HTMLResponse:
    return HTMLResponse(renderer.render(template, values, live=live))


def _waiting(renderer: Renderer) -> HTMLResponse:
    return HTMLResponse(renderer.render("waiting.html", {}, live=True), status_code=503)
