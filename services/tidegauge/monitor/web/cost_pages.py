"""The page of costs, with its numbers as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from tidegauge.monitor.web.openapi import documented, json_of
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.reports.bill_tables import BILL_COLUMNS, bill_rows
from tidegauge.reports.cost_view import CostView
from tidegauge.reports.spreadsheet import csv_text

__all__ = ["CostPages"]

_NOT_YET = "no costs are known yet: try again later"


class CostPages:
    """Adds ``/costs``, ``/api/costs`` and ``/api/bill.csv`` to the application.

    Args:
        view: Returns what the upstreams do and cost.
    """

    def __init__(self, view: Callable[[], CostView | None]) -> None:
        self._view = view

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""

        @app.get("/costs", response_class=HTMLResponse, include_in_schema=False)
        def costs() -> HTMLResponse:
            return HTMLResponse(renderer.render("costs.html", {"view": self._view()}, live=True))

        @app.get(
            "/api/costs",
            tags=["api"],
            response_class=Response,
            responses={503: documented("No costs are known yet")},
        )
        def api_costs() -> Response:
            """Return the bill of the last hours, its hours and groups, and the upstreams now."""
            view = self._view()
            if view is None:
                return json_of({"error": _NOT_YET}, status=503)
            facts = {
                "time_ms": view.time_ms,
                "start_ms": view.bill.start_ms,
                "end_ms": view.bill.end_ms,
                "usd": view.bill.usd,
                "unpriced": view.bill.unpriced,
                "forecast": view.forecast,
                "bill": view.bill.upstreams,
                "hours": view.hours,
                "costs": view.costs,
                "upstreams": view.upstreams,
                "budgets": view.budgets,
                "swaps": view.swaps,
            }
            return json_of(msgspec.to_builtins(facts))

        @app.get(
            "/api/bill.csv",
            tags=["api"],
            response_class=Response,
            responses={
                200: {"description": "The table", "content": {"text/csv": {}}},
                503: documented("No costs are known yet"),
            },
        )
        def bill_csv() -> Response:
            """Return every line of the last hours' bill; the column usd adds up to it."""
            view = self._view()
            if view is None:
                return json_of({"error": _NOT_YET}, status=503)
            headers = {"Content-Disposition": 'attachment; filename="tidegauge-bill.csv"'}
            body = csv_text(BILL_COLUMNS, bill_rows(view.bill))
            return Response(body, media_type="text/csv", headers=headers)
