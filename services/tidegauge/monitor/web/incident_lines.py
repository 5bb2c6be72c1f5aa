"""Incidents as the first page lists them, a line each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegauge.monitor.web.segment_page import SIGNALS, silence_of
from tidegauge.monitoring.incidents import Incident, incidents
from tidegauge.monitoring.view import MonitorView, SilenceInForce
from tidegauge.reports.drift_card import EffectLine, Quote, effect_line
from tidegauge.reports.formatting import duration, percent
from tidegauge.reports.standing import Standing, standing
from tidegauge.reports.text import clip, plain
from tidegauge.schemas.findings import Alert, Effect, State, Verdict
from tidegauge.schemas.segments import Segment

__all__ = [
    "SIGNAL_NAMES",
    "IncidentLine",
    "alarm_verdict",
    "firing_incidents",
    "incident_line",
    "is_loud",
    "now_and_normal",
    "ordered_effects",
    "since_last_event",
]

STOPPED_SECONDS: Final = 300
"""Time without events from which a segment's traffic is said to have stopped."""

SIGNAL_NAMES: Final[Mapping[str, str]] = {
    **{str(signal): title for signal, title in SIGNALS.items()},
    "swap": "New version",
    "pipeline": "Pipeline",
}
"""Signal -> its name for people."""

_QUOTE = 90
_QUOTES = 2


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """One incident in a line.

    Attributes:
        incident: The incident.
        standing: Its severity, for people.
        title: What happened, to whom; ``since`` when is apart.
        signals: Its signals' names, the loudest first.
        where: Model, versions and routes.
        now: The rate by which it is known, now; empty where there is none.
        normal: What is normal.
        since: How long ago it began.
        quotes: Requests that show it.
        owner: Who has it; empty for nobody.
        silenced: Whether all of it is silenced.
        silenced_until_ms: Until when, Unix milliseconds; None where it is not, or for good.
        stopped: How long the traffic that it is about has stopped; empty where it goes on.
    """

    incident: Incident
    standing: Standing
    title: str
    signals: tuple[str, ...]
    where: str
    now: str
    normal: str
    since: str
    quotes: tuple[Quote, ...]
    owner: str
    silenced: bool
    silenced_until_ms: int | None
    stopped: str

    @property
    def tone(self) -> str:
        """Its colour."""
        return self.standing.tone


def firing_incidents(view: MonitorView) -> tuple[Incident, ...]:
    """Return the incidents of the alarms that fire."""
    return incidents(view.alerts)


def is_loud(found: Incident, view: MonitorView) -> bool:
    """Return whether an incident is a warning or worse, and one of its alarms is not silenced."""
    return found.severity != "info" and not _silences(found, view)


def incident_line(found: Incident, view: MonitorView, now_ms: int) -> IncidentLine:
    """Return one incident in a line.

    Args:
        found: The incident.
        view: What the monitor knows.
        now_ms: The reader's moment.
    """
    leading = next((a for a in found.alarms if alarm_verdict(a, view).effects), found.alarms[0])
    effects = ordered_effects(alarm_verdict(leading, view))
    told = effects[0] if effects else None
    current, normal = now_and_normal(told) if told else ("", "")
    silences = _silences(found, view)
    return IncidentLine(
        incident=found,
        standing=standing(State(found.severity)),
        title=clip(f"{found.subject}: {'; '.join(found.changes())}", 200),
        signals=tuple(dict.fromkeys(SIGNAL_NAMES[alarm.signal] for alarm in found.alarms)),
        where=_where(found),
        now=f"{told.title}: {current} now" if told else "",
        normal=normal,
        since=duration((now_ms - found.onset.time_ms) / 1000),
        quotes=_quotes(found, view),
        owner=clip(found.owner, 60),
        silenced=bool(silences),
        silenced_until_ms=min(
            (one.until_ms for one in silences if one.until_ms is not None), default=None
        ),
        stopped=_stopped(found, view),
    )


def alarm_verdict(alarm: Alert, view: MonitorView) -> Verdict:
    """Return the verdict that tells most of an alarm: the latest, or the one that raised it."""
    current = view.verdict(alarm.monitor, alarm.segment)
    return current if current is not None and current.effects else alarm.verdict


def ordered_effects(verdict: Verdict) -> tuple[EffectLine, ...]:
    """Return a verdict's effects: named topics first, and the levels of novelty as one."""
    named = [effect for effect in verdict.effects if not _is_level(effect)]
    levels = [effect for effect in verdict.effects if _is_level(effect)]
    # Each level contains the next: the one with most evidence says what all of them say.
    return tuple(effect_line(effect) for effect in (*named, *levels[:1]))


def _is_level(effect: Effect) -> bool:
    return "novelty" in effect.indicator


def now_and_normal(effect: EffectLine) -> tuple[str, str]:
    """Return an effect's rate now, and what is normal, in words."""
    if effect.current is None:
        return "", ""
    above = effect.current >= effect.baseline
    edge = (
        f"up to {percent(effect.high)} is normal"
        if above
        else f"no less than {percent(effect.low)} is normal"
    )
    return percent(effect.current), edge


def _where(found: Incident) -> str:
    if not found.model:
        return "all traffic"
    versions = sorted({a.segment.version for a in found.alarms} - {""})
    customers = sorted({a.segment.customer for a in found.alarms} - {""})
    parts = [found.model, *versions]
    parts += found.routes if len(found.routes) == 1 else ()
    parts += [f"{len(found.routes)} routes"] if len(found.routes) > 1 else []
    parts += [f"customer {customer}" for customer in customers]
    return " \N{MIDDLE DOT} ".join(clip(part, 60) for part in parts)


def _quotes(found: Incident, view: MonitorView) -> tuple[Quote, ...]:
    quotes: dict[str, Quote] = {}
    for alarm in found.alarms:
        for effect in alarm_verdict(alarm, view).effects:
            for item in effect.exemplars:
                if item.text:
                    quotes.setdefault(
                        item.request_id,
                        Quote(
                            plain(item.request_id[:80]),
                            clip(item.customer, 60),
                            clip(item.text, _QUOTE),
                        ),
                    )
                if len(quotes) == _QUOTES:
                    return tuple(quotes.values())
    return tuple(quotes.values())


def _silences(found: Incident, view: MonitorView) -> tuple[SilenceInForce, ...]:
    """Return the silences of an incident's alarms; none where one of them has none."""
    silences = [silence_of(alarm.verdict, view.silences) for alarm in found.alarms]
    known = tuple(item for item in silences if item is not None)
    return known if len(known) == len(silences) else ()


def since_last_event(segment: Segment, view: MonitorView) -> float | None:
    """Return for how many seconds a segment has had no events; None where it never had any."""
    last = max(
        (s.last_ms for s in view.segments if segment in (s.segment, *s.segment.parents())),
        default=None,
    )
    return None if last is None else max(0, view.time_ms - last) / 1000


def _stopped(found: Incident, view: MonitorView) -> str:
    ages = [since_last_event(a.segment, view) for a in found.alarms if a.signal != "pipeline"]
    known = [age for age in ages if age is not None]
    if not known or min(known) < STOPPED_SECONDS:
        return ""
    return duration(min(known))
