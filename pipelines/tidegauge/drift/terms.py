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


def top_terms(groups: Sequence[Sequence[str]], *, most: int = 4) -> list[tuple[str, ...]]:
    """Return, for each group of texts, the terms that are frequent in it and rare elsewhere.

    Class-based TF-IDF: a group is one document, and a term weighs
    ``tf * log(1 + mean group size / frequency over all groups)``.

    Args:
        groups: Texts by group.
        most: How many terms to return for each.

    Source: Grootendorst, "BERTopic: neural topic modeling with a class-based TF-IDF
    procedure" (2022), section 3.3.

    Example:
        >>> top_terms([["lost my card", "card stolen"], ["book a flight", "flight home"]], most=1)
        [('card',), ('flight',)]
    """
    counts = [Counter(term for text in texts for term in set(_terms(text))) for texts in groups]
    overall: Counter[str] = Counter()
    for count in counts:
        overall.update(count)
    size = sum(overall.values()) / max(len(groups), 1)
    found = []
    for count in counts:
        weights = {term: tf * log(1 + size / overall[term]) for term, tf in count.items()}
        best = sorted(weights, key=lambda term: (-weights[term], term))
        found.append(tuple(best[:most]))
    return found


def _terms(text: str) -> list[str]:
    words = (match.group()[:_LONGEST] for match in _TERM.finditer(text.lower()))
    return [word for word in words if word not in STOP_WORDS and len(word) > 1]
