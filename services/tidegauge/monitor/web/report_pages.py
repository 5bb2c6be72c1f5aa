"""The pages of the reports: a list, a form, and each report in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import FastAPI, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from tidegauge.monitor.errors import BusyError, UnknownReportError
from tidegauge.monitor.report_queue import ReportQueue
from tidegauge.monitor.web.forms import documented_form, fields
from tidegauge.monitor.web.openapi import documented_page, json_of
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.usecases.errors import TimeRangeError
from tidegauge.usecases.report_order import ReportOrder
from tidegauge.usecases.time_range import parse_range

__all__ = ["ReportPages"]

_TIME = "now, -90m (s, h, d) or ISO 8601 in UTC"
_TIMES = {"reference_from": "-24h", "reference_to": "-1h", "from": "-1h", "to": "now"}
_NAMES = {
    "model": "Model of both ranges; empty for all",
    "route": "Route of both ranges; empty for all",
    "customer": "Customer of both ranges; empty for all",
    "version": "Version of the current range; empty for all",
    "reference_version": "Version of the reference range; empty for all",
}
_FIELDS = {**dict.fromkeys(_TIMES, _TIME), **_NAMES}
_LONGEST = 200

SANDBOX_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Evidently's page runs its own scripts; in a sandbox they belong to no site, so that they
can reach neither this monitor nor any other address."""


class ReportPages:
    """Adds ``/reports`` to the application.

    Args:
        queue: Makes the reports and stores them.
        now_ms: The clock.
    """

    def __init__(self, queue: ReportQueue, now_ms: Callable[[], int]) -> None:
        self._queue = queue
        self._now_ms = now_ms

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""
        queue = self._queue

        def listed(form: Mapping[str, str], error: str = "", status: int = 200) -> HTMLResponse:
            page = renderer.render(
                "reports.html",
                {
                    "reports": queue.store.list(),
                    "job": queue.job,
                    "busy": queue.busy,
                    "error": error,
                    "form": {**dict.fromkeys(_NAMES, ""), **_TIMES, **form},
                },
                refresh_seconds=3 if queue.busy else 0,
            )
            return HTMLResponse(page, status_code=status)

        @app.get("/reports", response_class=HTMLResponse, include_in_schema=False)
        def reports(request: Request) -> HTMLResponse:
            asked = request.query_params
            return listed({name: asked[name][:_LONGEST] for name in _FIELDS if name in asked})

        @app.get("/api/reports", tags=["reports"], response_class=Response)
        def api_reports() -> Response:
            """Return the finished reports, newest first, and whether one is being made."""
            job = queue.job
            return json_of(
                {
                    "reports": queue.store.list(),
                    "busy": queue.busy,
                    "error": job.error if job else None,
                }
            )

        @app.get(
            "/reports/{report_id}",
            response_class=HTMLResponse,
            tags=["reports"],
            responses={404: {"description": "No such report"}},
        )
        def report(report_id: Annotated[str, Path(max_length=40)]) -> Response:
            """Return a report's HTML."""
            try:
                path = queue.store.page(report_id)
            except UnknownReportError as error:
                page = renderer.render("missing.html", {"what": str(error)})
                return HTMLResponse(page, status_code=404)
            return FileResponse(
                path, media_type="text/html", headers={"Content-Security-Policy": SANDBOX_POLICY}
            )

        self._mount_form(app, listed)

    def _mount_form(
        self, app: FastAPI, listed: Callable[[Mapping[str, str], str, int], HTMLResponse]
    ) -> None:
        @app.post(
            "/reports",
            tags=["reports"],
            response_class=Response,
            status_code=303,
            responses={
                303: {"description": "It is being made: see /reports"},
                409: documented_page("Another one is being made"),
                413: documented_page("The form is too long"),
                422: documented_page("A range cannot be read"),
            },
            openapi_extra=documented_form(_FIELDS, required=tuple(_TIMES)),
        )
        async def order(request: Request) -> Response:
            """Compare two ranges of time; the report appears under /reports."""
            form = await fields(request, tuple(_FIELDS))
            if form is None:
                return listed({}, "The form is too long.", 413)
            now_ms = self._now_ms()
            try:
                reference = parse_range(form["reference_from"], form["reference_to"], now_ms)
                current = parse_range(form["from"], form["to"], now_ms)
                order = ReportOrder(
                    reference,
                    current,
                    model=form["model"],
                    route=form["route"],
                    customer=form["customer"],
                    version=form["version"],
                    reference_version=form["reference_version"],
                )
                await run_in_threadpool(self._queue.submit, order)
            except TimeRangeError as error:
                return listed(form, str(error), 422)
            except BusyError as error:
                return listed(form, str(error), 409)
            return RedirectResponse("/reports", status_code=303)
