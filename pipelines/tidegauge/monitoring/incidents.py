"""Incidents: alarms that have one cause, as far as their model and their onset tell.

An alarm joins an incident when it is raised, and stays in it, so that an incident's identity and
its members do not change afterwards. Alarms of one model belong together if their changes began
at the same time, as closely as the onsets are known: a change that took long to find has an onset
that is known less well. A version's own trouble began with the version, on every route.

A baseline leaves out the times of incidents, and those that a person names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from tidegauge.monitoring.catalog import COST_BUDGET, COST_CUSTOMER, hallucination_monitor
from tidegauge.reports.formatting import moment
from tidegauge.reports.text import clip
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Severity, Verdict
from tidegauge.schemas.operations import ExcludedTime

__all__ = [
    "Incident",
    "IncidentSummary",
    "Onset",
    "incident_times",
    "incidents",
    "is_excluded",
    "joined",
    "onset_of",
    "within",
]

Swaps = Mapping[Segment, int]
"""Segment of a new version -> start of its first window, Unix milliseconds."""

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warn", "info")
"""Severities, the loudest first."""

_WINDOWS: Final = 3
"""Windows by which the onsets of one change differ at least: each worker closes its own."""

_PART_OF_DELAY: Final = 0.5
"""How far an onset may be off, as a part of the time that it took to find the change."""

_INVENTED: Final = hallucination_monitor("support").name

_PHRASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        _INVENTED: "more answers say what their context does not hold",
        "quality": "answers are worse",
        "errors": "more goes wrong",
        "latency": "answers are slower",
        "cost": "requests cost more",
        COST_CUSTOMER.name: "it costs much more than a week before",
        COST_BUDGET.name: "it spends more than its budget",
        "drift": "people ask for something else",
        "swap": "the new version does worse",
    }
)
"""Subject of an alarm, mostly its signal -> what it means, the most harmful first."""

_PIPELINE: Final = "pipeline"
"""Its alarms are facts, which say more than their signal does."""

_ORDER: Final = (*_PHRASES, _PIPELINE)

_REASON: Final = 120


class Onset(NamedTuple):
    """When a change began.

    Attributes:
        time_ms: The most likely moment, Unix milliseconds.
        version: The new version that the change began with, empty for none.
    """

    time_ms: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """Alarms with one cause.

    Attributes:
        incident_id: Its identity, for good.
        alarms: Its alarms: the loudest first, then by signal and by their start.
    """

    incident_id: str
    alarms: tuple[Alert, ...]

    @property
    def first(self) -> Alert:
        """The alarm that it began with, as far as it is among them."""
        return min(
            self.alarms, key=lambda a: (a.alert_id != self.incident_id, a.starts_ms, a.alert_id)
        )

    @property
    def onset(self) -> Onset:
        """When the change began, as its first alarm tells."""
        return _onset(self.first)

    @property
    def starts_ms(self) -> int:
        """When its first alarm was raised, Unix milliseconds."""
        return min(alarm.starts_ms for alarm in self.alarms)

    @property
    def model(self) -> str:
        """The model, empty for the pipeline itself."""
        return "" if self.alarms[0].signal == _PIPELINE else self.alarms[0].segment.model

    @property
    def severity(self) -> Severity:
        """The severity of its loudest alarm."""
        return self.alarms[0].severity

    @property
    def fires(self) -> bool:
        """Whether one of its alarms still fires."""
        return any(alarm.fires for alarm in self.alarms)

    @property
    def owner(self) -> str:
        """Who has it; empty unless every alarm that fires has been acknowledged."""
        owners = {alarm.owner for alarm in self.alarms if alarm.fires}
        return ", ".join(sorted(owners)) if owners and "" not in owners else ""

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that its alarms watch, in order."""
        return tuple(sorted({alarm.segment.route for alarm in self.alarms} - {""}))

    @property
    def subject(self) -> str:
        """What it is about: a new version, a model, a customer, all traffic, or the pipeline."""
        if self.alarms[0].signal == _PIPELINE:
            return "the pipeline"
        customer = self.alarms[0].segment.customer
        of_customer = f"customer {customer}" if customer else "all traffic"
        return self.onset.version or self.model or of_customer

    def title(self, now_ms: int | None = None) -> str:
        """Return what happened, since when and to whom, on one line.

        Args:
            now_ms: The reader's moment: today's times come without their date.
        """
        since = moment(self.onset.time_ms, now_ms)
        return f"{self.subject} since {since}: {'; '.join(self.changes())}"

    def changes(self) -> tuple[str, ...]:
        """Return what the alarms say, with the number of routes where there are several."""
        several = len(self.routes) > 1
        said: list[str] = []
        for subject in _ORDER:
            of_subject = [alarm for alarm in self.alarms if _subject(alarm) == subject]
            # A comparison of versions says again what a monitor of the same thing has said.
            if not of_subject or (subject == "swap" and said):
                continue
            if subject == _PIPELINE:
                said += dict.fromkeys(alarm.verdict.sentence.rstrip(".") for alarm in of_subject)
                continue
            routes = {alarm.segment.route for alarm in of_subject}
            where = f" on {len(routes)} of {len(self.routes)} routes" if several else ""
            said.append(f"{_PHRASES[subject]}{where}")
        return tuple(said)


