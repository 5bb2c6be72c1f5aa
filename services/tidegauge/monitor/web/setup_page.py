"""The page of the setup as one value: what is tested, against what, and what is muted. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tidegauge.monitor.web.incident_lines import SIGNAL_NAMES
from tidegauge.monitor.web.segment_page import name
from tidegauge.monitoring.health import condition_sentence, judge_conditions
from tidegauge.monitoring.view import BaselineInUse, MonitorView, SilenceInForce
from tidegauge.reports.formatting import duration
from tidegauge.reports.standing import Standing, Tone, promise, standing
from tidegauge.reports.text import clip
from tidegauge.schemas.findings import State, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Progress

__all__ = ["JudgeLine", "SetupPage", "TestedLine", "judge_lines", "setup_page"]

_OUTCOMES = frozenset({"judge_changed", "qualification_pending", "qualified", "unqualified"})
"""What a worker's notice says of a judge; others are of its partition."""


@dataclass(frozen=True, slots=True)
class TestedLine:
    """A monitor, and on how many segments it is in which state.

    Attributes:
        monitor: Its name.
        signal: Its signal's name.
        states: State for people and number of segments, the most frequent first.
        threshold: How rarely chance alone reaches its threshold, in words; empty where it does
            not test.
        back_test: How its reference did on its own baseline; empty where unknown.
    """

    monitor: str
    signal: str
    states: tuple[tuple[Standing, int], ...]
    threshold: str
    back_test: str


@dataclass(frozen=True, slots=True)
class JudgeLine:
    """A judge and its qualification on the golden set.

    Attributes:
        judge: Its name.
        word: What came of its qualification, in a word or two.
        tone: Colour of that.
        tells: Kinds of bad answers that it tells from good ones.
        sentence: Why it gives no scores, or none that count; empty where it works.
    """

    judge: str
    word: str
    tone: Tone
    tells: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class SetupPage:
    """What is tested, against what, and what is muted.

    Attributes:
        baselines: The active baselines.
        tested: The monitors with their states.
        judges: The judges with their qualification.
        silences: Silences in force, with the segment's name.
        promise: The deployment's promise.
    """

    baselines: tuple[BaselineInUse, ...]
    tested: tuple[TestedLine, ...]
    judges: tuple[JudgeLine, ...]
    silences: tuple[tuple[SilenceInForce, str], ...]
    promise: str


def setup_page(view: MonitorView, *, false_alarm_days: float) -> SetupPage:
    """Return what is tested, against what, and what is muted.

    Args:
        view: What the monitor knows.
        false_alarm_days: The deployment's promise.
    """
    by_monitor: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in view.verdicts:
        if verdict.signal not in {"pipeline", "swap"}:
            by_monitor[verdict.monitor].append(verdict)
    return SetupPage(
        baselines=view.baselines,
        tested=tuple(_tested(monitor, found) for monitor, found in sorted(by_monitor.items())),
        judges=judge_lines(view.progress),
        silences=tuple((silence, _segment_words(silence.segment)) for silence in view.silences),
        promise=promise(false_alarm_days),
    )


def _tested(monitor: str, verdicts: Sequence[Verdict]) -> TestedLine:
    states = Counter(verdict.state for verdict in verdicts)
    means = [seconds for v in verdicts if (seconds := v.mean_seconds_to_false_alarm)]
    return TestedLine(
        monitor=monitor,
        signal=SIGNAL_NAMES[monitor.partition(".")[0]],
        states=tuple((standing(state), n) for state, n in states.most_common()),
        threshold=f"once in {duration(min(means))}" if means else "",
        back_test=clip(next((v.back_test for v in verdicts if v.back_test), ""), 400),
    )


def judge_lines(progress: Sequence[Progress]) -> tuple[JudgeLine, ...]:
    """Return the judges of the workers' reports with their qualification, by name.

    Args:
        progress: The newest report of each worker's partition.
    """
    conditions = judge_conditions(progress)
    kinds: dict[str, dict[str, None]] = defaultdict(dict)
    outcomes: dict[str, set[str]] = defaultdict(set)
    for report in progress:
        for notice in report.notices if report.kind == "quality" else ():
            what, _, rest = notice.partition(":")
            judge, _, kind = rest.partition(":")
            if judge and what in _OUTCOMES:
                outcomes[judge].add(what)
            if what == "qualified" and kind:
                kinds[judge][kind] = None
    found = []
    for judge in sorted({*outcomes, *conditions}):
        condition = conditions.get(judge)
        word, tone = _qualification(outcomes[judge])
        found.append(
            JudgeLine(
                judge=clip(judge, 60),
                word=word,
                tone=tone,
                tells=tuple(clip(kind.replace("_", " "), 40) for kind in kinds[judge]),
                sentence=clip(condition_sentence(condition), 300) if condition else "",
            )
        )
    return tuple(found)


def _qualification(outcomes: set[str]) -> tuple[str, Tone]:
    if "judge_changed" in outcomes:
        return "changed since", "warn"
    if "unqualified" in outcomes:
        return standing(State.UNQUALIFIED).word, "quiet"
    if "qualified" in outcomes:
        return "qualified", "ok"
    return "pending", "quiet"


def _segment_words(key: str) -> str:
    try:
        return name(Segment.from_key(key)).text
    except ValueError:  # a pattern
        return clip(key, 120)
