"""Classifiers as judges: what they are asked, and how their probabilities become a score.

A classifier is a model that was trained for one question, such as whether a context supports an
answer, and tells probabilities of classes: of a text (``classify``), of a pair of texts
(``score``), or of each token of a text (``tokens``).

The exchange is untrusted: marks that a tokenizer would take for its own (``[SEP]``, ``</s>``,
``<|end|>``) are broken in it, so that only the template sets them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.likelihood import other_answer
from tidegauge.quality.shown_exchange import fit, refuse_cut_context
from tidegauge.quality.specifications import VOTE, ClassifierSpec

__all__ = [
    "SUPPORT",
    "AnswerTokens",
    "answer_tokens",
    "classifier_texts",
    "probe_text",
    "read_classes",
    "read_pair",
    "read_tokens",
    "worst_spans",
]

SUPPORT: Final = "score"
"""Name of a classifier's only score."""

_FIELD: Final = re.compile(r"\{(system|context|question|reference|answer|tool_calls)\}")
_MARK: Final = re.compile(
    r"\[(?=/?[A-Z_]+\])|<(?=\||/?(?:s|bos|eos|cls|sep|pad|unk|mask|\w+_of_\w+)>)"
)
"""Where a tokenizer's mark begins."""
_MOST_SPANS: Final = 3


@dataclass(frozen=True, slots=True)
class AnswerTokens:
    """A text's tokens, and which of them are the answer's.

    Attributes:
        numbers: Numbers of all tokens in the vocabulary.
        start: Place of the answer's first token.
        stop: Place after its last one.
    """

    numbers: tuple[int, ...]
    start: int
    stop: int


def classifier_texts(specification: ClassifierSpec, exchange: JudgedExchange) -> tuple[str, ...]:
    """Return the texts that a classifier is asked about: one, or two for a pair.

    Raises:
        ExchangeTooLongError: The question, or a context that is asked about, is too long.
    """
    fields = _fields(specification, exchange)
    texts = [specification.text] + ([specification.second] if specification.second else [])
    return tuple(_FIELD.sub(lambda match: fields[match[1]], text) for text in texts)


def probe_text(specification: ClassifierSpec, exchange: JudgedExchange) -> str:
    """Return the text with another answer, which shares no character with its ends.

    Raises:
        ExchangeTooLongError: As of ``classifier_texts``.
    """
    fields = _fields(specification, exchange)
    fields["answer"] = other_answer(fields["answer"])
    return _FIELD.sub(lambda match: fields[match[1]], specification.text)


def answer_tokens(numbers: Sequence[int], probed: Sequence[int]) -> AnswerTokens:
    """Find an answer's tokens in a text: those that another answer changes.

    Tokens are compared, not counted: what a tokenizer adds at the ends, and where it joins an
    answer to its neighbours, is its own affair.

    Args:
        numbers: Tokens of the text.
        probed: Tokens of ``probe_text``.

    Example:
        >>> answer_tokens([2, 7, 3, 8, 9, 3], [2, 7, 3, 5, 3])
        AnswerTokens(numbers=(2, 7, 3, 8, 9, 3), start=3, stop=5)
    """
    start = _alike(numbers, probed, min(len(numbers), len(probed)))
    most = min(len(numbers), len(probed)) - start
    return AnswerTokens(
        tuple(numbers), start, len(numbers) - _alike(numbers[::-1], probed[::-1], most)
    )


def read_classes(
    specification: ClassifierSpec, probabilities: Sequence[float], label: str | None = None
) -> Score:
    """Read a score from the probabilities of a text's classes, in the model's order.

    Args:
        specification: The judge's specification.
        probabilities: The classes' probabilities, shape (classes,).
        label: The model's name for the likeliest class. Where the scale has that name for another
            class, its order is not the model's, and there is no score.
    """
    scores = [grade.score for grade in specification.scale]
    if len(probabilities) != len(scores) or not _are_probabilities(probabilities):
        return Score(invalid="other_classes")
    if label is not None:
        named = [grade.label.casefold() for grade in specification.scale]
        likeliest = max(range(len(scores)), key=probabilities.__getitem__)
        if label.casefold() in named and named[likeliest] != label.casefold():
            return Score(invalid="other_order")
    total = math.fsum(probabilities)
    mean = math.fsum(p * score for p, score in zip(probabilities, scores, strict=True)) / total
    return Score(values={SUPPORT: min(1.0, max(0.0, mean))})


def read_pair(score: float) -> Score:
    """Read the score of a pair of texts, which lies in [0, 1]."""
    if not 0 <= score <= 1:
        return Score(invalid="no_probability")
    return Score(values={SUPPORT: score})


def read_tokens(specification: ClassifierSpec, tokens: Sequence[Sequence[float]]) -> Score:
    """Read a score from the probabilities of each of the answer's tokens: the worst one counts.

    A span that a context does not support is a few tokens long, and a mean would hide it.
    """
    if not tokens:
        return Score(invalid="no_answer_tokens")
    found = [read_classes(specification, token) for token in tokens]
    if any(score.invalid for score in found):
        return Score(invalid="other_classes")
    worst = min(score.values[SUPPORT] for score in found)
    return Score(values={SUPPORT: worst}, answer_tokens=len(tokens))


def worst_spans(
    specification: ClassifierSpec, tokens: Sequence[Sequence[float]]
) -> list[tuple[int, int]]:
    """Return the first and last place, exclusive, of spans of bad tokens, in order of the text.

    They are the few spans with the worst tokens; a token is bad below a score of .5.

    Args:
        specification: The judge's specification.
        tokens: Probabilities of the answer's tokens, as ``read_tokens`` has read them.
    """
    scores = [read_classes(specification, token).values[SUPPORT] for token in tokens]
    starts = [n for n, x in enumerate(scores) if x < VOTE and (n == 0 or scores[n - 1] >= VOTE)]
    spans = [
        (start, next((n for n in range(start, len(scores)) if scores[n] >= VOTE), len(scores)))
        for start in starts
    ]
    return sorted(sorted(spans, key=lambda span: min(scores[slice(*span)]))[:_MOST_SPANS])


_NAMES: Final = ("system", "context", "question", "reference", "answer", "tool_calls")


def _fields(specification: ClassifierSpec, exchange: JudgedExchange) -> dict[str, str]:
    parts = divide(exchange, specification.context)
    shown = fit(parts, specification.budget_tokens, reference=exchange.reference)
    if any("{context}" in text for text in (specification.text, specification.second)):
        refuse_cut_context(shown, specification.budget_tokens)
    return {name: _unmarked(_plain(shown.shown.get(name, ""))) for name in _NAMES}


def _unmarked(text: str) -> str:
    return _MARK.sub(lambda match: f"{match[0]} ", text)


def _alike(a: Sequence[int], b: Sequence[int], most: int) -> int:
    return next((place for place in range(most) if a[place] != b[place]), most)


def _plain(shown: str | list[str] | list[dict[str, str]]) -> str:
    if isinstance(shown, str):
        return shown
    return "\n\n".join(text for text in shown if isinstance(text, str))


def _are_probabilities(values: Sequence[float]) -> bool:
    return all(0 <= value <= 1 for value in values) and math.fsum(values) > 0
