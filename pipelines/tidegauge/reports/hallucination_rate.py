"""How many answers say what their context does not hold, and of how many that is known."""

from __future__ import annotations

from dataclasses import dataclass

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.detection.random_groups import ratio_variance
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

__all__ = ["ContextCounts", "Hallucination", "context_counts", "hallucinations"]

_ALPHA = 0.05
_GIVEN = "given"
_NONE = "none"


@dataclass(frozen=True, slots=True)
class ContextCounts:
    """Answers by what is known of their context.

    Attributes:
        answers: All answers that were looked at.
        with_context: Those whose context is known in full.
        without_context: Those that had none.
        not_measured: Reason, such as ``cut`` or ``redacted`` -> answers of which it is unknown.
        share: Share with a context among those of which it is known whether they had one; None
            where that is known of none.
    """

    answers: int
    with_context: int
    without_context: int
    not_measured: dict[str, int]
    share: float | None


@dataclass(frozen=True, slots=True)
class Hallucination:
    """The share of answers that say what their context does not hold.

    Attributes:
        label: ``judge@hash`` of what held them against their context.
        name: Its name.
        checked: Answers that were held against their context.
        unsupported: Those with something that it does not hold.
        rate: Their share; None without checked answers, never 0.
        low: Lower end of its 95% interval, valid for one look, over conversations as clusters;
            None without checked answers.
        high: Upper end.
        qualified: Whether it may alarm, by its golden set.
    """

    label: str
    name: str
    checked: int
    unsupported: int
    rate: float | None
    low: float | None
    high: float | None
    qualified: bool


def context_counts(sketch: Sketch) -> ContextCounts | None:
    """Return the answers of a ``quality`` sketch by their context; None if nothing was counted."""
    counts = sketch.totals.get(measures.CONTEXT, {})
    if not counts:
        return None
    given, none = counts.get(_GIVEN, 0), counts.get(_NONE, 0)
    return ContextCounts(
        answers=sum(counts.values()),
        with_context=given,
        without_context=none,
        not_measured={
            reason: n for reason, n in sorted(counts.items()) if reason not in {_GIVEN, _NONE}
        },
        share=given / (given + none) if given + none else None,
    )


def hallucinations(sketch: Sketch) -> tuple[Hallucination, ...]:
    """Return one entry for each judge that held answers against their context, by its label."""
    prefix = measures.grounding_checked("")
    labels = sorted(name.removeprefix(prefix) for name in sketch.hits if name.startswith(prefix))
    return tuple(_of(label, sketch) for label in labels)


def _of(label: str, sketch: Sketch) -> Hallucination:
    checked = sketch.hits[measures.grounding_checked(label)]
    unsupported = sketch.hits.get(measures.hallucinated(label), 0)
    low, high = _interval(label, sketch, unsupported, checked) if checked else (None, None)
    return Hallucination(
        label=label,
        name=label.partition("@")[0],
        checked=checked,
        unsupported=unsupported,
        rate=unsupported / checked if checked else None,
        low=low,
        high=high,
        qualified=not sketch.hits.get(measures.unqualified(label), 0),
    )


def _interval(label: str, sketch: Sketch, unsupported: int, checked: int) -> tuple[float, float]:
    """Return Clopper and Pearson's interval at the effective number of answers.

    That is ``p (1 - p) / variance`` with the variance between groups of conversations, at most
    the number of answers, and at least that of the groups.
    """
    groups = sketch.totals.get(measures.cluster_checked(label), {})
    found = sketch.totals.get(measures.cluster_hallucinated(label), {})
    rate, effective = unsupported / checked, float(checked)
    if groups and 0 < rate < 1 and (variance := ratio_variance(found, groups)) > 0:
        effective = min(effective, max(float(len(groups)), rate * (1 - rate) / variance))
        effective = min(effective, float(checked))
    low, high = clopper_pearson(rate * effective, effective, alpha=_ALPHA)
    return float(low), float(high)
