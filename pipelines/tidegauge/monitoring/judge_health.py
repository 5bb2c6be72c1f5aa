"""The judges' health: a judge that stops is an alarm, and says why in its server's words.

What a judge worker says of its judges are facts, not statistical tests: they use none of the
false-alarm budget, and their alarms end by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tidegauge.monitoring.catalog import (
    ALL_TRAFFIC,
    MonitorKey,
    judge_monitor,
    judge_replies_monitor,
)
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.schemas.findings import Monitor, State, Verdict
from tidegauge.schemas.sketches import JudgeCondition, JudgeState, Progress

__all__ = ["condition_sentence", "judge_conditions", "judge_qualification", "judge_replies"]

_WHAT: Final[Mapping[JudgeState, str]] = {
    JudgeState.UNREACHABLE: "cannot be reached",
    JudgeState.LATE: "answers too late",
    JudgeState.REFUSED: "is refused by its server",
    JudgeState.FAILING: "fails on its server",
    JudgeState.CANNOT_BE_ASKED: "cannot be asked",
    JudgeState.INVALID: "gives replies without a valid score",
    JudgeState.CUT_OFF: "is cut off before its grade",
    JudgeState.TOO_OLD: "gets the answers too late",
    JudgeState.UNQUALIFIED: "is not qualified",
}
_QUALIFIED: Final = "qualified:"


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
