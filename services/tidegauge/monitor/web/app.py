"""The monitor's HTTP interface: the page, the API, metrics, health, reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidegauge.monitor.web import guards
from tidegauge.monitor.web.downloads import account_csv, trend_csv
from tidegauge.monitor.web.incident_lines import firing_incidents
from tidegauge.monitor.web.openapi import (
    LedgerAnswer,
    answer,
    documented,
    json_of,
    publish_schemas,
    refuse_invalid,
)
from tidegauge.monitor.web.question_pages import PastAlerts, QuestionPages, missing, no_past
from tidegauge.monitor.web.rendering import Renderer, mount_static
from tidegauge.monitor.web.viewers import MonitorState, StateByRole, Texts
from tidegauge.monitoring.incidents import IncidentSummary
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.runtime.settings import SettingInForce
from tidegauge.schemas.findings import Alert, Signal, State, Verdict
from tidegauge.schemas.segments import Segment

__all__ = ["Interface", "MonitorState", "Pages", "create_app"]


class Pages(Protocol):
    """Adds further pages to the application."""

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What the interface is made of.

    Attributes:
        watch: The monitor's loop.
        now_ms: The clock.
        estimator: Computes the judges' means.
        registry: The metrics.
        false_alarm_days: The promise.
        refresh_seconds: How often a page refreshes itself.
        host: The interface that it listens on: with ``page_url``, the names it answers to.
        password: What everything but health checks asks for; empty for nothing.
        viewer_password: What opens the pages without requests' texts; empty for nothing.
        page_url: The address that people open, such as a proxy's; empty where it is our own.
        pages: Further pages: those of alarms and of reports.
        past: Returns past alerts of an incident.
        texts: Where texts of exemplars are found.
        settings: The monitor's settings, with values that may be shown.
    """

    watch: MonitorState
    now_ms: Callable[[], int]
    estimator: Estimator
    registry: CollectorRegistry
    false_alarm_days: float
    refresh_seconds: int
    host: str
    password: str = ""
    viewer_password: str = ""
    page_url: str = ""
    pages: tuple[Pages, ...] = ()
    past: PastAlerts = no_past
    texts: Texts | None = None
    settings: tuple[SettingInForce, ...] = ()


def create_app(interface: Interface) -> FastAPI:
    """Return the application."""
    shown = StateByRole(interface.watch, interface.texts)
    interface = replace(interface, watch=shown)
    renderer = Renderer(interface.refresh_seconds)
    app = FastAPI(
        title="tidegauge monitor",
        summary="Verdicts, alerts and numbers of the five signals, as the page shows them",
        version="1",
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)
    app.add_middleware(
        guards.RequestGuard,
        policy=renderer.policy,
        host=interface.host,
        password=interface.password,
        viewer_password=interface.viewer_password,
        page_url=interface.page_url,
    )
    pages = QuestionPages(
        view=interface.watch.view,
        now_ms=interface.now_ms,
        estimator=interface.estimator,
        false_alarm_days=interface.false_alarm_days,
        past=lambda incident_id: shown.seen(interface.past(incident_id)),
        settings=interface.settings,
    )
    pages.mount(app, renderer)
    mount_static(app)
    _api(app, interface.watch)
    _downloads(app, interface.watch)
    _operations(app, interface)
    for further in interface.pages:
        further.mount(app, renderer)
    refuse_invalid(app)
    _tell_missing(app, renderer)
    publish_schemas(app)
    return app


def _tell_missing(app: FastAPI, renderer: Renderer) -> None:
    """Answer addresses that there are not as every other error of the interface."""

    def not_found(request: Request, _error: Exception) -> Response:
        if request.url.path.startswith("/api/"):
            return json_of({"error": "there is nothing at this address"}, status=404)
        return missing(renderer, "There is no page at this address.")

    app.add_exception_handler(404, not_found)


