"""How often people are told: once an incident, again while it fires, not at every flap. Pure.

For receivers that pass on whatever they are sent; Alertmanager has its own rules for this.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegauge.reports.formatting import duration
from tidegauge.reports.text import clip
from tidegauge.schemas.findings import Alert, Severity

__all__ = ["Notice", "PacedReceiver", "Pacing"]

_RANK: Final[dict[Severity, int]] = {"info": 0, "warn": 1, "critical": 2}
_MOST: Final = 1_000
"""Incidents and monitors that are remembered, the newest."""

_MARKUP: Final = str.maketrans("<>@", "___")
"""Characters by which chats mention people or everybody: summaries quote what clients wrote."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How often people are told.

    Attributes:
        least: The least severity that is told.
        repeat_ms: After so long without an acknowledgement, what fires is told again; 0 for never.
        flaps: A monitor that begins to alarm more often than this within ``flap_ms`` flaps: that
            is told once, and its beginnings and ends no more until they are rarer.
        flap_ms: The time in which beginnings are counted.
    """

    least: Severity = "warn"
    repeat_ms: int = 4 * 3_600_000
    flaps: int = 3
    flap_ms: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told.

    Attributes:
        title: One line.
        body: Some lines more, with the address of the incident's page if there is one.
        severity: How loud; None for an end.
    """

    title: str
    body: str
    severity: Severity | None


@dataclass(slots=True)
class _Incident:
    severity: Severity
    told_ms: int
    fires: set[str] = field(default_factory=set)


class PacedReceiver:
    """Tells of an incident when it begins, when it gets worse, when it ends, and while it fires.

    An alarm that joins an incident is not told again unless it is louder. An incident that
    somebody has acknowledged is not repeated. What was told is kept in memory: after a start, the
    alerts that were sent before it are to be recalled.

    Args:
        tell: Delivers a notice, or raises NotifyError.
        pacing: How often.
        page_url: Address of the monitor's page, empty where there is none to link to.
    """

    def __init__(
        self, tell: Callable[[Notice], None], pacing: Pacing, *, page_url: str = ""
    ) -> None:
        self._tell = tell
        self._pacing = pacing
        self._page = page_url.rstrip("/")
        self._incidents: OrderedDict[str, _Incident] = OrderedDict()
        self._begun: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()

    def recall(self, alert: Alert) -> None:
        """Take note of an alert that was sent before this process began, and tell nobody."""
        self._pass_on(alert, alert.time_ms, lambda _notice: None)

    def send(self, alert: Alert, now_ms: int) -> None:
        """Tell of an alert where that says something new.

        Raises:
            NotifyError: It was not delivered; the same call may be repeated.
        """
        self._pass_on(alert, now_ms, self._tell)

    def _pass_on(self, alert: Alert, now_ms: int, tell: Callable[[Notice], None]) -> None:
        name = alert.incident or alert.alert_id
        known = self._incidents.get(name)
        was_told = known is not None and alert.alert_id in known.fires
        # An alarm that was told and has become quieter is still told when it ends.
        if _RANK[alert.severity] < _RANK[self._pacing.least] and not was_told:
            return
        begins = alert.status == "firing" and not was_told
        flaps = self._flaps(alert, begins=begins)
        if not alert.fires:
            if known is not None and known.fires - {alert.alert_id}:
                known.fires.discard(alert.alert_id)
                return
            if flaps <= self._pacing.flaps:
                tell(self._notice(alert, "ended", severity=None))
            self._incidents.pop(name, None)
        elif alert.status == "acknowledged":
            self._note(name, alert, now_ms)
        elif known is None or _RANK[alert.severity] > _RANK[known.severity]:
            if flaps <= self._pacing.flaps:
                tell(self._notice(alert, alert.severity, severity=alert.severity))
            elif flaps == self._pacing.flaps + 1:
                often = (
                    f"{flaps} times within {duration(self._pacing.flap_ms / 1000)}; it is told "
                    "again when it begins less often"
                )
                tell(self._notice(alert, "flaps", severity=alert.severity, more=often))
            told = self._note(name, alert, now_ms)
            told.severity, told.told_ms = alert.severity, now_ms
        else:
            known.fires.add(alert.alert_id)
        if begins:
            self._begins(alert)

    def remind(self, firing: Sequence[Alert], now_ms: int) -> None:
        """Tell again of incidents that fire and that nobody has acknowledged, when it is time.

        Args:
            firing: The alarms that fire and are not silenced.
            now_ms: The present, Unix milliseconds.

        Raises:
            NotifyError: A notice was not delivered.
        """
        if not self._pacing.repeat_ms:
            return
        by_incident: dict[str, list[Alert]] = {}
        for alert in firing:
            if _RANK[alert.severity] >= _RANK[self._pacing.least]:
                by_incident.setdefault(alert.incident or alert.alert_id, []).append(alert)
        for name, alarms in by_incident.items():
            told = self._incidents.get(name)
            last_ms = told.told_ms if told else max(alarm.time_ms for alarm in alarms)
            owned = any(alarm.status == "acknowledged" for alarm in alarms)
            if owned or now_ms - last_ms < self._pacing.repeat_ms:
                continue
            loudest = max(alarms, key=lambda alarm: _RANK[alarm.severity])
            since = duration((now_ms - min(alarm.starts_ms for alarm in alarms)) / 1000)
            more = f"It has fired for {since}, and nobody has acknowledged it."
            self._tell(
                self._notice(
                    loudest, f"{loudest.severity}, still", severity=loudest.severity, more=more
                )
            )
            self._note(name, loudest, now_ms).told_ms = now_ms

    def _flaps(self, alert: Alert, *, begins: bool) -> int:
        """Return how often the alert's monitor has begun to alarm lately, this time included."""
        begun = self._begun.get((alert.monitor, alert.segment.key), ())
        lately = sum(alert.time_ms - time_ms < self._pacing.flap_ms for time_ms in begun)
        return lately + begins

    def _begins(self, alert: Alert) -> None:
        key = (alert.monitor, alert.segment.key)
        self._begun.setdefault(key, deque(maxlen=self._pacing.flaps + 2)).append(alert.time_ms)
        self._begun.move_to_end(key)
        if len(self._begun) > _MOST:
            self._begun.popitem(last=False)

    def _note(self, name: str, alert: Alert, now_ms: int) -> _Incident:
        known = self._incidents.setdefault(name, _Incident(alert.severity, now_ms))
        known.fires.add(alert.alert_id)
        self._incidents.move_to_end(name)
        if len(self._incidents) > _MOST:
            self._incidents.popitem(last=False)
        return known

    def _notice(
        self, alert: Alert, word: str, *, severity: Severity | None, more: str = ""
    ) -> Notice:
        segment = alert.segment
        customer = f"customer {segment.customer}" if segment.customer else ""
        names = (segment.model, segment.version, segment.route, customer)
        where = " ".join(name for name in names if name)
        unnamed = "pipeline" if alert.signal == "pipeline" else "all traffic"
        summary = clip(alert.summary or alert.verdict.sentence, 600)
        page = f"{self._page}/i/{alert.incident or alert.alert_id}" if self._page else ""
        lines = [line for line in (summary.translate(_MARKUP), more, page) if line]
        title = f"{word}: {clip(where, 120) or unnamed}, {alert.signal}"
        return Notice(title.translate(_MARKUP), "\n".join(lines), severity)
