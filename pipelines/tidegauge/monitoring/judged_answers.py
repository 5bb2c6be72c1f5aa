"""Judged answers that show what an alarm on quality stands for, with those of before beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tidegauge.monitoring.display import Display
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import JudgedAnswers
from tidegauge.schemas.sketches import Exemplar, Sketch
from tidegauge.streaming.merging import least_ranked

__all__ = ["judged_answers"]

_WORST: Final = 3
_TYPICAL: Final = 2
_SCORE: Final = measures.score("", "").partition("/")[0] + "/"
_HALLUCINATED: Final = measures.hallucinated("")


def judged_answers(
    display: Display, segment: Segment, since_ms: int, value: str
) -> tuple[JudgedAnswers, ...]:
    """Return the worst and typical answers since a change, and those of before.

    What was before is the version that answered last of all others of the model; without
    another version it is the same one, before the change.

    Args:
        display: The sketches of the display range.
        segment: The segment that alarms.
        since_ms: Start of the change, Unix milliseconds.
        value: Name of the number that changed.

    Returns:
        One value for each version; none if the number is of no judge, or no answer is kept.
    """
    if value.startswith(_HALLUCINATED):
        judge, score = value.removeprefix(_HALLUCINATED), measures.HALLUCINATION
    elif value.startswith(_SCORE):
        judge, _, score = value.removeprefix(_SCORE).rpartition("/")
    else:
        return ()
    slots = display.recent("quality", segment)
    current = [slot for slot in slots if slot.window_start_ms + slot.window_ms > since_ms]
    version, before = _before(display, segment)
    if not before:
        version, before = segment.version, [slot for slot in slots if slot not in current]
    found = (
        _answers(segment.version, current, judge, score, is_current=True),
        _answers(version, before, judge, score, is_current=False),
    )
    return tuple(answers for answers in found if answers.worst or answers.typical)


def _before(display: Display, segment: Segment) -> tuple[str, Sequence[Sketch]]:
    """Return the version that answered last beside a segment's own, with its sketches."""
    others = [
        (other.version, display.recent("quality", other))
        for other in display.segments()
        if other != segment and other.of_all_versions == segment.of_all_versions
    ]
    known = [(version, slots) for version, slots in others if slots]
    return max(known, key=lambda each: each[1][-1].window_start_ms, default=("", []))


def _answers(
    version: str, slots: Sequence[Sketch], judge: str, score: str, *, is_current: bool
) -> JudgedAnswers:
    worst = _exemplars(slots, measures.worst(judge, score))[:_WORST]
    shown = {exemplar.request_id for exemplar in worst}
    typical = [
        exemplar
        for exemplar in _exemplars(slots, measures.typical(judge, score))
        if exemplar.request_id not in shown
    ]
    return JudgedAnswers(
        version=version,
        current=is_current,
        judge=judge,
        score=score,
        worst=worst,
        typical=tuple(typical[:_TYPICAL]),
    )


def _exemplars(slots: Iterable[Sketch], name: str) -> tuple[Exemplar, ...]:
    return least_ranked(exemplar for slot in slots for exemplar in slot.exemplars.get(name, ()))
