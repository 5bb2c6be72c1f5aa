"""The page of one alarm, and the forms that acknowledge, close or silence it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import quote, urlencode
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from tidegauge.monitor.errors import ControlError
from tidegauge.monitor.web.alarms import AlarmPage, alarm_page
from tidegauge.monitor.web.forms import documented_form, fields
from tidegauge.monitor.web.incident_page import find_incident, incident_page
from tidegauge.monitor.web.openapi import documented_page
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.text import plain
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.operations import Control
from tidegauge.schemas.topics import CONTROLS
from tidegauge.streaming.processor import Output

__all__ = ["ControlPages", "controls_of"]

_SOURCE = "tidegauge/monitor"
_WHO, _NOTE = 60, 300
_LONGEST_HOURS = 24 * 7
_HOUR_MS = 3_600_000
_FIELDS = {
    "action": "acknowledge, close, silence or unsilence",
    "monitor": "the monitor, such as drift.topics",
    "segment": "the segment's key, as in the API",
    "incident": "an incident, in place of monitor and segment: all of its alarms",
    "hours": f"for a silence: how long, at most {_LONGEST_HOURS}",
    "who": "your name",
    "note": "why",
}

_ACTIONS: Final[dict[str, Literal["acknowledge", "close", "silence"]]] = {
    "acknowledge": "acknowledge",
    "close": "close",
    "silence": "silence",
    # A silence that ends at once ends the one in force.
    "unsilence": "silence",
}

Publish = Callable[[Output], None]


def controls_of(given: dict[str, str], view: MonitorView, now_ms: int) -> tuple[Control, ...]:
    """Return the control events that a form asks for: one for each alarm of an incident.

    Args:
        given: The form's fields.
        view: The monitors and segments that exist.
        now_ms: When the form was sent.

    Raises:
        ControlError: The form names nothing known, or asks for what cannot be done.
    """
    targets = _targets(given, view)
    action = _ACTIONS.get(given["action"])
    if action is None:
        raise ControlError(f"an action is one of {', '.join(_ACTIONS)}")
    until_ms = None
    if given["action"] == "unsilence":
        until_ms = now_ms
    elif action == "silence":
        try:
            hours = float(given["hours"])
        except ValueError:
            hours = 0.0
        if not 0 < hours <= _LONGEST_HOURS:
            raise ControlError(f"a silence lasts up to {_LONGEST_HOURS} hours: give a number")
        until_ms = now_ms + round(hours * _HOUR_MS)
    return tuple(
        Control(
            action=action,
            monitor=monitor,
            segment=segment,
            time_ms=now_ms,
            until_ms=until_ms,
            who=plain(given["who"][:_WHO]),
            note=plain(given["note"][:_NOTE]),
        )
        for monitor, segment in targets
    )


def _targets(given: dict[str, str], view: MonitorView) -> list[tuple[str, str]]:
    """Return the monitors and segments that a form names."""
    if given["incident"]:
        found = find_incident(given["incident"], view)
        if found is None or not found.fires:
            raise ControlError("this incident does not fire any more")
        return [(alarm.monitor, alarm.segment.key) for alarm in found.alarms]
    known = {(verdict.monitor, verdict.segment.key) for verdict in view.verdicts}
    known |= {(alert.monitor, alert.segment.key) for alert in view.alerts}
    known |= {(silence.monitor, silence.segment) for silence in view.silences}
    target = (given["monitor"], given["segment"])
    if target not in known:
        raise ControlError("no monitor of this name watches this segment")
    return [target]


class ControlPages:
    """Adds ``/alarm`` and ``/controls`` to the application.

    Args:
        view: Returns the present view.
        publish: Sends a control to the log, or raises TidegaugeError.
        now_ms: The clock.
        false_alarm_days: The promise.
    """

    def __init__(
        self,
        view: Callable[[], MonitorView | None],
        publish: Publish,
        now_ms: Callable[[], int],
        false_alarm_days: float,
    ) -> None:
        self._view = view
        self._publish = publish
        self._now_ms = now_ms
        self._days = false_alarm_days

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""

        @app.get("/alarm", response_class=HTMLResponse, include_in_schema=False)
        def alarm(monitor: str, segment: str, said: str = "") -> HTMLResponse:
            return self._shown(renderer, monitor, segment, said=said)

        @app.post(
            "/controls",
            tags=["controls"],
            response_class=Response,
            status_code=303,
            responses={
                303: {"description": "Accepted; it takes effect within seconds"},
                422: documented_page("It cannot be done"),
                503: documented_page("The log did not take it"),
            },
            openapi_extra=documented_form(_FIELDS, required=("action",)),
        )
        async def control(request: Request) -> Response:
            """Acknowledge or close an alarm or an incident, or silence its monitors."""
            given = await fields(request, tuple(_FIELDS))
            view = await run_in_threadpool(self._view)
            if given is None or view is None:
                page = renderer.render("missing.html", {"what": "There is nothing to control."})
                return HTMLResponse(page, status_code=422)
            try:
                for found in controls_of(given, view, self._now_ms()):
                    await run_in_threadpool(self._publish, _output(found))
            except ControlError as error:
                return self._refused(renderer, given, view, str(error), 422)
            except TidegaugeError as error:
                return self._refused(renderer, given, view, str(error), 503)
            said = given["action"]
            if given["incident"]:
                place = f"/i/{quote(given['incident'], safe='')}?{urlencode({'said': said})}"
            else:
                where = {"monitor": given["monitor"], "segment": given["segment"], "said": said}
                place = f"/alarm?{urlencode(where)}"
            return RedirectResponse(place, status_code=303)

    def _refused(
        self,
        renderer: Renderer,
        given: dict[str, str],
        view: MonitorView,
        error: str,
        status: int,
    ) -> HTMLResponse:
        """Return the page that the form was sent from, with the error."""
        found = find_incident(given["incident"], view) if given["incident"] else None
        if found is None:
            return self._shown(
                renderer, given["monitor"], given["segment"], error=error, status=status
            )
        shown = incident_page(found, view, now_ms=self._now_ms(), false_alarm_days=self._days)
        page = renderer.render("incident.html", {"page": shown, "said": "", "error": error})
        return HTMLResponse(page, status_code=status)

    def _shown(  # noqa: PLR0913 - most by name
        self,
        renderer: Renderer,
        monitor: str,
        segment: str,
        *,
        said: str = "",
        error: str = "",
        status: int = 200,
    ) -> HTMLResponse:
        view = self._view()
        found: AlarmPage | None = None
        if view is not None:
            found = alarm_page(
                view, monitor, segment, now_ms=self._now_ms(), false_alarm_days=self._days
            )
        if found is None:
            page = renderer.render("missing.html", {"what": "No such monitor has reported yet."})
            return HTMLResponse(page, status_code=status if error else 404)
        page = renderer.render("alarm.html", {"alarm": found, "said": said, "error": error})
        return HTMLResponse(page, status_code=status)


def _output(control: Control) -> Output:
    return Output(
        topic=CONTROLS,
        key=f"{control.monitor} {control.segment}",
        event=control,
        source=_SOURCE,
        event_id=uuid4().hex,
        time_ms=control.time_ms,
    )
