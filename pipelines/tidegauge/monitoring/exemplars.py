"""The exemplars of verdicts and alerts: listed, and replaced by ones with or without texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from tidegauge.schemas.findings import Alert, Effect, JudgedAnswers, Verdict
from tidegauge.schemas.sketches import Exemplar

__all__ = ["exemplars_of", "with_exemplars", "with_exemplars_of_alert"]

Change = Callable[[Exemplar, str], Exemplar]
"""From an exemplar and the judge whose score it shows, empty for none, to what replaces it."""


def exemplars_of(verdict: Verdict) -> Iterator[Exemplar]:
    """Yield the exemplars of a verdict, those of its judged answers first."""
    for answers in verdict.evidence:
        yield from answers.worst
        yield from answers.typical
    for effect in verdict.effects:
        yield from effect.exemplars


def with_exemplars(verdict: Verdict, change: Change) -> Verdict:
    """Return a verdict with each exemplar replaced."""
    if not any(True for _ in exemplars_of(verdict)):
        return verdict
    return msgspec.structs.replace(
        verdict,
        effects=tuple(_effect(effect, change) for effect in verdict.effects),
        evidence=tuple(_answers(answers, change) for answers in verdict.evidence),
    )


def with_exemplars_of_alert(alert: Alert, change: Change) -> Alert:
    """Return an alert with each exemplar of its verdict replaced."""
    return msgspec.structs.replace(alert, verdict=with_exemplars(alert.verdict, change))


def _effect(effect: Effect, change: Change) -> Effect:
    return msgspec.structs.replace(effect, exemplars=_changed(effect.exemplars, "", change))


def _answers(answers: JudgedAnswers, change: Change) -> JudgedAnswers:
    return msgspec.structs.replace(
        answers,
        worst=_changed(answers.worst, answers.judge, change),
        typical=_changed(answers.typical, answers.judge, change),
    )


def _changed(exemplars: Iterable[Exemplar], judge: str, change: Change) -> tuple[Exemplar, ...]:
    return tuple(change(exemplar, judge) for exemplar in exemplars)
