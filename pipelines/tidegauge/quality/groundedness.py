"""Groundedness by likelihood: how much of an answer its context explains to a language model.

With ``c_t = log p(token t | context, question, answer so far)`` and ``u_t`` the same without the
context, two numbers are read:

- ``explained = 1 - sum(c) / sum(u)``: the share of the answer's information, in nats, that the
  context takes away. It is a ratio, so neither the answer's length nor the model's scale
  matters much.
- ``lowest``: the mean of the lowest tenth of the ``c_t``. The evidence of an unsupported span
  stands at its first tokens, which an average over the answer hides.

A small model copies well and reasons badly, so both are added to the log of the score that the
check without a model gives (``quality.support``), in which a single unsupported name weighs
about 1. The weights are fixed: they give the three numbers their order (the check, then
``explained``, then ``lowest``), and were not fitted to labelled answers.

Source: the share of uncertainty explained is Theil's coefficient of uncertainty, "On the
estimation of relationships involving qualitative variables", American Journal of Sociology 76
(1970).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.exchange_parts import ExchangeParts
from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.likelihood import ScoredToken, answer_likelihoods
from tidegauge.quality.specifications import GroundednessSpec, shortened
from tidegauge.quality.support import Support
from tidegauge.quality.support.words import is_content, words_in
from tidegauge.schemas.exchange import Message

__all__ = [
    "GROUNDEDNESS",
    "Explained",
    "closest",
    "groundedness",
    "questions",
    "read_explained",
]

GROUNDEDNESS: Final = "groundedness"

_SENTENCE_END: Final = re.compile("(?<=[.!?\\n])\\s+|(?<=[\u3002\uff01\uff1f])")
_EXPLAINED_WEIGHT: Final = 2.0
_LOWEST_WEIGHT: Final = 0.1
_LOWEST_SHARE: Final = 0.1
_FLOOR: Final = -20.0
"""Nats below which a token is no more surprising: one odd token does not decide alone."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What a context explains of an answer.

    Attributes:
        share: Share of the answer's information that the context takes away; below 0 where the
            context makes the answer less likely.
        lowest: Mean of the lowest tenth of the tokens' log-probabilities with the context, nats.
        tokens: Tokens of the answer.
    """

    share: float
    lowest: float
    tokens: int


def questions(
    specification: GroundednessSpec, parts: ExchangeParts
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Return the conversation with the context and without it, the answer last in both."""
    asked = shortened(
        parts.question.strip() or specification.question, specification.question_bytes
    )
    context = closest(parts.context, parts.answer, specification.context_bytes)
    answer = shortened(parts.answer.strip(), specification.answer_bytes)
    last = Message(role="assistant", content=answer)
    system = Message(role="system", content="")
    with_context = Message(role="user", content=f"{context}\n\n{asked}")
    return (system, with_context, last), (system, Message(role="user", content=asked), last)


def closest(context: str, answer: str, most_bytes: int) -> str:
    """Return the sentences of a context that share most words with an answer, in their order.

    A context that is short enough is returned whole.

    Example:
        >>> closest("Tea is hot. Ice is cold. Rain is wet.", "The ice is very cold.", 14)
        'Ice is cold.'
    """
    text = context.strip()
    if len(text.encode(errors="replace")) <= most_bytes:
        return text
    asked = {word.form for word in words_in(answer) if is_content(word)}
    sentences = [each for each in _SENTENCE_END.split(text) if each.strip()]
    shared = [len(asked & {word.form for word in words_in(each)}) for each in sentences]
    kept: set[int] = set()
    room = most_bytes
    for place in sorted(range(len(sentences)), key=lambda place: (-shared[place], place)):
        size = len(sentences[place].encode(errors="replace")) + 1
        if size <= room:
            kept.add(place)
            room -= size
    return " ".join(sentences[place] for place in sorted(kept)) or shortened(text, most_bytes)


def read_explained(
    with_context: Sequence[ScoredToken], without: Sequence[ScoredToken], *, start: int
) -> Explained | Score:
    """Read what the context explains from the two texts' tokens.

    Args:
        with_context: Tokens of the conversation with the context and the answer.
        without: Tokens of the conversation without it and the answer.
        start: Place of the answer's first token in the second text.

    Returns:
        What is explained; a score that says why that cannot be read.
    """
    found = answer_likelihoods(with_context, without, start=start)
    if isinstance(found, Score):
        return found
    given, alone = ([max(_FLOOR, each) for each in numbers] for numbers in found)
    information = math.fsum(alone)
    lowest = sorted(given)[: math.ceil(_LOWEST_SHARE * len(given))]
    return Explained(
        share=1 - math.fsum(given) / information if information else 0.0,
        lowest=math.fsum(lowest) / len(lowest),
        tokens=len(given),
    )


def groundedness(support: Support, explained: Explained) -> float:
    """Return an answer's groundedness by likelihood and by the check together, in (0, 1).

    Example:
        >>> grounded = groundedness(Support(3, (), 1.0), Explained(0.5, -6.0, 20))
        >>> invented = groundedness(Support(3, (), 0.2), Explained(0.3, -9.0, 20))
        >>> round(grounded, 2), round(invented, 2)
        (0.8, 0.29)
    """
    sum_of_all = (
        math.log(support.score)
        + _EXPLAINED_WEIGHT * max(-1.0, explained.share)
        + _LOWEST_WEIGHT * explained.lowest
    )
    return 1 / (1 + math.exp(-1 - sum_of_all))
