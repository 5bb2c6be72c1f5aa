"""What people say of the answers, beside the judges: a page, and the API's same numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from fastapi import FastAPI, Query, Response
from fastapi.responses import HTMLResponse

from tidegauge.monitor.web.openapi import documented, json_of
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.usecases.compare_labels import LabelComparison, corrected_sentence

__all__ = ["LabelAnswer", "LabelPages"]

_DAY_MS: Final = 86_400_000
_KEPT_MS: Final = 300_000
_MOST_KEPT: Final = 16

Days = Annotated[int, Query(ge=1, le=60)]
Model = Annotated[str, Query(max_length=200)]


class LabelAnswer(msgspec.Struct, frozen=True):
    """The judges beside people, as of a moment.

    Attributes:
        computed_ms: When it was computed, Unix milliseconds; it is kept for five minutes.
        start_ms: Judgments from before are left out.
        model: Only answers of this model; all if empty.
        comparison: What was found.
    """

    computed_ms: int
    start_ms: int
    model: str
    comparison: LabelComparison


class LabelPages:
    """Adds ``/labels`` and ``/api/labels`` to the application.

    They are computed when they are asked for, since judgments of many days are read for them.

    Args:
        compare: From a start (Unix milliseconds) and a model to the comparison.
        now_ms: The clock.
    """

    def __init__(
        self, compare: Callable[[int, str], LabelComparison], now_ms: Callable[[], int]
    ) -> None:
        self._compare = compare
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, str], LabelAnswer] = {}

    def mount(self, app: FastAPI, renderer: Renderer) -> None:
        """Add the routes."""

        @app.get(
            "/api/labels",
            tags=["api"],
            response_class=Response,
            responses={503: documented("The log cannot be read")},
        )
        def api_labels(days: Days = 30, model: Model = "") -> Response:
            """Return each judge's mean, and the mean label of all answers with its interval."""
            try:
                return json_of(self._answer(days, model))
            except TidegaugeError as error:
                return json_of({"error": str(error)}, status=503)

        @app.get("/labels", response_class=HTMLResponse, include_in_schema=False)
        def labels(days: Days = 30, model: Model = "") -> HTMLResponse:
            error, found = "", None
            try:
                found = self._answer(days, model)
            except TidegaugeError as failure:
                error = str(failure)
            page = renderer.render(
                "labels.html",
                {
                    "found": found,
                    "error": error,
                    "days": days,
                    "model": model,
                    "sentence": corrected_sentence,
                },
            )
            return HTMLResponse(page, status_code=503 if error else 200)

    def _answer(self, days: int, model: str) -> LabelAnswer:
        with self._lock:
            now = self._now_ms()
            kept = self._kept.get((days, model))
            if kept is None or now - kept.computed_ms > _KEPT_MS:
                start_ms = now - days * _DAY_MS
                kept = LabelAnswer(now, start_ms, model, self._compare(start_ms, model))
                self._kept.pop((days, model), None)
                while len(self._kept) >= _MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[days, model] = kept
            return kept
