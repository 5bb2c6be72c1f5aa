"""The monitors: their names, the signal each belongs to, and where its numbers lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Signal
from tidegauge.schemas.sketches import Sketch, SketchKind

__all__ = [
    "COST_REQUEST",
    "DRIFT_TOPICS",
    "ERRORS_RATE",
    "EVERYTHING",
    "LATENCY_FIRST_TOKEN",
    "LATENCY_TOTAL",
    "judge_name",
    "judged_scores",
    "kind_of",
    "monitors_in",
    "quality_monitor",
    "scope",
    "signal_of",
]

DRIFT_TOPICS: Final = "drift.topics"
LATENCY_TOTAL: Final = "latency.total"
LATENCY_FIRST_TOKEN: Final = "latency.first_token"  # noqa: S105 - tokens of text
ERRORS_RATE: Final = "errors.rate"
COST_REQUEST: Final = "cost.request"

EVERYTHING: Final = Segment(model="")
"""All traffic: the widest segment, and the one of the pipeline's own health."""

_QUALITY = "quality."
_SCORE = measures.score("", "").partition("/")[0] + "/"
_VALUES = {
    LATENCY_TOTAL: measures.LATENCY_MS,
    LATENCY_FIRST_TOKEN: measures.TIME_TO_FIRST_TOKEN_MS,
    COST_REQUEST: measures.COST_USD,
}


def quality_monitor(judge: str) -> str:
    """Return the name of the monitor that reads a judge's scores; ``judge`` has no epoch."""
    return f"{_QUALITY}{judge}"


def judge_name(label: str) -> str:
    """Return a judge's name without its epoch.

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


def signal_of(monitor: str) -> Signal:
    """Return the signal that a monitor belongs to: the first word of its name.

    Example:
        >>> signal_of("quality.likelihood")
        'quality'
    """
    word = monitor.partition(".")[0]
    for signal in get_args(Signal):
        if word == signal:
            return signal  # type: ignore[no-any-return] # get_args gives the literals as Any
    msg = f"no signal in the monitor's name {monitor!r}"
    raise ValueError(msg)


def kind_of(monitor: str) -> SketchKind:
    """Return which worker's sketches a monitor of rates reads."""
    signal = signal_of(monitor)
    return "drift" if signal == "drift" else "quality" if signal == "quality" else "vitals"


def scope(kind: SketchKind, segment: Segment) -> Segment:
    """Return the segment that is tested in a sketch's segment's name."""
    return segment.of_all_versions if kind == "drift" else segment


def monitors_in(sketch: Sketch) -> tuple[str, ...]:
    """Return the monitors that have something to say of a sketch."""
    if sketch.kind == "drift":
        return (DRIFT_TOPICS,)
    if sketch.kind == "quality":
        judges = {judge_name(label) for label, _ in judged_scores(sketch)}
        return tuple(quality_monitor(judge) for judge in sorted(judges))
    present = [name for name, value in _VALUES.items() if value in sketch.histograms]
    return (ERRORS_RATE, *present)
