"""Judges' scores in a ``quality`` sketch, by judge and score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming.merging import NO_NUMBERS, mean

__all__ = ["Estimate", "Judged", "ScoreSummary", "quality"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A weighted mean with its interval.

    Attributes:
        mean: Estimate over all answers, judged or not; None without any.
        low: Lower end of the 95% interval; None without an interval.
        high: Upper end.
        effective: Equivalent number of independent, equally weighted answers.
        early: Whether the interval is valid for a single look only, since answers are few.
    """

    mean: float | None
    low: float | None
    high: float | None
    effective: float
    early: bool = False


Estimator = Callable[[Sketch, str, str], Estimate]
"""Computes the mean of a score from a sketch, the judge's label and the score's name."""


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """One of a judge's scores over all answers."""

    name: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Judged:
    """One judge with one specification.

    Attributes:
        label: ``judge@hash``.
        name: The judge's name.
        specification_hash: Short hash of its specification.
        judged: Answers scored.
        share: Share of judged answers; None if the number of answers is not known.
        invalid: Answers on which it gave no usable verdict.
        qualified: Whether it may alarm; None if not known.
        answer_tokens: Mean tokens of the answers scored.
        scores: Its scores in order of name.
        jury: Answers that its jury graded, too.
        disagreement: Mean over them of the largest difference between two scores; None without.
        conversations: Whether it scores whole conversations: they are what is counted then.
        censored: Conversations scored that may have gone on.
    """

    label: str
    name: str
    specification_hash: str
    judged: int
    share: float | None
    invalid: int
    qualified: bool | None
    answer_tokens: float | None
    scores: tuple[ScoreSummary, ...]
    jury: int = 0
    disagreement: float | None = None
    conversations: bool = False
    censored: int = 0


def quality(sketch: Sketch, answers: int | None, estimator: Estimator) -> tuple[Judged, ...]:
    """Return one entry for each judge and specification in the sketch, in order of name.

    Args:
        sketch: A ``quality`` sketch.
        answers: Answers in the same time range, judged or not.
        estimator: Computes a score's mean.
    """
    labels = {_label(name, measures.weight("")) for name in sketch.moments}
    labels |= {_label(name, measures.invalid("")) for name in (*sketch.hits, *sketch.trials)}
    return tuple(_judged(label, sketch, answers, estimator) for label in sorted(labels - {""}))


def _label(name: str, prefix: str) -> str:
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


def _judged(label: str, sketch: Sketch, answers: int | None, estimator: Estimator) -> Judged:
    weights = sketch.moments.get(measures.weight(label), NO_NUMBERS)
    prefix = measures.weighted(label, "")
    names = sorted(name.removeprefix(prefix) for name in sketch.moments if name.startswith(prefix))
    scores = tuple(
        ScoreSummary(
            name,
            estimator(sketch, label, name),
        )
        for name in names
    )
    apart = sketch.moments.get(measures.disagreement(label), NO_NUMBERS)
    conversations = measures.censored(label) in sketch.trials
    asked = sketch.trials.get(measures.unqualified(label), 0)
    name, _, specification_hash = label.partition("@")
    return Judged(
        label=label,
        name=name,
        specification_hash=specification_hash,
        judged=weights.n,
        share=min(1.0, weights.n / answers) if answers and not conversations else None,
        invalid=sketch.hits.get(measures.invalid(label), 0),
        qualified=sketch.hits.get(measures.unqualified(label), 0) == 0 if asked else None,
        answer_tokens=mean(sketch.moments.get(measures.answer_tokens(label), NO_NUMBERS)),
        scores=scores,
        jury=apart.n,
        disagreement=mean(apart),
        conversations=conversations,
        censored=sketch.hits.get(measures.censored(label), 0),
    )
