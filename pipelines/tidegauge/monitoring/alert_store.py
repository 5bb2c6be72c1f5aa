"""The latest verdict of each monitor, the alarms that fire, and what people said of them.

An alarm is latched: it fires until a person acknowledges it or a new baseline is activated.
Only the pipeline's own health, which is no test, ends its alarms by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from tidegauge.monitoring.verdicts import said
from tidegauge.monitoring.view import SilenceInForce, StateChange
from tidegauge.schemas.findings import Alert, AlertStatus, Severity, State, Verdict
from tidegauge.schemas.operations import Control
from tidegauge.schemas.topics import ALERTS, VERDICTS
from tidegauge.streaming.processor import Output

__all__ = [
    "SOURCE",
    "AlertStore",
    "AlertStoreState",
    "Controls",
    "ControlsState",
    "Key",
    "key_of",
    "matches",
]

SOURCE = "tidegauge/monitor"
"""The CloudEvents source of everything that the monitor says."""

Key: TypeAlias = tuple[str, str]
"""Monitor and segment's key."""

_HISTORY = 300
_LOUD: dict[State, Severity] = {State.WARN: "warn", State.PAGE: "page"}


class AlertStoreState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``AlertStore`` remembers, as plain data."""

    verdicts: tuple[Verdict, ...] = ()
    alarms: tuple[Alert, ...] = ()
    unannounced: tuple[str, ...] = ()
    history: tuple[StateChange, ...] = ()


def key_of(verdict: Verdict | Alert) -> Key:
    """Return whose word it is, of which segment."""
    return verdict.monitor, verdict.segment.key


class AlertStore:
    """The latest word of every monitor on every segment.

    Args:
        state: Where to go on from.
    """

    def __init__(self, state: AlertStoreState | None = None) -> None:
        kept = state or AlertStoreState()
        self._verdicts: dict[Key, Verdict] = {key_of(v): v for v in kept.verdicts}
        self._alarms: dict[Key, Alert] = {key_of(a): a for a in kept.alarms}
        self._unannounced: set[str] = set(kept.unannounced)
        self._history: deque[StateChange] = deque(kept.history, maxlen=_HISTORY)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The latest verdicts, ordered by monitor and segment."""
        return tuple(self._verdicts[key] for key in sorted(self._verdicts))

    @property
    def alarms(self) -> tuple[Alert, ...]:
        """The alarms that fire, in order of their beginning."""
        return tuple(sorted(self._alarms.values(), key=lambda a: (a.starts_ms, a.alert_id)))

    @property
    def history(self) -> tuple[StateChange, ...]:
        """Changes of state, newest last."""
        return tuple(self._history)

    def verdict(self, key: Key) -> Verdict | None:
        """Return the latest verdict, None before the first."""
        return self._verdicts.get(key)

    def alarm(self, key: Key) -> Alert | None:
        """Return the alarm that fires, if one does."""
        return self._alarms.get(key)

    def post(self, verdict: Verdict, *, loud: Severity | None = None) -> list[Output]:
        """Put up a verdict; returns it, and an alert where an alarm begins or changes.

        Args:
            verdict: What is said now.
            loud: Severity of the alarm that it raises; by its state if None.
        """
        key = key_of(verdict)
        before = self._verdicts.get(key)
        self._verdicts[key] = verdict
        if before is None or before.state != verdict.state:
            self._history.append(_change(before, verdict))
        outputs = [_verdict_output(verdict)]
        severity = loud or _LOUD.get(verdict.state)
        alarm = self._alarms.get(key)
        if severity is not None:
            if alarm is None or alarm.severity != severity:
                outputs += self._put(_raised(verdict, severity, alarm))
            else:
                self._alarms[key] = msgspec.structs.replace(alarm, verdict=verdict)
        elif alarm is not None:
            outputs += self.end(key, "resolved", verdict.time_ms, said(verdict))
        return outputs

    def post_if_new(self, verdict: Verdict, *, loud: Severity | None = None) -> list[Output]:
        """Put up a verdict unless the same was said last."""
        before = self._verdicts.get(key_of(verdict))
        if before is not None and (before.state, before.sentence) == (
            verdict.state,
            verdict.sentence,
        ):
            return []
        return self.post(verdict, loud=loud)

    def end(self, key: Key, status: AlertStatus, time_ms: int, summary: str) -> list[Output]:
        """End an alarm; returns its last alert, or nothing where none fires."""
        alarm = self._alarms.pop(key, None)
        if alarm is None:
            return []
        ended = msgspec.structs.replace(alarm, status=status, time_ms=time_ms, summary=summary)
        if alarm.alert_id in self._unannounced:
            self._unannounced.discard(alarm.alert_id)
            return []
        return [_alert_output(ended)]

    def withdraw(self, key: Key) -> None:
        """Forget a verdict, so that the next one counts as the first."""
        self._verdicts.pop(key, None)

    def hold_back(self, silenced: Iterable[Key], outputs: list[Output]) -> list[Output]:
        """Keep firing alerts of silenced monitors back, and let go of those no longer so."""
        mute = set(silenced)
        kept: list[Output] = []
        for output in outputs:
            alert = output.event
            if isinstance(alert, Alert) and alert.status == "firing" and key_of(alert) in mute:
                self._unannounced.add(alert.alert_id)
            else:
                kept.append(output)
        for key, alarm in sorted(self._alarms.items()):
            if alarm.alert_id in self._unannounced and key not in mute:
                self._unannounced.discard(alarm.alert_id)
                kept.append(_alert_output(alarm))
        return kept

    def _put(self, alert: Alert) -> list[Output]:
        self._alarms[key_of(alert)] = alert
        return [_alert_output(alert)]

    def state(self) -> AlertStoreState:
        """Return everything that is remembered."""
        return AlertStoreState(
            verdicts=self.verdicts,
            alarms=self.alarms,
            unannounced=tuple(sorted(self._unannounced)),
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


def _raised(verdict: Verdict, severity: Severity, before: Alert | None) -> Alert:
    starts = before.starts_ms if before else verdict.time_ms
    return Alert(
        alert_id=before.alert_id if before else _identity(verdict),
        monitor=verdict.monitor,
        signal=verdict.signal,
        segment=verdict.segment,
        severity=severity,
        status="firing",
        starts_ms=starts,
        time_ms=verdict.time_ms,
        summary=said(verdict),
        verdict=verdict,
    )


def _identity(verdict: Verdict) -> str:
    named = (verdict.monitor, verdict.segment.key, verdict.baseline, str(verdict.time_ms))
    return blake2b("\n".join(named).encode(), digest_size=8).hexdigest()


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
        event_id=f"{alert.alert_id} {alert.severity} {alert.status}",
        time_ms=alert.time_ms,
    )


