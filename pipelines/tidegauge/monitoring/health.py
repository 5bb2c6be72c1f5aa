"""The pipeline's own health: silent workers, lost events, judges without scores, statistics.

These are facts, not statistical tests: they use none of the false-alarm budget, and their
alarms end by themselves. Only alarms on counts that never fall (events dropped or missing)
fire until a person closes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tidegauge.monitoring.catalog import (
    ALL_TRAFFIC,
    BASELINE,
    CAPTURE,
    DEAD_LETTERS,
    LEDGER,
    LOG,
    MonitorKey,
    judge_monitor,
    judge_replies_monitor,
    statistics_monitor,
    worker_monitor,
)
from tidegauge.monitoring.ledger import READS, Ledger
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.reports.formatting import count, duration
from tidegauge.schemas.findings import Monitor, State, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import JudgeCondition, JudgeState, Progress, SketchKind
from tidegauge.streaming.progress import BASELINE_REFUSED

__all__ = [
    "condition_sentence",
    "finite_statistics",
    "judge_conditions",
    "judge_qualification",
    "judge_replies",
    "log_state",
    "loss_counts",
    "lost_events",
    "refused_baselines",
    "silent_workers",
]

_REFUSALS = {
    "other_embedder": "another embedder or backend has computed it",
    "other_preparation": "it was built of requests that were prepared in another way",
    "unreadable": "it cannot be read",
}
"""Reason in a notice -> how it is said."""

_NO_LOSS = {
    CAPTURE: "Every event was captured.",
    LEDGER: "The ledger balances.",
    DEAD_LETTERS: "No event was dead-lettered.",
}

_WHAT: Final[Mapping[JudgeState, str]] = {
    JudgeState.UNREACHABLE: "cannot be reached",
    JudgeState.LATE: "answers too late",
    JudgeState.REFUSED: "is refused by its server",
    JudgeState.FAILING: "fails on its server",
    JudgeState.CANNOT_BE_ASKED: "cannot be asked",
    JudgeState.INVALID: "gives replies without a valid score",
    JudgeState.CUT_OFF: "is cut off before its grade",
    JudgeState.TOO_OLD: "gets the answers too late",
    JudgeState.TOO_LONG: "cannot read exchanges as long as these",
    JudgeState.UNQUALIFIED: "is not qualified",
}
_QUALIFIED: Final = "qualified:"


def silent_workers(
    expected: Iterable[SketchKind],
    reported_ms: Mapping[tuple[SketchKind, int], int],
    *,
    now_ms: int,
    began_ms: int,
    silent_ms: int,
) -> list[Verdict]:
    """Return one verdict for each kind of worker that has reported or must report.

    Args:
        expected: Kinds that must report.
        reported_ms: (kind, partition) -> arrival of its last report.
        now_ms: The time.
        began_ms: When the monitor began to expect reports.
        silent_ms: Longest time that a partition may be silent.
    """
    verdicts = []
    kinds = {kind for kind, _ in reported_ms} | set(expected)
    for kind in sorted(kinds):
        ages = {p: now_ms - at for (of, p), at in reported_ms.items() if of == kind}
        silent = sorted(partition for partition, age in ages.items() if age > silent_ms)
        never = not ages and now_ms - began_ms > silent_ms
        if silent:
            which = ", ".join(str(partition) for partition in silent)
            state, sentence = (
                State.NO_DATA,
                (
                    f"The {kind} worker has been silent for "
                    f"{duration(max(ages.values()) / 1000)} on partition {which} of "
                    f"{READS[kind]}: nothing is tested until it reports. Its own log "
                    "says whether it waits for a service and tries again."
                ),
            )
        elif never:
            state, sentence = (
                State.NO_DATA,
                (
                    f"No {kind} worker has reported yet: start one, or leave {kind} out of the "
                    "expected workers."
                ),
            )
        elif not ages:
            continue
        else:
            state, sentence = State.OK, f"The {kind} worker reports on all partitions."
        verdicts.append(
            untested_verdict(MonitorKey(worker_monitor(kind), ALL_TRAFFIC), state, sentence, now_ms)
        )
    return verdicts


def loss_counts(ledger: Ledger) -> dict[Monitor, int]:
    """Return the counts that only grow, by monitor."""
    return {
        CAPTURE: sum(sum(line.dropped.values()) for line in ledger.captures),
        LEDGER: sum(line.unaccounted for line in ledger.captures)
        + sum(line.missing + line.expired for line in ledger.deliveries)
        + abs(ledger.judging.unaccounted),
        DEAD_LETTERS: sum(line.dead_lettered for line in ledger.deliveries),
        LOG: sum(line.remade + line.renumbered + line.begun_again for line in ledger.deliveries)
        + sum(each.remade + each.expired for each in ledger.missed),
    }


def lost_events(ledger: Ledger, closed: Mapping[Monitor, int], *, now_ms: int) -> list[Verdict]:
    """Return the verdicts on events dropped, missing or dead-lettered.

    Args:
        ledger: The ledger.
        closed: Monitor -> count at which a person has closed its alarm.
        now_ms: The time.
    """
    lost = {one: n - closed.get(one, 0) for one, n in loss_counts(ledger).items()}
    losses = {
        CAPTURE: (State.WARN, f"were dropped before they could be captured ({_reasons(ledger)})"),
        LEDGER: (State.WARN, f"are not accounted for ({_gaps(ledger)})"),
        DEAD_LETTERS: (State.INFO, "could not be processed and were dead-lettered"),
    }
    return [
        untested_verdict(
            MonitorKey(monitor, ALL_TRAFFIC),
            state,
            f"{count(lost[monitor])} events {what}.",
            now_ms,
        )
        if lost[monitor] > 0
        else untested_verdict(MonitorKey(monitor, ALL_TRAFFIC), State.OK, _NO_LOSS[monitor], now_ms)
        for monitor, (state, what) in losses.items()
    ]


def log_state(
    ledger: Ledger, closed: Mapping[Monitor, int], faults: Iterable[str], *, now_ms: int
) -> Verdict:
    """Return the verdict on the log: its topics' settings, and what happened to them.

    Args:
        ledger: The ledger.
        closed: Monitor -> count at which a person has closed its alarm.
        faults: What is wrong with the topics' settings, a sentence each.
        now_ms: The time.
    """
    said = [*faults]
    if loss_counts(ledger)[LOG] > closed.get(LOG, 0):
        said += [
            f"{line.topic} was deleted and created again, or its cluster replaced, as the "
            f"{line.kind} worker found: what was unread of the old topic is lost; let workers read "
            "a topic to its end before it is replaced, and close the alarm to end it"
            for line in ledger.deliveries
            if line.remade
        ]
        said += [
            f"{each.topic} was deleted and created again, or its cluster replaced, as the monitor "
            "found: what was unread of the old topic is not tested"
            for each in ledger.missed
            if each.remade
        ]
        said += [
            f"{count(each.expired)} records of {each.topic} expired before the monitor read them, "
            "and are not tested: lengthen the topic's retention, or let the monitor stand still "
            "for less"
            for each in ledger.missed
            if each.expired
        ]
        said += [
            f"{count(line.renumbered)} events of {line.topic} came under sequences that their "
            "producer had passed: it started again under its name, or two producers share it; "
            "give each run a producer id of its own"
            for line in ledger.deliveries
            if line.renumbered
        ]
        said += [
            f"{line.topic} has the first event of a producer again, no later than its last one "
            f"({count(line.begun_again)} times): such events are dropped as copies; where it does "
            "not send them again, its clock is behind: give each run a producer id of its own"
            for line in ledger.deliveries
            if line.begun_again
        ]
    state = State.WARN if said else State.OK
    sentence = ". ".join(said) + "." if said else "The log is as it should be."
    return untested_verdict(MonitorKey(LOG, ALL_TRAFFIC), state, sentence, now_ms)


def refused_baselines(
    reports: Iterable[Progress], refused: Mapping[BaselineKind, str], *, now_ms: int
) -> Verdict:
    """Return the verdict on whether the baselines in force are used.

    A baseline that is refused is worse than none: whoever activated it takes its monitors to
    be testing.

    Args:
        reports: The newest progress of each worker in each partition.
        refused: Kind of the baselines that the monitor cannot use -> why.
        now_ms: The time.
    """
    said = [
        f"The monitor cannot use the baseline of {kind}: {why}" for kind, why in refused.items()
    ]
    reasons = {
        (report.kind, notice.removeprefix(BASELINE_REFUSED))
        for report in reports
        for notice in report.notices
        if notice.startswith(BASELINE_REFUSED)
    }
    said += [
        f"The {kind} worker refuses the baseline in force, since "
        f"{_REFUSALS.get(reason, reason)}: its monitors test nothing. Build and activate a "
        "baseline with this worker's settings, or give it those of the baseline; its log names "
        "them"
        for kind, reason in sorted(reasons)
    ]
    sentence = ". ".join(said) + "." if said else "Every baseline in force is used."
    state = State.CRITICAL if said else State.OK
    return untested_verdict(MonitorKey(BASELINE, ALL_TRAFFIC), state, sentence, now_ms)


def _reasons(ledger: Ledger) -> str:
    reasons: dict[str, int] = {}
    for line in ledger.captures:
        for reason, number in line.dropped.items():
            reasons[reason] = reasons.get(reason, 0) + number
    return ", ".join(f"{reason}: {count(number)}" for reason, number in sorted(reasons.items()))


def _gaps(ledger: Ledger) -> str:
    gaps = [
        f"{count(line.missing)} of {line.topic} never reached the {line.kind} worker"
        for line in ledger.deliveries
        if line.missing
    ]
    gaps += [
        f"{count(line.expired)} of {line.topic} expired before the {line.kind} worker read them"
        for line in ledger.deliveries
        if line.expired
    ]
    gaps += [
        f"{count(line.unaccounted)} served by {line.producer_id} were neither captured nor dropped"
        for line in ledger.captures
        if line.unaccounted
    ]
    if ledger.judging.unaccounted:
        gaps.append(f"{ledger.judging.unaccounted:+,} in the judges' sample")
    return "; ".join(gaps)


def finite_statistics(key: MonitorKey, not_finite: int, *, time_ms: int) -> Verdict:
    """Return a verdict on whether a monitor's statistics are finite numbers.

    Args:
        key: The monitor and the segment that it tests.
        not_finite: How many of its statistics are not finite.
        time_ms: The time.
    """
    name = key.monitor.name
    if not_finite:
        state, sentence = (
            State.WARN,
            (
                f"Statistics of {name} that are not finite numbers: {not_finite}. It may miss "
                "changes: build and activate a new baseline, and report it if this comes back."
            ),
        )
    else:
        state, sentence = State.OK, f"The statistics of {name} are finite numbers."
    health_key = MonitorKey(statistics_monitor(key.monitor), key.segment)
    return untested_verdict(health_key, state, sentence, time_ms)


def judge_conditions(progress: Iterable[Progress]) -> Mapping[str, JudgeCondition]:
    """Return the judges that do not work, by name; one that says why comes before others.

    Args:
        progress: The newest progress of each worker's partition.
    """
    found: dict[str, JudgeCondition] = {}
    for report in sorted(progress, key=lambda each: each.time_ms):
        for condition in report.judges:
            if condition.state in _WHAT:
                found[condition.judge] = condition
    return found


def condition_sentence(condition: JudgeCondition) -> str:
    """Return what a condition means, in a sentence."""
    detail = " ".join(condition.detail.split()).rstrip(".")
    said = f": {detail}" if detail else ""
    return f"The judge {condition.judge} {_WHAT[condition.state]}{said}."


def judge_replies(
    progress: Iterable[Progress], known: Iterable[MonitorKey], *, now_ms: int
) -> list[Verdict]:
    """Return one verdict for each judge that does not work, or did not before.

    A judge that is not qualified is shown, whether it grades badly or its replies are no grades.
    It is an alarm if no other judge is qualified, since then nothing tests the quality of answers.

    Args:
        progress: The newest progress of each worker's partition.
        known: Monitors that have a verdict.
        now_ms: The time.
    """
    reports = [report for report in progress if report.kind == "quality"]
    found = judge_conditions(reports)
    qualified = {
        notice.removeprefix(_QUALIFIED).partition(":")[0]
        for report in reports
        for notice in report.notices
        if notice.startswith(_QUALIFIED)
    }
    works = qualified - {*found}
    verdicts = []
    for judge, condition in sorted(found.items()):
        state, sentence = State.WARN, condition_sentence(condition)
        of_no_use = condition.state is JudgeState.UNQUALIFIED or (
            condition.state is JudgeState.INVALID and judge not in qualified
        )
        if of_no_use and works:
            state, sentence = State.UNQUALIFIED, f"{sentence} Its scores raise no alarm."
        elif condition.state is JudgeState.UNQUALIFIED:
            sentence += " No other judge is qualified: nothing tests the quality of answers."
        key = MonitorKey(judge_replies_monitor(judge), ALL_TRAFFIC)
        verdicts.append(untested_verdict(key, state, sentence, now_ms))
    kind = judge_replies_monitor("").kind
    for key in known:
        if reports and key.monitor.kind == kind and key.monitor.subject not in found:
            sentence = f"The judge {key.monitor.subject} gives scores."
            verdicts.append(untested_verdict(key, State.OK, sentence, now_ms))
    return verdicts


def judge_qualification(monitor: Monitor, verdict: Verdict, *, expected: bool) -> Verdict | None:
    """Return a verdict on whether a judge passes its golden set.

    Args:
        monitor: The monitor of the judge's scores.
        verdict: Its verdict.
        expected: Whether the judge passed its golden set at the baseline's time.

    Returns:
        None if the judge never passed, or the verdict does not show whether it passes.
    """
    judge = monitor.kind
    if verdict.state == State.UNQUALIFIED and expected:
        sentence = (
            f"The judge {judge} no longer passes its golden set: the judge or its server has "
            "changed, the answers need not have. It raises no alarm until it passes again."
        )
        state = State.WARN
    elif verdict.log_threshold is not None:
        state, sentence = State.OK, f"The judge {judge} passes its golden set."
    else:
        return None
    key = MonitorKey(judge_monitor(judge), ALL_TRAFFIC)
    return untested_verdict(key, state, sentence, verdict.time_ms)
