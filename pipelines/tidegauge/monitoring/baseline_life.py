"""When a baseline is due: the first one, its growth, its renewal, and what these wait for.

Without a baseline, a provisional one is built from the first traffic. It is replaced whenever the
traffic is twice as long, until it covers the full length; a baseline that a person accepted after a
change grows the same way. From then on it is renewed at intervals. None of this happens while an
alarm fires, while evidence gathers, or while none is known: what the new baseline contains has been
tested against the old one, and a person decides what becomes of a change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tidegauge.monitoring.catalog import baseline_kind
from tidegauge.monitoring.errors import PlanError
from tidegauge.reports.formatting import duration, moment
from tidegauge.schemas.findings import Alert, Monitor, Verdict
from tidegauge.schemas.operations import BaselineKind, BaselineManifest, Making

__all__ = [
    "KINDS",
    "Due",
    "LifePlan",
    "Renewal",
    "Waiting",
    "next_step",
    "replaced",
    "span_of",
]

KINDS: tuple[BaselineKind, ...] = ("rates", "drift")
"""The kinds, in the order in which baselines are built."""

Renewal: TypeAlias = Literal["off", "propose", "activate"]
"""What becomes of a renewed baseline."""

_DAY_MS = 86_400_000
_GROWTH = 2.0
"""A growing baseline is replaced when the traffic is so many times as long."""
_GATHERING = 20.0
"""Evidence gathers from this part of the threshold on: the lower level of the back-test."""
_KNOWN_MS = 600_000
"""The evidence is known while the newest test is not older."""
_KNOWN = duration(_KNOWN_MS / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifePlan:
    """How baselines come and go by themselves.

    Attributes:
        provisional: Whether the first traffic makes a provisional baseline.
        grow: Whether it, and an accepted one, is replaced as the traffic grows longer.
        first_ms: Least length of a baseline, milliseconds.
        length_ms: Full length.
        renewal: What becomes of a renewed baseline.
        renew_ms: Age at which a baseline of full length is renewed.
    """

    provisional: bool = True
    grow: bool = True
    first_ms: int = 600_000
    length_ms: int = 14 * _DAY_MS
    renewal: Renewal = "propose"
    renew_ms: int = 30 * _DAY_MS

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            PlanError: A length is not above 0, or the least one exceeds the full one.
        """
        if not 0 < self.first_ms <= self.length_ms or not self.renew_ms > 0:
            raise PlanError(
                "a baseline's least length must be above 0 and at most its full length, and its "
                f"age at renewal above 0; got {self.first_ms}, {self.length_ms}, {self.renew_ms} ms"
            )


