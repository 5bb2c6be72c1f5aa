"""Hallucination as a property of an answer: it says what its context does not hold.

An answer is looked at where its context is known in full. Where it has none, there is nothing to
hold it against; where the context was cut or redacted, what is missing in it may well have been
there. Both are counted apart, and never as supported or unsupported.

The check is the one of ``quality.support``: an answer hallucinates if a number, date, time,
address, identifier, quotation or name of it is in none of the texts that the model was given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tidegauge.quality import golden_set
from tidegauge.quality.context import GUESS, ContextRule, ContextState
from tidegauge.quality.exchange_parts import ExchangeParts, divide
from tidegauge.quality.golden_set import GoldenAnswer
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.qualification import Qualification, qualify
from tidegauge.quality.support import Unsupported, check_support, unsupported_facts
from tidegauge.schemas import measures

__all__ = [
    "KINDS",
    "LABEL",
    "NAME",
    "CheckedAnswer",
    "NotChecked",
    "check_hallucination",
    "given_texts",
    "hits_of",
    "is_unsupported",
    "qualify_check",
]

_SUPPORTED: Final = 0.5
"""Least score of groundedness with which an answer counts as supported."""

NAME: Final = "support"
"""Name of the check among the judges."""

_VERSION: Final = "1"
"""Changes with all that changes which answers are found: rates are not compared over it."""

LABEL: Final = f"{NAME}@{hashlib.sha256(f'{NAME}/{_VERSION}'.encode()).hexdigest()[:8]}"
"""The check with its version, as sketches name judges."""

KINDS: Final = (
    golden_set.UNSUPPORTED_NUMBER,
    golden_set.SWAPPED_ENTITY,
    golden_set.ADDED_CLAIM,
)
"""Kinds of bad answers that the check is qualified on."""


class NotChecked(StrEnum):
    """Why an answer was not held against its context."""

    NO_CONTEXT = "none"
    CUT = "cut"
    REDACTED = "redacted"
    NOT_CAPTURED = "not_captured"
    """The event does not carry the texts."""


_REASONS: Final = {
    ContextState.NONE: NotChecked.NO_CONTEXT,
    ContextState.CUT: NotChecked.CUT,
    ContextState.REDACTED: NotChecked.REDACTED,
}


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer that was held against its context.

    Attributes:
        question: The question.
        unsupported: Facts of the answer that none of the given texts holds.
    """

    question: str
    unsupported: tuple[Unsupported, ...]

    @property
    def hallucinated(self) -> bool:
        """Whether there is such a fact."""
        return bool(self.unsupported)


def check_hallucination(
    exchange: JudgedExchange, rule: ContextRule = GUESS
) -> CheckedAnswer | NotChecked:
    """Hold an answer against its context, or return why that cannot be done.

    Args:
        exchange: The exchange.
        rule: Which of its texts are context.
    """
    parts = divide(exchange, rule)
    reason = _REASONS.get(parts.state)
    if reason is not None:
        return reason
    return CheckedAnswer(parts.question, unsupported_facts(parts.answer, given_texts(parts)))


def hits_of(label: str, *, unsupported: bool) -> tuple[str, ...]:
    """Return the indicators that hold for an answer that was held against its context.

    Args:
        label: What held it against its context, as sketches name judges.
        unsupported: Whether the context does not support it.
    """
    checked = measures.grounding_checked(label)
    return (checked, measures.hallucinated(label)) if unsupported else (checked,)


def is_unsupported(scores: Iterable[float]) -> bool:
    """Whether scores of groundedness between 0 and 1 say that the context does not support it."""
    return min(scores) < _SUPPORTED


def given_texts(parts: ExchangeParts) -> tuple[str, ...]:
    """Return the texts that may support an answer: all that the model was given."""
    messages = (*parts.earlier, *parts.steps)
    texts = (
        *(passage.text for passage in parts.passages),
        parts.system,
        parts.question,
        *(message.content for message in messages),
        *(message.tool_calls or "" for message in messages),
    )
    return tuple(text for text in texts if text)


def qualify_check(own: Iterable[GoldenAnswer] = ()) -> Qualification:
    """Return the qualification of the check on the golden set, as for a judge.

    Args:
        own: Golden answers of a deployment, beside the built-in ones.
    """
    answers = golden_set.asked_of((*golden_set.built_in(KINDS), *own), KINDS)
    by_kind: dict[str, list[float]] = {}
    for answer in answers:
        parts = divide(answer.exchange)
        if parts.state is ContextState.GIVEN:
            found = check_support(parts.answer, given_texts(parts))
            by_kind.setdefault(answer.kind, []).append(found.score)
    good = by_kind.pop(golden_set.GOOD, [])
    return qualify(
        {NAME: good},
        {kind: {NAME: scores} for kind, scores in by_kind.items()},
        asked=len(answers),
    )
