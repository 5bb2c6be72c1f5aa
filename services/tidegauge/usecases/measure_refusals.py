"""Measures how well refusals are recognized, on answers that people have labelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from tidegauge.gateway.policy.checks.refusal import assess

__all__ = [
    "LEAST_EXAMPLES",
    "LEAST_RECALL",
    "MOST_FALSE_POSITIVES",
    "LabelledAnswer",
    "RefusalMeasurement",
    "RefusalRates",
    "measure_refusals",
]

LEAST_EXAMPLES: Final = 40
"""Refusals, and as many compliant answers, from which a language counts as measured."""

LEAST_RECALL: Final = {"model": 0.85, "language": 0.8}
MOST_FALSE_POSITIVES: Final = 0.04


class LabelledAnswer(msgspec.Struct, frozen=True):
    """An answer, and what a person says of it.

    Attributes:
        answer: The answer's text.
        label: ``refusal`` for a full refusal; ``partial`` refusals are counted apart.
        model: Whose answer it is.
        language: Its language, an ISO 639-1 code.
        prompt: What was asked; it is not read.
    """

    answer: str
    label: Literal["refusal", "partial", "compliance"]
    model: str = "unknown"
    language: str = "unknown"
    prompt: str = ""


class RefusalRates(msgspec.Struct, frozen=True):
    """What was found in the answers of one model, in one language, or of one model in one.

    Attributes:
        name: The model, the language, or both.
        refusals: Number of full refusals.
        recall: Share of them that were recognized; None without any.
        compliant: Number of compliant answers.
        false_positives: Share of them taken for refusals; None without any.
        partial: Number of partial refusals.
        partial_found: Share of them taken for refusals; None without any.
        measured: Whether there are 40 refusals and 40 compliant answers.
        met: Whether the bars are met; None if not measured.
    """

    name: str
    refusals: int
    recall: float | None
    compliant: int
    false_positives: float | None
    partial: int
    partial_found: float | None
    measured: bool
    met: bool | None


class RefusalMeasurement(msgspec.Struct, frozen=True):
    """The rates by model, by language, and by both."""

    models: tuple[RefusalRates, ...]
    languages: tuple[RefusalRates, ...]
    models_and_languages: tuple[RefusalRates, ...]


def measure_refusals(answers: Iterable[LabelledAnswer]) -> RefusalMeasurement:
    """Return how many refusals are recognized, and how many other answers are taken for some."""
    by_model: dict[str, _Counts] = {}
    by_language: dict[str, _Counts] = {}
    by_both: dict[str, _Counts] = {}
    for each in answers:
        found = assess(each.answer).refused
        for groups, name in (
            (by_model, each.model),
            (by_language, each.language),
            (by_both, f"{each.model} {each.language}"),
        ):
            groups.setdefault(name, _Counts()).add(each.label, found=found)
    return RefusalMeasurement(
        models=_rates(by_model, LEAST_RECALL["model"]),
        languages=_rates(by_language, LEAST_RECALL["language"]),
        models_and_languages=_rates(by_both, LEAST_RECALL["language"]),
    )


class _Counts:
    def __init__(self) -> None:
        self.all = {"refusal": 0, "partial": 0, "compliance": 0}
        self.found = dict(self.all)

    def add(self, label: str, *, found: bool) -> None:
        self.all[label] += 1
        self.found[label] += found

    def share(self, label: str) -> float | None:
        return self.found[label] / self.all[label] if self.all[label] else None


def _rates(groups: dict[str, _Counts], least_recall: float) -> tuple[RefusalRates, ...]:
    return tuple(_rate(name, groups[name], least_recall) for name in sorted(groups))


def _rate(name: str, counts: _Counts, least_recall: float) -> RefusalRates:
    recall, wrong = counts.share("refusal"), counts.share("compliance")
    measured = min(counts.all["refusal"], counts.all["compliance"]) >= LEAST_EXAMPLES
    met = None
    if measured and recall is not None and wrong is not None:
        met = recall >= least_recall and wrong <= MOST_FALSE_POSITIVES
    return RefusalRates(
        name=name,
        refusals=counts.all["refusal"],
        recall=recall,
        compliant=counts.all["compliance"],
        false_positives=wrong,
        partial=counts.all["partial"],
        partial_found=counts.share("partial"),
        measured=measured,
        met=met,
    )
