"""The catalog of monitors: what each is called, and which sketches hold its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Monitor
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Sketch, SketchKind

__all__ = [
    "ALL_TRAFFIC",
    "BASELINE",
    "CAPTURE",
    "COLD_START",
    "COST_BUDGET",
    "COST_CUSTOMER",
    "COST_REQUEST",
    "COST_WORK",
    "DEAD_LETTERS",
    "DRIFT_FOLLOWUPS",
    "DRIFT_TOPICS",
    "ERRORS_RATE",
    "HALLUCINATION",
    "LATENCY_FIRST_TOKEN",
    "LATENCY_TOTAL",
    "LEDGER",
    "LOG",
    "MonitorKey",
    "baseline_kind",
    "comparison_monitor",
    "hallucination_labels",
    "hallucination_monitor",
    "judge_monitor",
    "judge_name",
    "judge_replies_monitor",
    "judged_scores",
    "language_monitor",
    "monitored_language",
    "monitored_segment",
    "monitors_in",
    "quality_monitor",
    "statistics_monitor",
    "worker_kind",
    "worker_monitor",
]

DRIFT_TOPICS: Final = Monitor("drift", "topics")
"""Of the openings of conversations, and of single requests."""
DRIFT_FOLLOWUPS: Final = Monitor("drift", "followups")
_DRIFT_LANGUAGE: Final = "language"
LATENCY_TOTAL: Final = Monitor("latency", "total")
LATENCY_FIRST_TOKEN: Final = Monitor("latency", "first_token")
ERRORS_RATE: Final = Monitor("errors", "rate")
COST_REQUEST: Final = Monitor("cost", "request")
COST_WORK: Final = Monitor("cost", "work")
"""In place of the cost of a request, where its tokens have no price."""
COST_CUSTOMER: Final = Monitor("cost", "customer")
"""Of a customer against itself a week before; without a baseline."""
COST_BUDGET: Final = Monitor("cost", "budget")
"""A fact, not a test."""
HALLUCINATION: Final = "hallucination"
"""Kind of the monitors of the share of answers with content that their context does not hold."""

COLD_START: Final = Monitor("swap", "cold_start")

CAPTURE: Final = Monitor("pipeline", "capture")
LEDGER: Final = Monitor("pipeline", "ledger")
DEAD_LETTERS: Final = Monitor("pipeline", "dead_letters")
LOG: Final = Monitor("pipeline", "log")
BASELINE: Final = Monitor("pipeline", "baseline")

ALL_TRAFFIC: Final = Segment(model="")
"""The widest segment, and the one of the pipeline's own health."""

_CHECKED = measures.grounding_checked("")
_BUILT_IN_CHECK: Final = "support"
_SCORE = measures.score("", "").partition("/")[0] + "/"
_HISTOGRAMS = {
    LATENCY_TOTAL: measures.LATENCY_MS,
    LATENCY_FIRST_TOKEN: measures.TIME_TO_FIRST_TOKEN_MS,
    COST_REQUEST: measures.COST_USD,
    COST_WORK: measures.WORK_TOKENS,
}


class MonitorKey(NamedTuple):
    """One monitor on one segment: the unit that has evidence, a verdict and an alarm."""

    monitor: Monitor
    segment: Segment


def quality_monitor(judge: str) -> Monitor:
    """Return the monitor of a judge's scores; ``judge`` is its name without specification."""
    return Monitor("quality", judge)


def hallucination_monitor(judge: str) -> Monitor:
    """Return the monitor of the answers that a judge finds unsupported.

    Example:
        >>> hallucination_monitor("support").name, hallucination_monitor("groundedness").name
        ('quality.hallucination', 'quality.hallucination.groundedness')
    """
    kind = HALLUCINATION if judge == _BUILT_IN_CHECK else f"{HALLUCINATION}.{judge}"
    return Monitor("quality", kind)


def language_monitor(language: str) -> Monitor:
    """Return the monitor of the openings in one language."""
    return Monitor("drift", _DRIFT_LANGUAGE, language)


def monitored_language(monitor: Monitor) -> str:
    """Return the language whose openings alone a monitor is of; empty for all others.

    Example:
        >>> monitored_language(language_monitor("de")), monitored_language(DRIFT_TOPICS)
        ('de', '')
    """
    is_one = monitor.signal == "drift" and monitor.kind == _DRIFT_LANGUAGE
    return monitor.subject if is_one else ""


def comparison_monitor(metric: str, subject: str = "") -> Monitor:
    """Return the monitor that compares two versions of a model by one metric."""
    return Monitor("swap", metric, subject)


def worker_monitor(kind: SketchKind) -> Monitor:
    """Return the monitor of a kind of worker's reports."""
    return Monitor("pipeline", kind)


def judge_replies_monitor(judge: str) -> Monitor:
    """Return the monitor of whether a judge gives scores that count, and why not."""
    return Monitor("pipeline", "judge_replies", judge)


def judge_monitor(judge: str) -> Monitor:
    """Return the monitor of a judge's qualification."""
    return Monitor("pipeline", "judge", judge)


def statistics_monitor(monitor: Monitor) -> Monitor:
    """Return the monitor that checks whether another monitor's statistics are finite."""
    return Monitor("pipeline", "statistics", monitor.name)


def judge_name(label: str) -> str:
    """Return a judge's name without its specification.

    Example:
        >>> judge_name(measures.judge_label("likelihood", "9f86d081884c7d65"))
        'likelihood'
    """
    return label.rpartition("@")[0] or label


def judged_scores(sketch: Sketch) -> Iterator[tuple[str, str]]:
    """Yield (judge's label, score's name) for the scores that a sketch holds."""
    for value in sketch.histograms:
        if value.startswith(_SCORE):
            label, _, name = value.removeprefix(_SCORE).partition("/")
            yield label, name


def hallucination_labels(sketch: Sketch) -> tuple[str, ...]:
    """Return the labels of the judges that held answers of a sketch against their context."""
    return tuple(name.removeprefix(_CHECKED) for name in sketch.hits if name.startswith(_CHECKED))


def worker_kind(monitor: Monitor) -> SketchKind:
    """Return the kind of worker whose sketches a monitor of rates reads."""
    if monitor.signal == "drift":
        return "drift"
    return "quality" if monitor.signal == "quality" else "vitals"


def baseline_kind(monitor: Monitor) -> BaselineKind:
    """Return the kind of baseline that a monitor is tested against."""
    return "drift" if monitor.signal == "drift" else "rates"


def monitored_segment(kind: SketchKind, segment: Segment) -> Segment:
    """Return the segment under which a sketch is tested; drift spans all versions."""
    return segment.of_all_versions if kind == "drift" else segment


def monitors_in(sketch: Sketch) -> tuple[Monitor, ...]:
    """Return the monitors for which a sketch holds numbers."""
    if sketch.kind == "drift":
        followups = measures.FOLLOWUPS + measures.EMBEDDED in sketch.hits
        languages = sorted(filter(None, map(measures.language_of, sketch.hits)))
        return (
            DRIFT_TOPICS,
            *((DRIFT_FOLLOWUPS,) if followups else ()),
            *map(language_monitor, languages),
        )
    if sketch.kind == "quality":
        judges = {judge_name(label) for label, _ in judged_scores(sketch)}
        checks = {judge_name(label) for label in hallucination_labels(sketch)}
        return (
            *(quality_monitor(judge) for judge in sorted(judges)),
            *(hallucination_monitor(judge) for judge in sorted(checks)),
        )
    present = [monitor for monitor, name in _HISTOGRAMS.items() if name in sketch.histograms]
    return (ERRORS_RATE, *present)
