"""One alarm with its monitor's earlier states, as its own page shows it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidegauge.monitor.web.segment_page import Name, alarm_query, name, silence_of
from tidegauge.monitoring.view import MonitorView, SilenceInForce, StateChange
from tidegauge.reports.drift_card import Card, card
from tidegauge.reports.formatting import moment
from tidegauge.reports.standing import Standing, promise, standing
from tidegauge.reports.text import clip
from tidegauge.schemas.findings import State, Verdict

__all__ = ["AlarmPage", "ChangeLine", "alarm_page", "change_line"]

SENTENCE: Final = 900
"""Characters shown of a monitor's own sentence."""

_BY_TOPIC: Final = frozenset({"quality", "latency", "errors", "cost"})


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """A change of state, for people."""

    change: StateChange
    name: Name
    before: Standing | None
    after: Standing
    sentence: str
    when: str
    query: str


@dataclass(frozen=True, slots=True)
class AlarmPage:
    """A monitor's latest verdict on one segment in full, alarming or not.

    Attributes:
        verdict: Its latest verdict.
        name: The segment.
        standing: Its state, for people.
        status: The alert's status, empty without one.
        sentence: What it says.
        starts_ms: Since when it alarms, Unix milliseconds; None when it does not.
        card: What drives it.
        silence: The silence in force, if any.
        changes: Its earlier states, newest first.
        promise: The deployment's promise.
        query: Query string of this page.
        incident: Identity of its incident, empty without one.
        owner: Who has it, empty for nobody.
        by_topic: Whether it can be broken down by topic.
    """

    verdict: Verdict
    name: Name
    standing: Standing
    status: str
    sentence: str
    starts_ms: int | None
    card: Card
    silence: SilenceInForce | None
    changes: tuple[ChangeLine, ...]
    promise: str
    query: str
    incident: str
    owner: str
    by_topic: bool


def alarm_page(
    view: MonitorView, monitor: str, segment: str, *, now_ms: int, false_alarm_days: float
) -> AlarmPage | None:
    """Return a monitor's verdict on a segment in full, None where it has given none.

    Args:
        view: What the monitor knows.
        monitor: Name of the monitor.
        segment: Key of the segment.
        now_ms: The reader's moment.
        false_alarm_days: The deployment's promise.
    """
    wanted = (monitor, segment)
    alert = next((a for a in view.alerts if (a.monitor, a.segment.key) == wanted), None)
    verdict = next((v for v in view.verdicts if (v.monitor, v.segment.key) == wanted), None)
    shown = verdict
    if alert is not None and (verdict is None or not verdict.effects):
        shown = alert.verdict
    if shown is None:
        return None
    return AlarmPage(
        verdict=shown,
        name=name(shown.segment),
        standing=standing(State(alert.severity) if alert else shown.state),
        status=alert.status if alert else "",
        sentence=clip(shown.sentence, SENTENCE),
        starts_ms=alert.starts_ms if alert else None,
        card=card(shown, now_ms=now_ms, false_alarm_days=false_alarm_days, effects=12),
        silence=silence_of(shown, view.silences),
        changes=tuple(
            change_line(item, now_ms)
            for item in reversed(view.history)
            if (item.monitor, item.segment.key) == wanted
        ),
        promise=f"{promise(false_alarm_days)} {shown.back_test}".strip(),
        query=alarm_query(monitor, shown.segment),
        incident=(alert.incident or alert.alert_id) if alert else "",
        owner=clip(alert.owner, 60) if alert else "",
        by_topic=shown.signal in _BY_TOPIC and bool(shown.baseline and shown.effects),
    )


def change_line(change: StateChange, now_ms: int) -> ChangeLine:
    """Return a change of state for people."""
    return ChangeLine(
        change=change,
        name=name(change.segment),
        before=standing(change.before) if change.before else None,
        after=standing(change.after),
        sentence=clip(change.sentence, SENTENCE),
        when=moment(change.time_ms, now_ms),
        query=alarm_query(change.monitor, change.segment),
    )