def onset_of(verdict: Verdict, raised_ms: int, swaps: Swaps, *, window_ms: int) -> Onset:
    """Return when the change of a verdict began.

    Args:
        verdict: The verdict that alarms.
        raised_ms: When its alarm was raised, Unix milliseconds.
        swaps: When new versions appeared.
        window_ms: Length of a window, milliseconds.
    """
    since_ms = raised_ms if verdict.since_ms is None else verdict.since_ms
    segment = verdict.segment
    own = swaps.get(segment)
    if own is None or abs(since_ms - own) > _tolerance_ms(since_ms, raised_ms, window_ms):
        return Onset(since_ms)
    first = min(
        start
        for new, start in swaps.items()
        if (new.model, new.version) == (segment.model, segment.version)
    )
    return Onset(first, segment.version)


def _tolerance_ms(since_ms: int, raised_ms: int, window_ms: int) -> int:
    """Return by how much the onset of a change may be off."""
    return max(_WINDOWS * window_ms, round(_PART_OF_DELAY * (raised_ms - since_ms)))


def joined(alarm: Alert, others: Iterable[Alert], swaps: Swaps, *, window_ms: int) -> Alert:
    """Return a new alarm with its onset, and with the incident that it joins or begins.

    Args:
        alarm: The alarm that is raised.
        others: The alarms that fire already.
        swaps: When new versions appeared.
        window_ms: Length of a window, milliseconds.
    """
    onset = onset_of(alarm.verdict, alarm.starts_ms, swaps, window_ms=window_ms)
    new = msgspec.structs.replace(alarm, onset_ms=onset.time_ms, new_version=onset.version)
    found = [
        (abs(known.onset.time_ms - onset.time_ms), known.starts_ms, known.incident_id)
        for known in incidents(others)
        if _began_together(new, known.first, window_ms)
    ]
    return msgspec.structs.replace(new, incident=min(found)[2] if found else alarm.alert_id)


def _began_together(one: Alert, other: Alert, window_ms: int) -> bool:
    """Return whether two alarms may have one cause: scope and onset are the same."""
    if _scope(one) != _scope(other):
        return False
    if one.new_version and one.new_version == other.new_version:
        return True
    onsets = [_onset(alarm) for alarm in (one, other)]
    tolerances = [
        # The start of a version is known exactly.
        _tolerance_ms(onset.time_ms, onset.time_ms if onset.version else alarm.starts_ms, window_ms)
        for alarm, onset in zip((one, other), onsets, strict=True)
    ]
    return abs(onsets[0].time_ms - onsets[1].time_ms) <= max(tolerances)


def incidents(alarms: Iterable[Alert]) -> tuple[Incident, ...]:
    """Return the incidents of alarms: those that fire, the loudest and then the newest first.

    Args:
        alarms: Alarms, firing or ended; the latest state of each.
    """
    groups: dict[str, list[Alert]] = {}
    for alarm in alarms:
        groups.setdefault(alarm.incident or alarm.alert_id, []).append(alarm)
    found = [
        Incident(identity, tuple(sorted(members, key=_loudest)))
        for identity, members in groups.items()
    ]
    return tuple(
        sorted(
            found,
            key=lambda one: (not one.fires, SEVERITIES.index(one.severity), -one.starts_ms),
        )
    )


def _onset(alarm: Alert) -> Onset:
    if alarm.onset_ms is not None:
        return Onset(alarm.onset_ms, alarm.new_version)
    since_ms = alarm.verdict.since_ms
    return Onset(alarm.starts_ms if since_ms is None else since_ms)


