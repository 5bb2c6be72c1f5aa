"""The page of the baselines, and the forms that accept a change or put a baseline in force."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from tidegauge.monitor.baseline_keeper import BaselineLife
from tidegauge.monitor.errors import BusyError
from tidegauge.monitor.web.forms import documented_form, fields
from tidegauge.monitor.web.openapi import documented_page, json_of
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.reports.text import plain
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["BaselinePages"]

_ID, _WHO, _NOTE = 100, 60, 300
_SHOWN = 20
_ACCEPT = {
    "incident": "id of an incident, or of an alarm, that fires",
    "who": "your name",
    "note": "why it is normal",
}
_ACTIVATE = {"baseline": "id of a baseline"}

Accept = Callable[[str, str, str], None]


class BaselinePages:
    """Adds ``/baselines`` and ``/api/baselines`` to the application.

    Args:
        life: Returns what there is of baselines, and what comes next.
        accept: Starts declaring an incident's change normal: incident, who, note.
        activate: Puts a baseline in force by its id, or raises TidegaugeError.
    """

    def __init__(
        self, life: Callable[[], BaselineLife], accept: Accept, activate: Callable[[str], None]
    ) -> None:
        self._life = life
        self._accept = accept
        self._activate = activate

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""

        def shown(error: str = "", status: int = 200) -> HTMLResponse:
            life = self._life()
            asked = life.acceptance
            busy = life.building or (asked is not None and asked.is_under_way)
            page = renderer.render(
                "baselines.html",
                {"life": life, "shown": life.baselines[:_SHOWN], "busy": busy, "error": error},
                refresh_seconds=3 if busy else 0,
            )
            return HTMLResponse(page, status_code=status)

        @app.get("/baselines", response_class=HTMLResponse, include_in_schema=False)
        def baselines() -> HTMLResponse:
            return shown()

        @app.get("/api/baselines", tags=["api"], response_class=Response)
        def api_baselines() -> Response:
            """Return the baselines, which are in force, and what comes next for each kind."""
            return json_of(self._life())

        self._mount_forms(app, shown)

    def _mount_forms(self, app: FastAPI, shown: Callable[[str, int], HTMLResponse]) -> None:
        @app.post(
            "/baselines/accept",
            tags=["controls"],
            response_class=Response,
            status_code=303,
            responses={
                303: {"description": "Baselines are being built: see /baselines"},
                409: documented_page("Another change is being declared normal"),
                422: documented_page("No incident is named"),
            },
            openapi_extra=documented_form(_ACCEPT, required=("incident",)),
        )
        async def accept(request: Request) -> Response:
            """Declare an incident's change normal: baselines are built from the time since."""
            given = await fields(request, tuple(_ACCEPT))
            if given is None or not given["incident"]:
                return shown("Name the incident whose change is normal.", 422)
            try:
                self._accept(
                    plain(given["incident"][:_ID]),
                    plain(given["who"][:_WHO]),
                    plain(given["note"][:_NOTE]),
                )
            except BusyError as error:
                return shown(str(error), 409)
            return RedirectResponse("/baselines", status_code=303)

        @app.post(
            "/baselines/activate",
            tags=["controls"],
            response_class=Response,
            status_code=303,
            responses={
                303: {"description": "It is in force within seconds"},
                422: documented_page("There is no such baseline, or the log did not take it"),
            },
            openapi_extra=documented_form(_ACTIVATE, required=("baseline",)),
        )
        async def activate(request: Request) -> Response:
            """Put a baseline in force, such as a renewed one that was proposed."""
            given = await fields(request, tuple(_ACTIVATE))
            try:
                name = "" if given is None else plain(given["baseline"][:_ID])
                await run_in_threadpool(self._activate, name)
            except TidegaugeError as error:
                return shown(str(error), 422)
            return RedirectResponse("/baselines", status_code=303)
