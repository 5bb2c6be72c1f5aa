"""What the demonstration promises, checked on the monitor's own history."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tidegauge.monitoring.catalog import HALLUCINATION
from tidegauge.monitoring.view import MonitorView, StateChange
from tidegauge.reports.formatting import count, duration
from tidegauge.reports.standing import ALARMS
from tidegauge.schemas.findings import Signal, State

__all__ = ["Milestones", "Promise", "Watched", "alarm_times_ms", "promises"]

_LOUD = ALARMS - {State.INFO}


class Milestones(msgspec.Struct, frozen=True, kw_only=True):
    """When each phase of the demo began, in Unix milliseconds.

    Attributes:
        normal_ms: The first request of the normal traffic.
        watching_ms: All baselines are in force.
        shift_ms: The first request on a held-out topic.
        new_version_ms: The first request to the worse version.
        end_ms: The last request was answered.
    """

    normal_ms: int
    watching_ms: int
    shift_ms: int
    new_version_ms: int
    end_ms: int


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One promise, whether it was kept, and why so."""

    name: str
    kept: bool
    detail: str


Watched: TypeAlias = Signal | Literal["hallucination"]
"""What is promised an alarm: a signal, or hallucination, which has a promise of its own."""


def alarm_times_ms(view: MonitorView, watched: Watched, *, loud: bool) -> tuple[int, ...]:
    """Return when monitors went into alarm: ends of windows, in order.

    Args:
        view: The monitor's view.
        watched: Which monitors: those of a signal, without hallucination, or of hallucination.
        loud: Leave out changes that are significant and too small to matter.
    """
    states = _LOUD if loud else ALARMS
    return tuple(
        sorted(
            change.time_ms
            for change in view.history
            if _of(change) == watched and change.after in states
        )
    )


def _of(change: StateChange) -> Watched:
    kind = change.monitor.partition(".")[2]
    return "hallucination" if kind.startswith(HALLUCINATION) else change.signal


def promises(view: MonitorView, milestones: Milestones) -> tuple[Promise, ...]:
    """Return every promise of the demonstration with what became of it."""
    return (
        *_alarmed_after(view, "drift", milestones.shift_ms, "the shift of the topics"),
        *_alarmed_after(view, "quality", milestones.new_version_ms, "the new version"),
        *_alarmed_after(view, "hallucination", milestones.new_version_ms, "the new version"),
        _balance(view),
    )


def _alarmed_after(
    view: MonitorView, watched: Watched, change_ms: int, change: str
) -> tuple[Promise, Promise]:
    early = [time for time in alarm_times_ms(view, watched, loud=False) if time <= change_ms]
    after = [time for time in alarm_times_ms(view, watched, loud=True) if time > change_ms]
    return (
        Promise(
            name=f"no alarm of {watched} before {change}",
            kept=not early,
            detail=f"one {duration((change_ms - early[0]) / 1000)} before it" if early else "none",
        ),
        Promise(
            name=f"an alarm of {watched} after {change}",
            kept=bool(after),
            detail=f"{duration((after[0] - change_ms) / 1000)} after it" if after else "none",
        ),
    )


def _balance(view: MonitorView) -> Promise:
    ledger = view.ledger
    served = sum(line.served for line in ledger.captures)
    detail = f"{count(served)} requests served, {count(ledger.in_flight)} events in flight"
    if not ledger.balanced:
        lost = {
            f"{line.kind} misses {count(line.missing)}"
            for line in ledger.deliveries
            if line.missing
        }
        lost |= {
            f"{count(line.unaccounted)} not captured"
            for line in ledger.captures
            if line.unaccounted
        }
        if ledger.judging.unaccounted:
            lost.add(f"{count(ledger.judging.unaccounted)} sampled and neither judged nor skipped")
        detail += ": " + ", ".join(sorted(lost))
    return Promise(name="the ledger balances", kept=ledger.balanced and served > 0, detail=detail)
