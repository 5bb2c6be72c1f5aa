"""Viewers: people who see numbers and verdicts, but no text of a request.

They see the names of topics, which are terms that many requests share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

import msgspec

from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.sketches import Exemplar

__all__ = [
    "OPEN_TO_VIEWERS",
    "MonitorState",
    "StateByRole",
    "as_seen",
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


def as_seen(alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """Return alerts as whoever asks may see them: a viewer sees no text."""
    return tuple(_bare_alert(alert) for alert in alerts) if _is_viewer.get() else tuple(alerts)


class StateByRole:
    """The monitor's state, with a view that has no text when a viewer asks.

    Args:
        state: The state of the monitor's loop.
    """

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    def view(self) -> MonitorView | None:
        """Return the view that the present request may see."""
        view = self._state.view()
        return without_text(view) if view is not None and _is_viewer.get() else view

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
        verdicts=tuple(_bare(verdict) for verdict in view.verdicts),
        alerts=tuple(_bare_alert(alert) for alert in view.alerts),
    )


def _bare_alert(alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, verdict=_bare(alert.verdict))


def _bare(verdict: Verdict) -> Verdict:
    effects = tuple(
        msgspec.structs.replace(effect, exemplars=_unquoted(effect.exemplars))
        for effect in verdict.effects
    )
    evidence = tuple(
        msgspec.structs.replace(
            answers, worst=_unquoted(answers.worst), typical=_unquoted(answers.typical)
        )
        for answers in verdict.evidence
    )
    return msgspec.structs.replace(verdict, effects=effects, evidence=evidence)


def _unquoted(exemplars: Iterable[Exemplar]) -> tuple[Exemplar, ...]:
    nothing = {"text": "", "context": "", "answer": "", "reason": ""}
    return tuple(msgspec.structs.replace(exemplar, **nothing) for exemplar in exemplars)
