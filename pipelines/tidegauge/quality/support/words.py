"""Words of a text: where they stand, how they are compared, and whether they carry content."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tidegauge.quality.support.vocabulary import COMMON

__all__ = ["Word", "Words", "folded", "is_common", "is_content", "words_in"]

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019\u02bc][^\W\d_]+)*")
# Han, kana, Thai, Lao, Khmer and Burmese write no spaces: their words are compared by pairs of
# characters.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)
_APOSTROPHE: Final = re.compile("['\u2019\u02bc]")
_LONGEST: Final = 48
"""Characters of a word that are compared."""
_SHORTEST_STEM: Final = 4
_ENDING: Final = 3
"""Characters of a word's end that inflection may change."""
_SHORTEST_CONTENT: Final = 3


class Word(NamedTuple):
    """A word in its text.

    Attributes:
        text: As it is written.
        start: Where it begins, in characters.
        form: How it is compared: without case, accents and possessive endings.
    """

    text: str
    start: int
    form: str

    @property
    def end(self) -> int:
        """Return where it ends."""
        return self.start + len(self.text)


class Words:
    """The words of texts, to be asked whether they hold a word in one of its forms.

    A word is held if its form is, or if both share a stem: the same beginning, at least four
    characters long, with at most three more characters on either side. So ``America`` holds
    ``American`` and ``Москва`` holds ``Москве``, without a model or a table of endings.
    """

    def __init__(self, words: Iterable[Word]) -> None:
        self._forms: set[str] = set()
        self._stems: set[str] = set()
        for word in words:
            if word.form not in self._forms:
                self._forms.add(word.form)
                self._stems.update(_stems(word.form))

    def __contains__(self, word: object) -> bool:
        """Whether a word, or another form of it, is held."""
        if not isinstance(word, Word):
            return False
        return word.form in self._forms or any(stem in self._stems for stem in _stems(word.form))

    def hold_form(self, word: Word) -> bool:
        """Whether a word is held in this very form."""
        return word.form in self._forms


def words_in(text: str) -> Iterator[Word]:
    """Yield the words of a text; in scripts without spaces, each pair of characters.

    Example:
        >>> [word.form for word in words_in("Zoë's café")]
        ['zoe', 'cafe']
        >>> [word.text for word in words_in("東京都 is")]
        ['東京', '京都', 'is']
    """
    for match in _WORD.finditer(text):
        yield from _parts(match.group(), match.start())


def folded(text: str) -> str:
    """Return a text without case and accents, in the compatible form of its characters.

    Example:
        >>> folded("\uff23afé STRASSE")
        'cafe strasse'
    """
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


def is_content(word: Word) -> bool:
    """Whether a word carries content: it is not one of the common words of a language."""
    if _UNSPACED.match(word.text):
        return True
    return len(word.form) >= _SHORTEST_CONTENT and not is_common(word)


def is_common(word: Word) -> bool:
    """Whether a word, or what stands before its apostrophe, is common in a language.

    Example:
        >>> [is_common(word) for word in words_in("I'm Ana's")]
        [True, False]
    """
    text = word.text.lower()
    return text in COMMON or _APOSTROPHE.split(text, maxsplit=1)[0] in COMMON


def _parts(text: str, start: int) -> Iterator[Word]:
    if text.isascii():
        yield Word(text, start, _form(text))
        return
    end = 0
    for match in _UNSPACED.finditer(text):
        if match.start() > end:
            yield Word(text[end : match.start()], start + end, _form(text[end : match.start()]))
        run = match.group()
        for place in range(max(1, len(run) - 1)):
            pair = run[place : place + 2]
            yield Word(pair, start + match.start() + place, pair)
        end = match.end()
    if end < len(text):
        yield Word(text[end:], start + end, _form(text[end:]))


def _form(text: str) -> str:
    form = folded(text[:_LONGEST])
    for mark in ("'", "\u2019", "\u02bc"):
        head, found, tail = form.partition(mark)
        if found:
            # It's, Zoë's: the ending is grammar. L'Aquila, O'Neill: the rest is the word.
            form = head if len(tail) <= 2 <= len(head) else head + tail  # noqa: PLR2004
    return form


def _stems(form: str) -> Iterator[str]:
    least = max(_SHORTEST_STEM, len(form) - _ENDING)
    for length in range(least, len(form) + 1):
        yield form[:length]
