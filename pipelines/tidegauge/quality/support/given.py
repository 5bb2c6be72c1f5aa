"""What texts hold: built only as far as the facts that are looked for need it.

Most facts of a faithful answer stand in the texts word for word, and a search for the piece itself
is fast. Only where it fails are the texts' numbers, dates, words and names read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Final

from tidegauge.quality.support.checked_facts import (
    ADDRESS_PATTERN,
    IDENTIFIER_PATTERN,
    Fact,
    FactKind,
    address_of,
    identifier_of,
    letters_and_digits,
)
from tidegauge.quality.support.dates import (
    DATE_PATTERN,
    TIME_PATTERN,
    Calendar,
    Date,
    date_of,
    minutes_of,
)
from tidegauge.quality.support.numbers import (
    NUMBER_PATTERN,
    Numbers,
    Quantity,
    number_words,
    quantity_of,
)
from tidegauge.quality.support.proper_names import ProperName, acronyms_of, names_in
from tidegauge.quality.support.words import Word, Words, words_in

__all__ = ["Given"]

_DOTTED: Final = re.compile(r"\b(?:[^\W\d_]\.){2,6}")
_TRIES: Final = 4
"""Places in which a piece is looked for word for word before the texts are read."""
_MOST_SEARCHES: Final = 256
"""Pieces that are looked for word for word: each search may pass over the texts once."""


class Given:
    """Texts that were given to a model, to be asked whether they hold a fact.

    Args:
        texts: The texts: the context, and what else the model was told and asked.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = "\n\n".join(texts)
        self._searches = 0

    def support(self, fact: Fact, piece: str) -> bool:
        """Whether the texts hold a fact.

        Args:
            fact: The fact.
            piece: Its text in the answer.
        """
        value = fact.value
        if isinstance(value, ProperName):
            return not self.missing(value)
        if self._hold_piece(piece):
            return True
        if isinstance(value, Quantity):
            return self._numbers.support(value)
        if isinstance(value, str):
            return self._hold(fact.kind, value)
        if fact.kind is FactKind.TIME:
            minutes, known = value
            return isinstance(minutes, int) and self._calendar.support_time(
                minutes, known=bool(known)
            )
        dates = tuple(each for each in value if isinstance(each, Date))
        return self._calendar.support(dates, self._years)

    def missing(self, name: ProperName) -> tuple[Word, ...]:
        """Return the words of a name that the texts do not hold, in full or as an acronym.

        A word that begins a sentence is missing only along with another one: it may be no part
        of the name.
        """
        missing = tuple(word for word in name.words if not self._hold_piece(word.text))
        if not missing or (name.begins and missing == name.words[:1]):
            return ()
        initials = {name.initials, name.initials[name.begins :]}
        if any(len(short) > 1 and short in self._capitals for short in initials):
            return ()
        missing = tuple(
            word
            for word in missing
            if word not in self.words and not (word.text.isupper() and word.form in self._acronyms)
        )
        return () if name.begins and missing == name.words[:1] else missing

    def _hold_piece(self, piece: str) -> bool:
        """Whether a piece stands in the texts as it is, and is no part of a longer one."""
        self._searches += 1
        if self._searches > _MOST_SEARCHES:
            return False
        text, place = self._text, -1
        for _ in range(_TRIES):
            place = text.find(piece, place + 1)
            if place < 0:
                return False
            end = place + len(piece)
            if not _goes_on(text[max(0, place - 2) : place][::-1]) and not _goes_on(
                text[end : end + 2]
            ):
                return True
        return False

    def _hold(self, kind: FactKind, value: str) -> bool:
        if kind is FactKind.ADDRESS:
            return f" {value}" in self._addresses
        if kind is FactKind.IDENTIFIER:
            return value in self._identifiers
        return all(
            f" {part} " in self._flat
            or (not part.isascii() and part.replace(" ", "") in self._unspaced)
            for part in value.split("\n")
        )

    @cached_property
    def words(self) -> Words:
        """The words of the texts."""
        return Words(self._all_words)

    @cached_property
    def _all_words(self) -> list[Word]:
        return list(words_in(self._text))

    @cached_property
    def _flat(self) -> str:
        return f" {letters_and_digits(self._text)} "

    @cached_property
    def _unspaced(self) -> str:
        return self._flat.replace(" ", "")

    @cached_property
    def _addresses(self) -> str:
        found = (address_of(match.group()) for match in ADDRESS_PATTERN.finditer(self._text))
        return f" {' '.join(found)} "

    @cached_property
    def _calendar(self) -> Calendar:
        return Calendar(
            (date_of(match) for match in DATE_PATTERN.finditer(self._text)),
            (minutes_of(match) for match in TIME_PATTERN.finditer(self._text)),
        )

    @cached_property
    def _quantities(self) -> list[Quantity]:
        return [quantity_of(match) for match in NUMBER_PATTERN.finditer(self._text)]

    @cached_property
    def _numbers(self) -> Numbers:
        words = number_words(word.text.lower() for word in self._all_words)
        return Numbers(self._quantities, words)

    @cached_property
    def _years(self) -> frozenset[int]:
        values = (value for one in self._quantities for value, _ in one.readings)
        return frozenset(int(value) for value in values if value == value // 1)

    @cached_property
    def _identifiers(self) -> set[str]:
        words = self._all_words
        found = {word.form for word in words}
        found |= {
            one.form + two.form
            for one, two in pairwise(words)
            if one.form.isdigit() or two.form.isdigit()
        }
        matches = IDENTIFIER_PATTERN.finditer(self._text)
        return found | {identifier_of(match.group()) for match in matches}

    @cached_property
    def _capitals(self) -> set[str]:
        found = {word.form for word in self._all_words if word.text.isupper()}
        return found | {identifier_of(match.group()) for match in _DOTTED.finditer(self._text)}

    @cached_property
    def _acronyms(self) -> set[str]:
        return self._capitals.union(acronyms_of(names_in(self._text, self._all_words)))


def _goes_on(beside: str) -> bool:
    """Whether the characters beside a piece, nearest first, belong to the same word or number."""
    if not beside:
        return False
    return beside[0].isalnum() or (beside[0] in ".,:/-" and beside[1:].isdigit())
