"""Viewers: people who see numbers and verdicts, but no text of a request.

They see the names of topics, which are terms that many requests share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

import msgspec

from tidegauge.monitoring.exemplars import with_exemplars, with_exemplars_of_alert
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.sketches import Exemplar

__all__ = [
    "OPEN_TO_VIEWERS",
    "MonitorState",
    "StateByRole",
    "Texts",
    "is_open_to_viewers",
    "viewing",
    "without_text",
]

OPEN_TO_VIEWERS: Final = frozenset(
    {
        *("/", "/segment", "/alarm", "/topics", "/releases", "/setup", "/pipeline"),
        *("/metrics", "/openapi.json", "/healthz", "/readyz"),
        *("/api/view", "/api/verdicts", "/api/alerts", "/api/incidents", "/api/ledger"),
        *("/api/trend.csv", "/api/account.csv"),
        *("/baselines", "/api/baselines"),
        *("/costs", "/api/costs", "/api/bill.csv"),
    }
)
"""The paths of a viewer. Reports and the topics of an alarm are made of requests' texts."""

_OPEN_FOLDERS: Final = ("/i/", "/runbook/", "/static/")


class MonitorState(Protocol):
    """The state of the monitor's loop, as the interface needs it."""

    def view(self) -> MonitorView | None:
        """Return the present view, None before there is one."""

    def ready(self) -> bool:
        """Whether partitions are assigned and a view is there."""

    def alive(self) -> bool:
        """Whether the loop runs, or can still recover by itself."""


def is_open_to_viewers(path: str) -> bool:
    """Return whether a viewer may ask for a path."""
    return path in OPEN_TO_VIEWERS or path.startswith(_OPEN_FOLDERS)


_is_viewer: ContextVar[bool] = ContextVar("_is_viewer", default=False)


@contextmanager
def viewing() -> Iterator[None]:
    """Answer a request as a viewer's."""
    token = _is_viewer.set(True)
    try:
        yield
    finally:
        _is_viewer.reset(token)


class Texts(Protocol):
    """Where texts of exemplars are found: see ``ExemplarTexts``."""

    def view(self, view: MonitorView) -> MonitorView:
        """Return a view with the texts of its exemplars."""

    def alerts(self, alerts: Iterable[Alert]) -> tuple[Alert, ...]:
        """Return alerts with the texts of their exemplars."""


class StateByRole:
    """The monitor's state: with the texts of its exemplars, and without them for a viewer.

    Args:
        state: The state of the monitor's loop.
        texts: Where texts are found; None shows none but those that the state has.
    """

    def __init__(self, state: MonitorState, texts: Texts | None = None) -> None:
        self._state = state
        self._texts = texts

    def view(self) -> MonitorView | None:
        """Return the view that the present request may see; this may read the log."""
        view = self._state.view()
        if view is None:
            return None
        if _is_viewer.get():
            return without_text(view)
        return view if self._texts is None else self._texts.view(view)

    def seen(self, alerts: Sequence[Alert]) -> tuple[Alert, ...]:
        """Return alerts as the present request may see them; this may read the log."""
        if _is_viewer.get():
            return tuple(with_exemplars_of_alert(alert, _bare) for alert in alerts)
        return tuple(alerts) if self._texts is None else self._texts.alerts(alerts)

    def ready(self) -> bool:
        """Whether partitions are assigned and a view is there."""
        return self._state.ready()

    def alive(self) -> bool:
        """Whether the loop runs, or can still recover by itself."""
        return self._state.alive()


def without_text(view: MonitorView) -> MonitorView:
    """Return a view without the texts of its exemplars."""
    return msgspec.structs.replace(
        view,
        verdicts=tuple(with_exemplars(verdict, _bare) for verdict in view.verdicts),
        alerts=tuple(with_exemplars_of_alert(alert, _bare) for alert in view.alerts),
    )


def _bare(exemplar: Exemplar, _judge: str) -> Exemplar:
    return msgspec.structs.replace(
        exemplar, text_state="unread", text="", context="", answer="", reason=""
    )
