"""Adds up the cues in an answer's opening; enough of them make a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from tidegauge.gateway.policy.checks.refusal.cues import WEIGHTS, Wordings, read_wordings

__all__ = ["LANGUAGES", "Opening", "assess", "hinted", "opening_of", "words_of"]

LANGUAGES: Final = (
    *("ar", "de", "en", "es", "fr", "hi", "it", "ja"),
    *("ko", "nl", "pl", "pt", "ru", "tr", "zh"),
)
"""ISO 639-1 codes of the languages whose refusals are recognized."""

_LEAST: Final = 2.4
"""Sum of weights from which an answer is a refusal."""
_OPENING: Final = 480
_DECISIVE: Final = 300
"""Characters in which a refusal has been said, if there is one."""
_LATER: Final = 0.55
"""Factor for rejecting, disputing or an impossibility after the first sentence, where answers
caution."""
_MOST_VALUES: Final = 1.4
_SHORTEST: Final = 12
"""Characters of a first sentence: "No." is none yet."""

_QUOTATION: Final = re.compile(
    r'"[^"\n]{1,200}"|“[^”\n]{1,200}”|„[^“”\n]{1,200}[“”]|«[^»\n]{1,200}»|「[^」\n]{1,200}」'
)
_SENTENCE_END: Final = re.compile(r"[.!?](?=\s|$)|[。!?।؟\n]")
_LIST: Final = re.compile(r":\s*\n|```|\n\s*(?:1[.)]|[-*•]) ")
_PLAIN: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "\xa0": " ", "\u202f": " ", "*": None})
_PUNCTUATION: Final = '.,;:!?()[]"“”«»„।؟،؛—\u2013¿¡-'
_BLANKS: Final = str.maketrans(dict.fromkeys(_PUNCTUATION, " "))
_ASCII_BLANKS: Final = bytes(
    ord(" ") if chr(code) in _PUNCTUATION else code for code in range(128)
).ljust(256)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the opening of an answer says.

    Attributes:
        refused: Whether the answer is a refusal.
        language: Language of the cues, an ISO 639-1 code; None without a cue.
        cues: Cue -> its part in the sum.
    """

    refused: bool
    language: str | None
    cues: dict[str, float]

    @property
    def total(self) -> float:
        """Return the sum of the cues' weights."""
        return sum(self.cues.values())


_NO_CUE: Final = Opening(refused=False, language=None, cues={})


def opening_of(text: str) -> str:
    """Return the part of an answer that is read: lower case, without what it quotes.

    Example:
        >>> opening_of("“I can't help you”, said the captain.")
        '"", said the captain.'
    """
    opening = text.lstrip()[:_OPENING].lower()
    if not opening.isascii():
        return _QUOTATION.sub('""', opening.translate(_PLAIN))
    opening = opening.replace("*", "")
    return _QUOTATION.sub('""', opening) if '"' in opening else opening


def words_of(text: str) -> list[str]:
    """Return the words of a text, without punctuation.

    Example:
        >>> words_of("No. (I can't.)")
        ['No', 'I', "can't"]
    """
    if text.isascii():  # bytes are translated in a tenth of the time
        return text.encode("ascii").translate(_ASCII_BLANKS).decode("ascii").split()
    return text.translate(_BLANKS).split()


def assess(text: str) -> Opening:
    """Return whether an answer refuses what was asked, by the wording of its opening.

    A caution before an answer, a letter that declines, a quoted refusal and "I cannot say for
    certain" are no refusals.

    Example:
        >>> assess("I can't help with that.").refused
        True
        >>> assess("I can't say for certain, but it looks like a robin.").refused
        False
    """
    opening = opening_of(text)
    best = _NO_CUE
    for wordings in hinted(opening):
        cues = _cues(wordings, opening)
        if cues and (best is _NO_CUE or sum(cues.values()) > best.total):
            best = Opening(sum(cues.values()) >= _LEAST, wordings.language, cues)
    return best


@cache
def _languages() -> dict[str, Wordings]:
    return {each.language: each for each in read_wordings()}


@cache
def _known_words() -> dict[str, tuple[str, ...]]:
    """Return the languages of each hint and common word."""
    found: dict[str, list[str]] = {}
    for each in _languages().values():
        if each.spaced:
            for word in (*each.hints, *(each.common - each.hints)):
                found.setdefault(word, []).append(each.language)
    return {word: tuple(languages) for word, languages in found.items()}


@cache
def _hints() -> frozenset[str]:
    """Return the hints of all languages that separate words by spaces."""
    return frozenset(hint for each in _languages().values() if each.spaced for hint in each.hints)


def hinted(opening: str) -> list[Wordings]:
    """Return the opening's language if it may be a refusal; several if they are as likely."""
    said = words_of(opening[:_DECISIVE])
    if len(opening) > _DECISIVE:
        del said[-1:]  # it may be the beginning of a word
    if opening.isascii() and _hints().isdisjoint(said):
        return []  # like most answers
    known = _known_words()
    words = known.keys() & said
    counts: dict[str, int] = {}
    for word in words:
        for language in known[word]:
            counts[language] = counts.get(language, 0) + 1
    if not opening.isascii():
        for each in _languages().values():
            if not each.spaced and (hints := sum(hint in opening for hint in each.hints)):
                counts[each.language] = hints
    most = max(counts.values(), default=0)
    likely = [_languages()[language] for language in sorted(counts) if counts[language] == most]
    return [each for each in likely if not each.spaced or not words.isdisjoint(each.hints)]


def _cues(wordings: Wordings, opening: str) -> dict[str, float]:
    found = _decisive_cues(wordings, opening)
    if not found:
        return found
    for match in wordings.others.finditer(opening):
        cue = match.lastgroup or ""
        if cue == "values":
            found[cue] = min(_MOST_VALUES, found.get(cue, 0.0) + WEIGHTS[cue])
        elif cue != "delivers" or "redirect" not in found:
            found[cue] = WEIGHTS[cue]
    if "redirect" not in found and _LIST.search(opening):
        found["delivers"] = WEIGHTS["delivers"]
    return found


def _decisive_cues(wordings: Wordings, opening: str) -> dict[str, float]:
    found: dict[str, float] = {}
    if not wordings.any_decisive.search(opening, 0, _DECISIVE):
        return found
    first_sentence = 0
    for match in wordings.decisive.finditer(opening, 0, _DECISIVE):
        cue = match.lastgroup or ""
        weight = WEIGHTS[cue]
        if cue in {"reject", "dispute", "impossible"}:
            first_sentence = first_sentence or _first_sentence(opening)
            if match.start() > first_sentence:
                weight *= _LATER
        if abs(weight) > abs(found.get(cue, 0.0)):
            found[cue] = weight
    return found


def _first_sentence(opening: str) -> int:
    end = _SENTENCE_END.search(opening, _SHORTEST)
    return len(opening) if end is None else end.end()
