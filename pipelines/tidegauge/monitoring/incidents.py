"""Incidents: alarms that have one cause, as far as their model and their onset tell.

An alarm joins an incident when it is raised, and stays in it, so that an incident's identity and
its members do not change afterwards. Alarms of one model belong together if their changes began
at the same time, as closely as the onsets are known: a change that took long to find has an onset
that is known less well. A version's own trouble began with the version, on every route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tidegauge.reports.formatting import moment
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Severity, Signal, Verdict

__all__ = ["Incident", "Onset", "incident_of", "incidents", "onset_of"]

Swaps = Mapping[Segment, int]
"""Segment of a new version -> start of its first window, Unix milliseconds."""

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warn", "info")
"""Severities, the loudest first."""

_WINDOWS: Final = 3
"""Windows by which the onsets of one change differ at least: each worker closes its own."""

_PART_OF_DELAY: Final = 0.5
"""How far an onset may be off, as a part of the time that it took to find the change."""

_PHRASES: Final[Mapping[Signal, str]] = MappingProxyType(
    {
        "quality": "answers are worse",
        "errors": "more goes wrong",
        "latency": "answers are slower",
        "cost": "requests cost more",
        "drift": "people ask for something else",
        "swap": "the new version does worse",
        "pipeline": "the pipeline needs attention",
    }
)
"""Signal -> what its alarm means, the most harmful first."""

_ORDER: Final = tuple(_PHRASES)


@dataclass(frozen=True, slots=True)
class Onset:
    """When a change began.

    Attributes:
        time_ms: The most likely moment, Unix milliseconds.
        tolerance_ms: By how much another onset of the same change may differ.
        version: The new version that the change began with, empty for none.
    """

    time_ms: int
    tolerance_ms: int
    version: str = ""

    def meets(self, other: Onset) -> bool:
        """Return whether both may be the onset of one change."""
        if self.version and self.version == other.version:
            return True
        apart = abs(self.time_ms - other.time_ms)
        return apart <= max(self.tolerance_ms, other.tolerance_ms)


@dataclass(frozen=True, slots=True)
class Incident:
    """Alarms with one cause.

    Attributes:
        incident_id: Its identity, for good.
        alarms: Its alarms: the loudest first, then by signal and by their start.
        onset: When the change began, as its first alarm tells.
        starts_ms: When its first alarm was raised.
    """

    incident_id: str
    alarms: tuple[Alert, ...]
    onset: Onset
    starts_ms: int

    @property
    def model(self) -> str:
        """The model, empty for the pipeline itself."""
        return "" if self.alarms[0].signal == "pipeline" else self.alarms[0].segment.model

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
        """What it is about: a new version, a model, or the pipeline."""
        return self.onset.version or self.model or "the pipeline"

    def title(self, now_ms: int | None = None) -> str:
        """Return what happened, since when and to whom, on one line.

        Args:
            now_ms: The reader's moment: today's times come without their date.
        """
        since = moment(self.onset.time_ms, now_ms)
        return f"{self.subject} since {since}: {'; '.join(self.changes())}"

    def changes(self) -> tuple[str, ...]:
        """Return what each signal says, with the number of routes where there are several."""
        several = len(self.routes) > 1
        said: list[str] = []
        for signal in _ORDER:
            of_signal = [alarm for alarm in self.alarms if alarm.signal == signal]
            # A comparison of versions says again what a monitor of the same thing has said.
            if not of_signal or (signal == "swap" and said):
                continue
            routes = {alarm.segment.route for alarm in of_signal}
            where = f" on {len(routes)} of {len(self.routes)} routes" if several else ""
            said.append(f"{_PHRASES[signal]}{where}")
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
    least = _WINDOWS * window_ms
    tolerance = max(least, round(_PART_OF_DELAY * (raised_ms - since_ms)))
    segment = verdict.segment
    own = swaps.get(segment)
    if own is None or abs(since_ms - own) > tolerance:
        return Onset(since_ms, tolerance)
    first = min(
        start
        for new, start in swaps.items()
        if (new.model, new.version) == (segment.model, segment.version)
    )
    return Onset(first, least, segment.version)


def incident_of(alarm: Alert, others: Iterable[Alert], swaps: Swaps, *, window_ms: int) -> str:
    """Return the incident that a new alarm joins; its own identity where it begins one.

    Args:
        alarm: The alarm that is raised.
        others: The alarms that fire already.
        swaps: When new versions appeared.
        window_ms: Length of a window, milliseconds.
    """
    onset = onset_of(alarm.verdict, alarm.starts_ms, swaps, window_ms=window_ms)
    scope = _scope(alarm)
    found = [
        (abs(known.onset.time_ms - onset.time_ms), known.starts_ms, known.incident_id)
        for known in incidents(others, swaps, window_ms=window_ms)
        if _scope(known.alarms[0]) == scope and known.onset.meets(onset)
    ]
    return min(found)[2] if found else alarm.alert_id


def incidents(alarms: Iterable[Alert], swaps: Swaps, *, window_ms: int) -> tuple[Incident, ...]:
    """Return the incidents of alarms, the loudest first, then the newest.

    Args:
        alarms: Alarms, firing or ended; the latest state of each.
        swaps: When new versions appeared.
        window_ms: Length of a window, milliseconds.
    """
    groups: dict[str, list[Alert]] = {}
    for alarm in alarms:
        groups.setdefault(alarm.incident or alarm.alert_id, []).append(alarm)
    found = [_incident(identity, members, swaps, window_ms) for identity, members in groups.items()]
    return tuple(
        sorted(
            found,
            key=lambda one: (not one.fires, SEVERITIES.index(one.severity), -one.starts_ms),
        )
    )


def _incident(identity: str, members: Sequence[Alert], swaps: Swaps, window_ms: int) -> Incident:
    first = min(members, key=lambda a: (a.alert_id != identity, a.starts_ms, a.alert_id))
    return Incident(
        incident_id=identity,
        alarms=tuple(sorted(members, key=_loudest)),
        onset=onset_of(first.verdict, first.starts_ms, swaps, window_ms=window_ms),
        starts_ms=min(alarm.starts_ms for alarm in members),
    )


def _loudest(alarm: Alert) -> tuple[bool, int, int, int, str]:
    return (
        not alarm.fires,
        SEVERITIES.index(alarm.severity),
        _ORDER.index(alarm.signal),
        alarm.starts_ms,
        alarm.alert_id,
    )


def _scope(alarm: Alert) -> tuple[bool, str]:
    """Return what two alarms of one incident share: the model, or the pipeline."""
    ours = alarm.signal == "pipeline"
    return ours, "" if ours else alarm.segment.model
