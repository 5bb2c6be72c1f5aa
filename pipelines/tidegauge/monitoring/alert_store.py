"""The latest verdict of each monitor, its latched alarm, and the controls that people set.

An alarm is latched: it fires until a person closes it or a new baseline is activated. A person
who acknowledges it has it, and it goes on firing.
Only alarms of the pipeline's own health, which no statistical test raises, resolve by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b

import msgspec

from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.monitoring.incidents import joined
from tidegauge.monitoring.verdicts import alert_summary
from tidegauge.monitoring.view import SilenceInForce, StateChange
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Monitor, Severity, State, Verdict
from tidegauge.schemas.operations import Control
from tidegauge.schemas.topics import ALERTS, VERDICTS
from tidegauge.streaming.processor import Output

__all__ = [
    "SOURCE",
    "AlertStore",
    "AlertStoreState",
    "Controls",
    "ControlsState",
    "key_of",
    "matches",
]

SOURCE = "tidegauge/monitor"
"""The CloudEvents source of the monitor's events."""

_HISTORY = 300
_SEVERITIES: dict[State, Severity] = {State.WARN: "warn", State.CRITICAL: "critical"}
_MOST_CONTROLS = 200


class AlertStoreState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an ``AlertStore`` as plain data."""

    verdicts: tuple[Verdict, ...] = ()
    alarms: tuple[Alert, ...] = ()
    unpublished: tuple[str, ...] = ()
    history: tuple[StateChange, ...] = ()


def key_of(finding: Verdict | Alert) -> MonitorKey:
    """Return the monitor and the segment of a verdict or an alert."""
    return MonitorKey(Monitor.parse(finding.monitor), finding.segment)


class AlertStore:
    """The latest verdict of every monitor on every segment, and the alarms that fire.

    Args:
        state: The state to resume from.
        swaps: Returns when new versions appeared, which tells incidents apart.
        window_ms: Length of a window, milliseconds.
    """

    def __init__(
        self,
        state: AlertStoreState | None = None,
        *,
        swaps: Callable[[], Mapping[Segment, int]],
        window_ms: int,
    ) -> None:
        kept = state or AlertStoreState()
        self._swaps = swaps
        self._window_ms = window_ms
        self._verdicts: dict[MonitorKey, Verdict] = {key_of(v): v for v in kept.verdicts}
        self._alarms: dict[MonitorKey, Alert] = {key_of(a): a for a in kept.alarms}
        self._unpublished: set[str] = set(kept.unpublished)
        self._history: deque[StateChange] = deque(kept.history, maxlen=_HISTORY)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The latest verdicts, ordered by monitor and segment."""
        return tuple(self._verdicts[key] for key in sorted(self._verdicts))

    @property
    def alarms(self) -> tuple[Alert, ...]:
        """The alarms that fire, in order of their start."""
        return tuple(sorted(self._alarms.values(), key=lambda a: (a.starts_ms, a.alert_id)))

    @property
    def history(self) -> tuple[StateChange, ...]:
        """Changes of state, newest last."""
        return tuple(self._history)

    def verdict(self, key: MonitorKey) -> Verdict | None:
        """Return the latest verdict, None before the first."""
        return self._verdicts.get(key)

    def alarm(self, key: MonitorKey) -> Alert | None:
        """Return the alarm that fires, None when none does."""
        return self._alarms.get(key)

    def post(self, verdict: Verdict, *, severity: Severity | None = None) -> list[Output]:
        """Store a verdict; return it, and an alert if an alarm starts or changes.

        Args:
            verdict: The verdict.
            severity: Severity of the alarm that it raises; None for that of the verdict's state.
        """
        key = key_of(verdict)
        before = self._verdicts.get(key)
        self._verdicts[key] = verdict
        if before is None or before.state != verdict.state:
            self._history.append(_change(before, verdict))
        outputs = [_verdict_output(verdict)]
        raised = severity or _SEVERITIES.get(verdict.state)
        alarm = self._alarms.get(key)
        if raised is not None:
            if alarm is None or alarm.severity != raised:
                self._alarms[key] = self._raised(verdict, raised, alarm)
                outputs.append(_alert_output(self._alarms[key]))
            else:
                self._alarms[key] = msgspec.structs.replace(alarm, verdict=verdict)
        elif alarm is not None:
            outputs += self.end(key, verdict.time_ms, alert_summary(verdict))
        return outputs

    def _raised(self, verdict: Verdict, severity: Severity, before: Alert | None) -> Alert:
        """Return an alarm that begins, or that changes its severity and is told anew."""
        if before is not None:
            return msgspec.structs.replace(
                before,
                severity=severity,
                severity_before=before.severity,
                status="firing",
                time_ms=verdict.time_ms,
                summary=alert_summary(verdict),
                verdict=verdict,
            )
        alarm = Alert(
            alert_id=_alert_id(verdict),
            monitor=verdict.monitor,
            signal=verdict.signal,
            segment=verdict.segment,
            severity=severity,
            status="firing",
            starts_ms=verdict.time_ms,
            time_ms=verdict.time_ms,
            summary=alert_summary(verdict),
            verdict=verdict,
        )
        others = self._alarms.values()
        return joined(alarm, others, self._swaps(), window_ms=self._window_ms)

    def retell(self, verdict: Verdict) -> None:
        """Replace the sentence of an alarm that fires, and tell nobody."""
        key = key_of(verdict)
        alarm = self._alarms.get(key)
        if alarm is not None:
            self._verdicts[key] = verdict
            self._alarms[key] = msgspec.structs.replace(
                alarm, verdict=verdict, summary=alert_summary(verdict)
            )

    def acknowledge(self, key: MonitorKey, control: Control) -> list[Output]:
        """Name the owner of an alarm, which goes on firing; nothing if none fires."""
        alarm = self._alarms.get(key)
        if alarm is None:
            return []
        self._alarms[key] = msgspec.structs.replace(
            alarm,
            status="acknowledged",
            time_ms=control.time_ms,
            owner=control.who or "somebody",
            note=control.note,
        )
        return [] if alarm.alert_id in self._unpublished else [_alert_output(self._alarms[key])]

    def post_if_changed(
        self, verdict: Verdict, *, severity: Severity | None = None
    ) -> list[Output]:
        """Store a verdict unless the latest one has the same state and sentence."""
        before = self._verdicts.get(key_of(verdict))
        if before is not None and (before.state, before.sentence) == (
            verdict.state,
            verdict.sentence,
        ):
            return []
        return self.post(verdict, severity=severity)

    def post_unless_ok(self, verdict: Verdict) -> list[Output]:
        """Store a changed verdict, except a first one that is ``ok``."""
        if verdict.state == State.OK and key_of(verdict) not in self._verdicts:
            return []
        return self.post_if_changed(verdict)

    def end(self, key: MonitorKey, time_ms: int, summary: str) -> list[Output]:
        """End an alarm; return its last alert, or nothing if none fires."""
        alarm = self._alarms.pop(key, None)
        if alarm is None:
            return []
        ended = msgspec.structs.replace(alarm, status="resolved", time_ms=time_ms, summary=summary)
        if alarm.alert_id in self._unpublished:
            self._unpublished.discard(alarm.alert_id)
            return []
        return [_alert_output(ended)]

    def withhold(self, silenced: Iterable[MonitorKey], outputs: list[Output]) -> list[Output]:
        """Withhold the firing alerts of silenced monitors.

        Returns:
            The other outputs, and the withheld alerts of monitors that are no longer silenced.
        """
        silent = set(silenced)
        published: list[Output] = []
        for output in outputs:
            alert = output.event
            if isinstance(alert, Alert) and alert.fires and key_of(alert) in silent:
                self._unpublished.add(alert.alert_id)
            else:
                published.append(output)
        for key, alarm in sorted(self._alarms.items()):
            if alarm.alert_id in self._unpublished and key not in silent:
                self._unpublished.discard(alarm.alert_id)
                published.append(_alert_output(alarm))
        return published

    def state(self) -> AlertStoreState:
        """Return the state as plain data."""
        return AlertStoreState(
            verdicts=self.verdicts,
            alarms=self.alarms,
            unpublished=tuple(sorted(self._unpublished)),
            history=self.history,
        )


