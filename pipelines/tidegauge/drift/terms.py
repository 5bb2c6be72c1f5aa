"""Terms that describe a cluster: those that set it apart from the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log

from tidegauge.drift.descriptors import STOP_WORDS

__all__ = ["top_terms"]

_TERM = re.compile(r"[^\W\d_](?:[\w'-]*\w)?")
_LONGEST = 40
_SHARED = 5
_COPIES = 20


def top_terms(
    groups: Sequence[Sequence[str]], *, most: int = 4, shared: int = _SHARED
) -> list[tuple[str, ...]]:
    """Return, for each group of texts, the terms that are frequent in it and rare elsewhere.

    Class-based TF-IDF: a group is one document, and a term weighs
    ``tf * log(1 + mean group size / frequency over all groups)``.

    Terms are kept for longer than texts and shown to those who may not read texts, so a term has
    to occur in several different texts, or in one that came 20 times, as a button sends it.

    Args:
        groups: Texts by group.
        most: How many terms to return for each.
        shared: How many different texts have to hold a term.

    Source: Grootendorst, "BERTopic: neural topic modeling with a class-based TF-IDF
    procedure" (2022), section 3.3.

    Example:
        >>> texts = [["lost my card", "card stolen"], ["book a flight", "flight home"]]
        >>> top_terms(texts, shared=2)
        [('card',), ('flight',)]
    """
    copies = Counter(text for texts in groups for text in texts)
    known: Counter[str] = Counter()
    for text, number in copies.items():
        weight = 1 if number < _COPIES else shared
        known.update(dict.fromkeys(_terms(text), weight))
    counts = [Counter(term for text in texts for term in set(_terms(text))) for texts in groups]
    overall: Counter[str] = Counter()
    for count in counts:
        overall.update(count)
    size = sum(overall.values()) / max(len(groups), 1)
    found = []
    for count in counts:
        weights = {term: tf * log(1 + size / overall[term]) for term, tf in count.items()}
        told = (term for term in weights if known[term] >= shared)
        best = sorted(told, key=lambda term: (-weights[term], term))
        found.append(tuple(best[:most]))
    return found


def _terms(text: str) -> list[str]:
    words = (match.group()[:_LONGEST] for match in _TERM.finditer(text.lower()))
    return [word for word in words if word not in STOP_WORDS and len(word) > 1]
