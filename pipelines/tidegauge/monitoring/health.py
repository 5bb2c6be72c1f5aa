"""The pipeline's own health: silent workers, lost events, a judge that may not speak.

These are facts and no tests, so they need no budget, and they end when they are over. Only
counts that never fall (events dropped or missing) stand until someone acknowledges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tidegauge.monitoring.catalog import EVERYTHING
from tidegauge.monitoring.ledger import READS, Ledger
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.reports.formatting import count, duration
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import State, Verdict
from tidegauge.schemas.sketches import SketchKind

__all__ = [
    "CAPTURE",
    "DEAD_LETTERS",
    "LEDGER",
    "finite_statistics",
    "judge_standing",
    "lost_events",
    "silent_workers",
    "standing_counts",
    "worker_monitor",
]

CAPTURE: Final = "pipeline.capture"
LEDGER: Final = "pipeline.ledger"
DEAD_LETTERS: Final = "pipeline.dead_letters"
_GOOD = {
    CAPTURE: "Every event was captured.",
    LEDGER: "The ledger balances.",
    DEAD_LETTERS: "No event was put aside.",
}


def worker_monitor(kind: SketchKind) -> str:
    """Return the name of the monitor that watches a kind of worker."""
    return f"pipeline.{kind}"


def silent_workers(
    expected: Iterable[SketchKind],
    heard_ms: Mapping[tuple[SketchKind, int], int],
    *,
    now_ms: int,
    began_ms: int,
    silent_ms: int,
) -> list[Verdict]:
    """Return one verdict for each kind of worker that has been heard or must be.

    Args:
        expected: Kinds that must report.
        heard_ms: (kind, partition) -> when its last report came in.
        now_ms: The time.
        began_ms: Since when reports are listened for.
        silent_ms: For how long a partition may be silent.
    """
    verdicts = []
    kinds = {kind for kind, _ in heard_ms} | set(expected)
    for kind in sorted(kinds):
        ages = {p: now_ms - at for (of, p), at in heard_ms.items() if of == kind}
        silent = sorted(partition for partition, age in ages.items() if age > silent_ms)
        never = not ages and now_ms - began_ms > silent_ms
        if silent:
            which = ", ".join(str(partition) for partition in silent)
            state, sentence = (
                State.NO_DATA,
                (
                    f"The {kind} worker has been silent for "
                    f"{duration(max(ages.values()) / 1000)} on partition {which} of "
                    f"{READS[kind]}: nothing is tested until it reports."
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
        verdicts.append(untested_verdict(worker_monitor(kind), EVERYTHING, state, sentence, now_ms))
    return verdicts


def standing_counts(ledger: Ledger) -> dict[str, int]:
    """Return the counts that only grow, by the monitor that watches each."""
    return {
        CAPTURE: sum(sum(line.dropped.values()) for line in ledger.captures),
        LEDGER: sum(line.unaccounted for line in ledger.captures)
        + sum(line.missing for line in ledger.deliveries)
        + abs(ledger.judging.unaccounted),
        DEAD_LETTERS: sum(line.dead_lettered for line in ledger.deliveries),
    }


def lost_events(ledger: Ledger, accepted: Mapping[str, int], *, now_ms: int) -> list[Verdict]:
    """Return what is to be said of events dropped, missing or put aside.

    Args:
        ledger: The account.
        accepted: Monitor -> count that a person has acknowledged already.
        now_ms: The time.
    """
    counts = {name: n - accepted.get(name, 0) for name, n in standing_counts(ledger).items()}
    bad = {
        CAPTURE: (State.WARN, f"were dropped before they could be captured ({_reasons(ledger)})"),
        LEDGER: (State.WARN, f"are not accounted for ({_gaps(ledger)})"),
        DEAD_LETTERS: (State.INFO, "could not be processed and were put aside"),
    }
    return [
        untested_verdict(
            monitor, EVERYTHING, state, f"{count(counts[monitor])} events {what}.", now_ms
        )
        if counts[monitor] > 0
        else untested_verdict(monitor, EVERYTHING, State.OK, _GOOD[monitor], now_ms)
        for monitor, (state, what) in bad.items()
    ]


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
        f"{count(line.unaccounted)} served by {line.producer_id} were neither captured nor dropped"
        for line in ledger.captures
        if line.unaccounted
    ]
    if ledger.judging.unaccounted:
        gaps.append(f"{ledger.judging.unaccounted:+,} in the judges' sample")
    return "; ".join(gaps)


def judge_standing(verdict: Verdict, *, expected: bool) -> Verdict | None:
    """Return what a judge's own standing is, after what its monitor said.

    Args:
        verdict: Of a monitor of quality.
        expected: Whether the judge passed its anchor set at the baseline's time.

    Returns:
        None where nothing can be said: a judge that never passed is no news.
    """
    judge = verdict.monitor.partition(".")[2]
    if verdict.state == State.UNQUALIFIED and expected:
        said = (
            f"The judge {judge} no longer passes its anchor set: it has changed, or its server "
            "has; the answers need not have. It raises no alarm until it passes again."
        )
        state = State.WARN
    elif verdict.log_threshold is not None:
        state, said = State.OK, f"The judge {judge} passes its anchor set."
    else:
        return None
    return untested_verdict(f"pipeline.judge.{judge}", EVERYTHING, state, said, verdict.time_ms)


def finite_statistics(monitor: str, segment: Segment, broken: int, *, time_ms: int) -> Verdict:
    """Return whether a monitor's statistics are numbers, as a verdict on the pipeline.

    Args:
        monitor: Which monitor.
        segment: Slice of the traffic that it tests.
        broken: How many of its statistics are not finite.
        time_ms: The time.
    """
    if broken:
        state, said = (
            State.WARN,
            (
                f"Statistics of {monitor} that are not finite numbers: {broken}. It may miss "
                "changes: build and activate a new baseline, and report it if this comes back."
            ),
        )
    else:
        state, said = State.OK, f"The statistics of {monitor} are finite numbers."
    return untested_verdict(f"pipeline.statistics.{monitor}", segment, state, said, time_ms)