def _change(before: Verdict | None, after: Verdict) -> StateChange:
    return StateChange(
        monitor=after.monitor,
        signal=after.signal,
        segment=after.segment,
        time_ms=after.time_ms,
        before=before.state if before else None,
        after=after.state,
        sentence=after.sentence,
    )


def _alert_id(verdict: Verdict) -> str:
    parts = (verdict.monitor, verdict.segment.key, verdict.baseline, str(verdict.time_ms))
    return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def _verdict_output(verdict: Verdict) -> Output:
    key = f"{verdict.monitor} {verdict.segment.key}"
    return Output(
        topic=VERDICTS,
        key=key,
        event=verdict,
        source=SOURCE,
        event_id=f"{key} {verdict.time_ms} {verdict.state}",
        time_ms=verdict.time_ms,
    )


def _alert_output(alert: Alert) -> Output:
    return Output(
        topic=ALERTS,
        key=alert.alert_id,
        event=alert,
        source=SOURCE,
        event_id=f"{alert.alert_id} {alert.severity} {alert.status} {alert.time_ms}",
        time_ms=alert.time_ms,
    )


class ControlsState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``Controls`` as plain data."""

    applied: tuple[Control, ...] = ()
    silences: tuple[Control, ...] = ()


def matches(control: Control, key: MonitorKey) -> bool:
    """Return whether a control applies to a monitor on a segment.

    A control's monitor and segment may be patterns: ``*`` stands for anything.

    Example:
        >>> control = Control(action="silence", monitor="latency.*", segment="*", time_ms=1)
        >>> from tidegauge.schemas import Segment
        >>> everywhere = Segment(model="m")
        >>> matches(control, MonitorKey(Monitor("latency", "total"), everywhere))
        True
        >>> matches(control, MonitorKey(Monitor("errors", "rate"), everywhere))
        False
    """
    return fnmatchcase(key.monitor.name, control.monitor) and fnmatchcase(
        key.segment.key, control.segment
    )


class Controls:
    """The controls that people have set: those that were applied, and the silences.

    Args:
        state: The state to resume from.
    """

    def __init__(self, state: ControlsState | None = None) -> None:
        kept = state or ControlsState()
        self._applied = list(kept.applied)
        self._silences = list(kept.silences)

    def add(self, control: Control) -> bool:
        """Store a control; return whether it was new."""
        if control in self._applied or control in self._silences:
            return False
        if control.action != "silence":
            self._applied = [*self._applied, control][-_MOST_CONTROLS:]
        else:
            # The latest control of the same monitor and segment counts: it may end a silence.
            others = [c for c in self._silences if _target(c) != _target(control)]
            self._silences = [*others, control][-_MOST_CONTROLS:]
        return True

    def silenced(self, key: MonitorKey, now_ms: int) -> bool:
        """Return whether a monitor is silenced for a segment."""
        return any(_in_force(c, now_ms) and matches(c, key) for c in self._silences)

    def in_force(self, now_ms: int) -> tuple[SilenceInForce, ...]:
        """Return the silences in force."""
        return tuple(
            SilenceInForce(
                monitor=control.monitor,
                segment=control.segment,
                until_ms=control.until_ms,
                who=control.who,
                note=control.note,
            )
            for control in self._silences
            if _in_force(control, now_ms)
        )

    def state(self) -> ControlsState:
        """Return the state as plain data."""
        return ControlsState(applied=tuple(self._applied), silences=tuple(self._silences))


def _target(control: Control) -> tuple[str, str]:
    return control.monitor, control.segment


def _in_force(control: Control, now_ms: int) -> bool:
    return control.until_ms is None or control.until_ms > now_ms
