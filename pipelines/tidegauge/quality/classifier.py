"""Classifiers as judges: what they are asked, and how their probabilities become a score.

A classifier is a model that was trained for one question, such as whether a context supports an
answer, and tells probabilities of classes: of a text (``classify``), of a pair of texts
(``score``), or of each token of a text (``tokens``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.shown_exchange import fit, refuse_cut_context
from tidegauge.quality.specifications import ClassifierSpec

__all__ = ["SUPPORT", "classifier_texts", "read_classes", "read_pair", "read_tokens"]

SUPPORT: Final = "score"
"""Name of a classifier's only score."""

_FIELD: Final = re.compile(r"\{(system|context|question|reference|answer|tool_calls)\}")


def classifier_texts(specification: ClassifierSpec, exchange: JudgedExchange) -> tuple[str, ...]:
    """Return the texts that a classifier is asked about: one, or two for a pair.

    Raises:
        ExchangeTooLongError: The question, or a context that is asked about, is too long.
    """
    parts = divide(exchange, specification.context)
    shown = fit(parts, specification.budget_tokens, reference=exchange.reference)
    texts = [specification.text] + ([specification.second] if specification.second else [])
    if any("{context}" in text for text in texts):
        refuse_cut_context(shown, specification.budget_tokens)
    fields = {name: _plain(shown.shown.get(name, "")) for name in _NAMES}
    return tuple(_FIELD.sub(lambda match: fields[match[1]], text) for text in texts)


def read_classes(specification: ClassifierSpec, probabilities: Sequence[float]) -> Score:
    """Read a score from the probabilities of a text's classes, in the model's order."""
    scores = [grade.score for grade in specification.scale]
    if len(probabilities) != len(scores) or not _are_probabilities(probabilities):
        return Score(invalid="other_classes")
    total = math.fsum(probabilities)
    mean = math.fsum(p * score for p, score in zip(probabilities, scores, strict=True)) / total
    return Score(values={SUPPORT: min(1.0, max(0.0, mean))})


def read_pair(score: float) -> Score:
    """Read the score of a pair of texts, which lies in [0, 1]."""
    if not 0 <= score <= 1:
        return Score(invalid="no_probability")
    return Score(values={SUPPORT: score})


def read_tokens(specification: ClassifierSpec, tokens: Sequence[Sequence[float]]) -> Score:
    """Read a score from the probabilities of each token's classes: the worst token counts.

    A span that a context does not support is a few tokens long, and a mean would hide it.
    """
    if not tokens:
        return Score(invalid="no_tokens")
    found = [read_classes(specification, token) for token in tokens]
    if any(score.invalid for score in found):
        return Score(invalid="other_classes")
    worst = min(score.values[SUPPORT] for score in found)
    return Score(values={SUPPORT: worst}, answer_tokens=len(tokens))


_NAMES: Final = ("system", "context", "question", "reference", "answer", "tool_calls")


def _plain(shown: str | list[str] | list[dict[str, str]]) -> str:
    if isinstance(shown, str):
        return shown
    return "\n\n".join(text for text in shown if isinstance(text, str))


def _are_probabilities(values: Sequence[float]) -> bool:
    return all(0 <= value <= 1 for value in values) and math.fsum(values) > 0