_MOST = 200


class ControlsState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``Controls`` remembers, as plain data."""

    acknowledgements: tuple[Control, ...] = ()
    silences: tuple[Control, ...] = ()


def matches(control: Control, key: Key) -> bool:
    """Return whether a control speaks of a monitor's word on a segment.

    Monitor and segment may be patterns: ``*`` stands for anything.

    Example:
        >>> control = Control(action="silence", monitor="latency.*", segment="*", time_ms=1)
        >>> matches(control, ("latency.total", "m/v1//")), matches(control, ("errors.rate", "m///"))
        (True, False)
    """
    monitor, segment = key
    return fnmatchcase(monitor, control.monitor) and fnmatchcase(segment, control.segment)


class Controls:
    """The controls in force.

    Args:
        state: Where to go on from.
    """

    def __init__(self, state: ControlsState | None = None) -> None:
        kept = state or ControlsState()
        self._acknowledgements = list(kept.acknowledgements)
        self._silences = list(kept.silences)

    def add(self, control: Control) -> bool:
        """Take note of a control; returns whether it was new."""
        if control in self._acknowledgements or control in self._silences:
            return False
        if control.action == "acknowledge":
            self._acknowledgements = [*self._acknowledgements, control][-_MOST:]
        else:
            # The last word on the same monitor and segment counts: it may end a silence.
            others = [c for c in self._silences if _subject(c) != _subject(control)]
            self._silences = [*others, control][-_MOST:]
        return True

    def silenced(self, key: Key, now_ms: int) -> bool:
        """Return whether a monitor is mute for a segment."""
        return any(matches(c, key) and _in_force(c, now_ms) for c in self._silences)

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
        """Return everything that is remembered."""
        return ControlsState(
            acknowledgements=tuple(self._acknowledgements), silences=tuple(self._silences)
        )


def _subject(control: Control) -> Key:
    return control.monitor, control.segment


def _in_force(control: Control, now_ms: int) -> bool:
    return control.until_ms is None or control.until_ms > now_ms