@dataclass(frozen=True, slots=True)
class Due:
    """A baseline is to be built.

    Attributes:
        how: What it is.
        activate: Whether it is put in force, or proposed only.
    """

    how: Making
    activate: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is to be built yet, and why; for people."""

    why: str


def next_step(  # noqa: PLR0913 - what decides on it
    kind: BaselineKind,
    in_force: BaselineManifest | None,
    known: Iterable[BaselineManifest],
    alarms: Iterable[Alert],
    verdicts: Sequence[Verdict],
    *,
    now_ms: int,
    plan: LifePlan,
) -> Due | Waiting:
    """Return what is to be done for a kind of baseline.

    Args:
        kind: The kind.
        in_force: The baseline in force; None without one.
        known: All baselines.
        alarms: The alarms that fire.
        verdicts: The latest verdicts.
        now_ms: The present, Unix milliseconds.
        plan: The settings.
    """
    if in_force is None:
        if not plan.provisional:
            return Waiting("none is in force, and provisional ones are switched off")
        return Due("provisional")
    step = _growth(in_force, now_ms, plan)
    if step is None:
        step = _renewal(in_force, _last_renewal_ms(known, kind), now_ms, plan)
    if isinstance(step, Waiting):
        return step
    return _undecided(alarms) or _gathering(kind, in_force, verdicts, now_ms) or step


def _growth(in_force: BaselineManifest, now_ms: int, plan: LifePlan) -> Due | Waiting | None:
    """Return the next step of a baseline that grows; None for one that does not."""
    span, origin = span_of(in_force), in_force.origin
    if not plan.grow or span is None or origin.how not in {"provisional", "accepted"}:
        return None
    from_ms = max(span[0], *origin.since.values()) if origin.since else span[0]
    length_ms = span[1] - from_ms
    if length_ms >= plan.length_ms:
        return None
    due_ms = from_ms + round(min(_GROWTH * length_ms, plan.length_ms))
    if now_ms < due_ms:
        return Waiting(
            f"it covers {duration(length_ms / 1000)} of {duration(plan.length_ms / 1000)}, and is "
            f"replaced from {moment(due_ms)} on"
        )
    full = now_ms - from_ms >= plan.length_ms
    return Due("renewed" if full else origin.how)


def _renewal(
    in_force: BaselineManifest, renewed_ms: int | None, now_ms: int, plan: LifePlan
) -> Due | Waiting:
    """Return the next step of a baseline of full length."""
    if plan.renewal == "off":
        return Waiting("it stays until a person replaces it")
    due_ms = max(in_force.created_ms, renewed_ms or 0) + plan.renew_ms
    if now_ms < due_ms:
        return Waiting(f"it is renewed from {moment(due_ms)} on")
    return Due("renewed", activate=plan.renewal == "activate")


def _undecided(alarms: Iterable[Alert]) -> Waiting | None:
    """Return which change has to be decided on first; None without one."""
    firing = [one for one in alarms if one.signal != "pipeline" and one.severity != "info"]
    if not firing:
        return None
    named = ", ".join(sorted({one.monitor for one in firing}))
    incident = firing[0].incident or firing[0].alert_id
    return Waiting(
        f"an alarm fires ({named}): close it if it is an incident, or accept it as the new "
        f"normal with `tidegauge baseline accept {incident}`"
    )


def _gathering(
    kind: BaselineKind, in_force: BaselineManifest, verdicts: Sequence[Verdict], now_ms: int
) -> Waiting | None:
    """Return on which monitor evidence gathers, or that none is known; None where it is little."""
    tested_ms = 0
    for verdict in verdicts:
        if verdict.log_statistic is None or not _is_against(in_force, verdict):
            continue
        if baseline_kind(Monitor.parse(verdict.monitor)) != kind or verdict.log_threshold is None:
            continue
        if verdict.log_statistic >= verdict.log_threshold - math.log(_GATHERING):
            return Waiting(
                f"evidence of a change gathers on {verdict.monitor}: it waits until this becomes "
                "an alarm or goes away"
            )
        tested_ms = max(tested_ms, verdict.time_ms)
    if tested_ms >= now_ms - _KNOWN_MS:
        return None
    since = f"since {moment(tested_ms)}" if tested_ms else f"in the last {_KNOWN}"
    return Waiting(
        f"the monitor has tested nothing against it {since}, so that no evidence is known: it "
        "waits until traffic is tested again"
    )


def _is_against(in_force: BaselineManifest, verdict: Verdict) -> bool:
    """Return whether a verdict's evidence is against a reference that the baseline holds.

    A baseline with new references of some monitors has kept the others, which are known by the
    baseline that they are from.
    """
    origin = in_force.origin
    if verdict.baseline == in_force.baseline_id:
        return True
    is_new = verdict.monitor in origin.monitors and verdict.segment.model in origin.since
    return bool(origin.monitors) and bool(verdict.baseline) and not is_new


def replaced(
    in_force: BaselineManifest, known: Iterable[BaselineManifest], alarms: Iterable[Alert]
) -> tuple[str, ...]:
    """Return the provisional baselines that nothing needs any more.

    Kept are the baseline in force, the one that it replaced, those whose references it has taken
    over, and those that an alarm fires against.

    Args:
        in_force: The baseline in force.
        known: All baselines.
        alarms: The alarms that fire.
    """
    by_id = {one.baseline_id: one for one in known}
    needed = {alarm.verdict.baseline for alarm in alarms}
    needed |= {in_force.baseline_id, in_force.origin.replaces, in_force.origin.anchor}
    partial: BaselineManifest | None = in_force
    while partial is not None and partial.origin.monitors:
        needed.add(partial.origin.replaces)
        partial = by_id.get(partial.origin.replaces)
    return tuple(
        one.baseline_id
        for one in by_id.values()
        if one.kind == in_force.kind
        and one.origin.how == "provisional"
        and one.dropped_ms is None
        and one.created_ms < in_force.created_ms
        and one.baseline_id not in needed
    )


def span_of(manifest: BaselineManifest) -> tuple[int, int] | None:
    """Return the time that a baseline covers, Unix milliseconds; None if that is not known."""
    try:
        return int(manifest.summary["from_ms"]), int(manifest.summary["to_ms"])
    except (KeyError, ValueError):
        return None


def _last_renewal_ms(known: Iterable[BaselineManifest], kind: BaselineKind) -> int | None:
    """Return when the last renewal of a kind was built, None if none was."""
    found = [one.created_ms for one in known if one.kind == kind and one.origin.how == "renewed"]
    return max(found, default=None)