def _loudest(alarm: Alert) -> tuple[bool, int, int, int, str]:
    return (
        not alarm.fires,
        SEVERITIES.index(alarm.severity),
        _ORDER.index(_subject(alarm)),
        alarm.starts_ms,
        alarm.alert_id,
    )


def _subject(alarm: Alert) -> str:
    """Return what an alarm is about, one of the subjects of ``_PHRASES``."""
    if alarm.monitor in _PHRASES:
        return alarm.monitor
    return _INVENTED if alarm.monitor.startswith(_INVENTED) else alarm.signal


def _scope(alarm: Alert) -> tuple[bool, str, str]:
    """Return what two alarms of one incident share: model, customer of all models, or pipeline."""
    if alarm.signal == _PIPELINE:
        return True, "", ""
    segment = alarm.segment
    return False, segment.model, "" if segment.model else segment.customer


class IncidentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as the API and the command line tell it.

    Attributes:
        incident_id: Its identity; its page is ``/i/<incident_id>``.
        title: What happened, since when and to whom.
        model: The model, empty for the pipeline itself.
        severity: That of its loudest alarm.
        onset_ms: When the change began, Unix milliseconds.
        starts_ms: When its first alarm was raised.
        owner: Who has it, empty for nobody.
        fires: Whether one of its alarms fires.
        alerts: Its alarms, the loudest first.
    """

    incident_id: str
    title: str
    model: str
    severity: Severity
    onset_ms: int
    starts_ms: int
    owner: str
    fires: bool
    alerts: tuple[Alert, ...]

    @classmethod
    def of(cls, incident: Incident) -> IncidentSummary:
        """Return the summary of an incident."""
        return cls(
            incident_id=incident.incident_id,
            title=incident.title(),
            model=incident.model,
            severity=incident.severity,
            onset_ms=incident.onset.time_ms,
            starts_ms=incident.starts_ms,
            owner=incident.owner,
            fires=incident.fires,
            alerts=incident.alarms,
        )


def incident_times(
    alerts: Iterable[Alert], now_ms: int, *, accepted: Collection[str] = ()
) -> tuple[ExcludedTime, ...]:
    """Return the times of incidents, each from its onset until its last alarm ended.

    Alarms of the pipeline's own health say nothing of the traffic, and infos are no alarms.

    Args:
        alerts: Alarms, firing or ended; the latest state of each.
        now_ms: The present, at which incidents that fire end for now.
        accepted: Alarms whose change a person has declared normal, by ``alert_id``.
    """
    counted = [
        alert
        for alert in alerts
        if alert.signal != _PIPELINE and alert.severity != "info" and alert.alert_id not in accepted
    ]
    found = [_time_of(incident, now_ms) for incident in incidents(counted)]
    return tuple(sorted(found, key=lambda one: (one.start_ms, one.end_ms, one.model)))


def _time_of(incident: Incident, now_ms: int) -> ExcludedTime:
    end_ms = now_ms if incident.fires else max(alarm.time_ms for alarm in incident.alarms)
    begins = [alarm.starts_ms for alarm in incident.alarms]
    begins += [alarm.onset_ms for alarm in incident.alarms if alarm.onset_ms is not None]
    start_ms = min(incident.onset.time_ms, *begins)
    return ExcludedTime(
        start_ms=start_ms,
        end_ms=max(end_ms, start_ms),
        model=incident.model,
        reason=clip(f"incident {incident.incident_id}: {'; '.join(incident.changes())}", _REASON),
    )


def within(times: Iterable[ExcludedTime], start_ms: int, end_ms: int) -> tuple[ExcludedTime, ...]:
    """Return the times that reach into a stretch of time."""
    return tuple(one for one in times if one.start_ms < end_ms and one.end_ms > start_ms)


def is_excluded(times: Sequence[ExcludedTime], model: str, start_ms: int, end_ms: int) -> bool:
    """Return whether a window of a model's traffic, or a moment of it, is left out.

    Args:
        times: What is left out.
        model: The model that the traffic is for.
        start_ms: Start of the window.
        end_ms: Its end; the same as the start for a moment.

    Example:
        >>> outage = ExcludedTime(start_ms=10, end_ms=20, model="m")
        >>> is_excluded([outage], "m", 0, 11), is_excluded([outage], "m", 20, 30)
        (True, False)
        >>> is_excluded([outage], "another", 0, 11)
        False
    """
    return any(
        one.start_ms < max(end_ms, start_ms + 1)
        and start_ms < one.end_ms
        and one.model in {"", model}
        for one in times
    )
