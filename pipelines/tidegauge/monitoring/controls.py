"""What people have told the monitor: acknowledgements and silences."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from tidegauge.monitoring.alert_store import Key
from tidegauge.monitoring.view import SilenceInForce
from tidegauge.schemas.operations import Control

__all__ = ["Controls", "ControlsState", "matches"]

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
