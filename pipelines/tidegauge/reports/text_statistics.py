"""Numbers that describe a text without a model or a dictionary, in any language."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["TextStatistics", "text_statistics"]

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_END = re.compile(r"[.!?\u2026]+(?=\s|$)|[\u3002\uff01\uff1f]+")
_MOST = 20_000
"""Characters that are looked at: enough for shares, whatever the length."""


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """Numbers that describe a text.

    Attributes:
        words: Runs of letters.
        sentences: Stretches that end in a full stop, a question or an exclamation mark; what
            stands after the last one counts as one, too.
        non_letters_ratio: Share of characters that are neither letters nor spaces.
    """

    words: int
    sentences: int
    non_letters_ratio: float


def text_statistics(text: str | None) -> TextStatistics | None:
    """Return numbers that describe a text, None for one without a character to see.

    Example:
        >>> text_statistics("Ok? Fine!")
        TextStatistics(words=2, sentences=2, non_letters_ratio=0.2222222222222222)
    """
    seen = (text or "")[:_MOST].strip()
    if not seen:
        return None
    others = sum(not (character.isalpha() or character.isspace()) for character in seen)
    return TextStatistics(
        words=len(_WORD.findall(seen)),
        sentences=sum(bool(part.strip()) for part in _END.split(seen)),
        non_letters_ratio=others / len(seen),
    )
