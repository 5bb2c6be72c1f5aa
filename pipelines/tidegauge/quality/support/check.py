"""Checks, without a model, whether the texts that a model was given support its answer.

Two results come of it. ``unsupported`` are the numbers, dates, times, addresses, identifiers,
quotations and names of the answer that the given texts do not hold: people can look at each.
``score`` is continuous and takes every word into account: with M the weight of the answer's words
that the texts do not hold and T that of all of them, ``exp(-M / sqrt(T))``. Paraphrase leaves out
words too, and the number of words that it leaves out spreads like the square root of their
number; a word of a fact cannot be paraphrased, so it weighs more.

What this cannot see: a wrong relation between words that are all there, a negation, a number that
was computed from others, and names in scripts without capitals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.support.checked_facts import Fact, FactKind, facts_in
from tidegauge.quality.support.given import Given
from tidegauge.quality.support.proper_names import ProperName, is_capitalised
from tidegauge.quality.support.words import Word, is_content, words_in

__all__ = ["Support", "Unsupported", "check_support", "unsupported_facts"]

_FACT_WEIGHT: Final = 4.0
_OTHER_FORM: Final = 0.5
"""Share of its weight that a word counts as missing where only another form of it is held."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A fact of an answer that the given texts do not hold.

    Attributes:
        kind: What it is.
        start: Where it begins in the answer, in characters.
        end: Where it ends.
        text: The answer's text there.
    """

    kind: FactKind
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Support:
    """How far given texts support an answer.

    Attributes:
        facts: Number of facts of the answer that were checked.
        unsupported: Those that the texts do not hold, in the answer's order.
        score: In (0, 1]; 1 where the texts hold every word that carries content.
    """

    facts: int
    unsupported: tuple[Unsupported, ...]
    score: float


def check_support(answer: str, given: Iterable[str]) -> Support:
    """Check an answer against the texts that the model was given.

    Args:
        answer: The answer.
        given: The context, and what else the model was told and asked.

    Example:
        >>> context = "Returns are free for 30 days, says Ana Lima."
        >>> found = check_support("Within 1 month or 60 days, ask Ana Costa.", [context])
        >>> [(each.kind.value, each.text) for each in found.unsupported]
        [('number', '1 month'), ('number', '60 days'), ('name', 'Costa')]
    """
    held = Given(given)
    facts = list(facts_in(answer))
    unsupported = _all_unsupported(answer, facts, held)
    return Support(len(facts), unsupported, _score(answer, facts, unsupported, held))


def unsupported_facts(answer: str, given: Iterable[str]) -> tuple[Unsupported, ...]:
    """Return the facts of an answer that the given texts do not hold, in the answer's order.

    This is much faster than ``check_support`` where most facts are supported: the texts are read
    only as far as needed.

    Args:
        answer: The answer.
        given: The context, and what else the model was told and asked.
    """
    return _all_unsupported(answer, facts_in(answer), Given(given))


def _all_unsupported(answer: str, facts: Iterable[Fact], held: Given) -> tuple[Unsupported, ...]:
    found = (
        _unsupported(answer, fact, held)
        for fact in facts
        if not held.support(fact, answer[fact.start : fact.end])
    )
    return tuple(sorted(found, key=lambda each: (each.start, each.end)))


def _unsupported(answer: str, fact: Fact, held: Given) -> Unsupported:
    start, end = fact.start, fact.end
    if isinstance(fact.value, ProperName):
        missing = held.missing(fact.value)
        start, end = missing[0].start, missing[-1].end
    return Unsupported(fact.kind, start, end, answer[start:end])


def _score(
    answer: str, facts: Iterable[Fact], unsupported: Iterable[Unsupported], held: Given
) -> float:
    inside = _places(facts, len(answer))
    wrong = _places(unsupported, len(answer))
    missing = whole = 0.0
    for word in words_in(answer):
        fact = inside[word.start]
        if not fact and not is_content(word):
            continue
        weight = _FACT_WEIGHT if fact or is_capitalised(word) else 1.0
        whole += weight
        missing += weight * (_lack(word, held) if not fact else float(wrong[word.start]))
    return math.exp(-missing / math.sqrt(whole)) if whole else 1.0


def _lack(word: Word, held: Given) -> float:
    if held.words.hold_form(word):
        return 0.0
    return _OTHER_FORM if word in held.words else 1.0


def _places(spans: Iterable[Fact | Unsupported], length: int) -> bytearray:
    marked = bytearray(length)
    for span in spans:
        marked[span.start : span.end] = b"\x01" * (span.end - span.start)
    return marked