def _api(app: FastAPI, watch: MonitorState) -> None:
    def nothing_yet() -> Response:
        return json_of({"error": "nothing has been measured yet: try again later"}, status=503)

    @app.get("/api/view", responses=answer(MonitorView), tags=["api"], response_class=Response)
    def api_view() -> Response:
        """Return everything that the pages are made of, but the history of segments."""
        view = watch.view()
        return nothing_yet() if view is None else json_of(_without_history(view))

    @app.get(
        "/api/verdicts", responses=answer(Verdict, many=True), tags=["api"], response_class=Response
    )
    def api_verdicts(
        signal: Signal | None = None,
        state: Annotated[list[State] | None, Query()] = None,
        monitor: str | None = None,
        model: str | None = None,
    ) -> Response:
        """Return the latest verdict of each monitor and segment that matches."""
        view = watch.view()
        if view is None:
            return nothing_yet()
        found: Sequence[Verdict] = [
            verdict
            for verdict in view.verdicts
            if (signal is None or verdict.signal == signal)
            and (not state or verdict.state in state)
            and (monitor is None or verdict.monitor == monitor)
            and (model is None or verdict.segment.model == model)
        ]
        return json_of(found)

    @app.get(
        "/api/alerts", responses=answer(Alert, many=True), tags=["api"], response_class=Response
    )
    def api_alerts(severity: Literal["info", "warn", "critical"] | None = None) -> Response:
        """Return the alerts that fire now."""
        view = watch.view()
        if view is None:
            return nothing_yet()
        return json_of([a for a in view.alerts if severity is None or a.severity == severity])

    @app.get(
        "/api/incidents",
        responses=answer(IncidentSummary, many=True),
        tags=["api"],
        response_class=Response,
    )
    def api_incidents() -> Response:
        """Return the incidents that fire now, the loudest first."""
        view = watch.view()
        if view is None:
            return nothing_yet()
        return json_of([IncidentSummary.of(found) for found in firing_incidents(view)])

    @app.get("/api/ledger", responses=answer(LedgerAnswer), tags=["api"], response_class=Response)
    def api_ledger() -> Response:
        """Return the account of events."""
        view = watch.view()
        return nothing_yet() if view is None else json_of(LedgerAnswer.of(view.ledger))


def _without_history(view: MonitorView) -> MonitorView:
    segments = tuple(msgspec.structs.replace(item, history=()) for item in view.segments)
    return msgspec.structs.replace(view, segments=segments)


def _downloads(app: FastAPI, watch: MonitorState) -> None:
    text: dict[int | str, dict[str, object]] = {
        200: {"description": "The table", "content": {"text/csv": {}}},
        404: documented("There is nothing of this kind yet"),
    }

    def table(body: str, file: str) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        return Response(body, media_type="text/csv", headers=headers)

    def nothing() -> Response:
        return json_of({"error": "there is nothing of this kind yet"}, status=404)

    @app.get("/api/trend.csv", responses=text, tags=["api"], response_class=Response)
    def trend(model: str, version: str = "", route: str = "", customer: str = "") -> Response:
        """Return a segment's display range, a line for each part of it."""
        wanted = Segment(model=model, version=version, route=route, customer=customer)
        view = watch.view()
        found = next((s for s in view.segments if s.segment == wanted), None) if view else None
        return table(trend_csv(found), "tidegauge-trend.csv") if found else nothing()

    @app.get("/api/account.csv", responses=text, tags=["api"], response_class=Response)
    def account() -> Response:
        """Return requests, cost and tokens by segment and customer."""
        view = watch.view()
        return table(account_csv(view), "tidegauge-account.csv") if view else nothing()


def _operations(app: FastAPI, interface: Interface) -> None:
    watch = interface.watch

    @app.get("/metrics", response_class=PlainTextResponse, tags=["operations"])
    def metrics() -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(generate_latest(interface.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/healthz", tags=["operations"], responses={503: documented("The loop has ended")})
    def healthz() -> Response:
        """Tell whether the process is worth keeping."""
        alive = watch.alive()
        return json_of({"alive": alive}, status=200 if alive else 503)

    @app.get("/readyz", tags=["operations"], responses={503: documented("Not yet")})
    def readyz() -> Response:
        """Tell whether it reads its topics and has a view to show."""
        ready = watch.ready()
        return json_of({"ready": ready}, status=200 if ready else 503)
