"""Numbers of a text, with their units, and whether one supports another.

A number is read in any decimal digits, with any separators: ``1,200``, ``1.200`` and ``1 200``
are 1200, ``1,2`` and ``1.2`` are 1.2, and where a writing has two readings it has both. A scale
counts (``1.2k``, ``3 million``, ``5万``), and so do the words of the numbers up to twelve, in
the sources alone: in an answer they are often no figures.
"""

# ruff: noqa: RUF001 - digits, units and scales in many scripts

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.support.vocabulary import NUMBER_WORDS, SCALES, UNITS

__all__ = ["NUMBER_PATTERN", "Numbers", "Quantity", "number_words", "quantity_of"]

NUMBER_PATTERN: Final = re.compile(
    r"(?<![\d.,])(?P<before>[$€£¥₹₩₽₺]\s?)?"
    r"(?P<digits>\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?!\d)|\d+(?:[.,'\u2019٫٬]\d+)*)"
    r"(?:[ \u00a0\u202f-]?(?P<word>%|‰|°[CF]?|[$€£¥₹₩₽₺]|[^\W\d_]+))?"
)
"""A number, with the sign of a currency before it and the word behind it. A minus is left out."""

_LONGEST: Final = 24
"""Characters of a number; longer rows of digits are compared as they are."""
_GROUP: Final = 3
_THOUSAND: Final = 1000
_ROUND_SHARE: Final = 0.01
"""*Over 9,000* stands for 9,061: hundreds and thousands are often said of what is near them."""
_HAN_DIGITS: Final = "〇一二三四五六七八九十"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a text.

    Attributes:
        start: Where it begins, in characters.
        end: Where it ends; both with its unit.
        readings: Value and the value of half its last written digit, for each reading.
        unit: Its unit by its usual sign or name; None where it has none that is known.
        writing: Its digits as they are written.
    """

    start: int
    end: int
    readings: tuple[tuple[float, float], ...]
    unit: str | None
    writing: str


class Numbers:
    """The numbers of texts, to be asked whether they support another one."""

    def __init__(self, found: Iterable[Quantity], words: Iterable[float] = ()) -> None:
        held = list(found)
        self._by_unit: dict[str | None, list[float]] = {None: list(words)}
        for one in held:
            if " " in one.writing:  # perhaps two numbers in a row
                self._by_unit[None] += map(float, one.writing.split())
            self._by_unit.setdefault(one.unit, []).extend(value for value, _ in one.readings)
        for values in self._by_unit.values():
            values.sort()
        self._writings = {one.writing for one in held}

    def support(self, asked: Quantity) -> bool:
        """Whether some number rounds to this one at its last written digit, in its unit.

        Two units differ only where both are known.
        """
        if asked.writing in self._writings and asked.unit is None:
            return True
        return any(
            self._near(value, max(half, _roundness(value)), asked.unit)
            for value, half in asked.readings
        )

    def _near(self, value: float, half: float, unit: str | None) -> bool:
        reach = half + 1e-9 * abs(value)
        of_unit = self._by_unit if unit is None else (unit, None)
        return any(
            _holds(self._by_unit[known], value - reach, value + reach)
            for known in of_unit
            if known in self._by_unit
        )


def quantity_of(match: re.Match[str]) -> Quantity:
    """Return the number that ``NUMBER_PATTERN`` has found.

    Example:
        >>> found = [
        ...     quantity_of(match)
        ...     for match in NUMBER_PATTERN.finditer("1.2k users paid $3,400.50 in 7 days")
        ... ]
        >>> [(quantity.readings[0][0], quantity.unit) for quantity in found]
        [(1200.0, None), (3400.5, '$'), (7.0, 'day')]
    """
    digits = match["digits"]
    word = (match["word"] or "").lower()
    scale = SCALES.get(word, 1.0)
    unit = UNITS.get(word) if scale == 1 else None
    if match["before"]:
        unit = match["before"].strip()
    known = scale != 1 or unit is not None
    end = match.end() if word and known else match.end("digits")
    writing = "".join(str(int(char)) if char.isdigit() else char for char in digits)
    readings = tuple((value * scale, half * scale) for value, half in _readings(writing))
    start = match.start("before") if match["before"] else match.start("digits")
    return Quantity(start, end, readings, unit, writing)


def number_words(words: Iterable[str]) -> Iterator[float]:
    """Yield the values of the lower-case words that are numbers up to twelve."""
    for word in words:
        value = NUMBER_WORDS.get(word)
        if value is not None:
            yield value
        elif len(word) <= 2 and word[:1] in _HAN_DIGITS:  # noqa: PLR2004 - a pair of characters
            yield float(_HAN_DIGITS.index(word[0]))


def _readings(writing: str) -> list[tuple[float, float]]:
    """Return the values of a writing, each with half its last written digit."""
    if len(writing) > _LONGEST:
        return []
    parts = re.split(r"\D", writing)
    marks = [char for char in writing if not char.isdigit()]
    whole = (float("".join(parts)), 0.5)
    if not marks:
        return [whole]
    last = marks[-1]
    decimal = (
        float(f"{''.join(parts[:-1])}.{parts[-1]}"),
        0.5 * 10.0 ** -len(parts[-1]),
    )
    grouped = len(parts[-1]) == _GROUP and all(len(part) in {2, _GROUP} for part in parts[1:])
    if last in "' \u2019\u00a0\u2009\u202f٬" or (
        grouped and len(marks) > 1 and len(set(marks)) == 1
    ):
        return [whole]
    if marks.count(last) > 1:
        return []  # a version or a row of numbers
    if len(marks) == 1 and grouped and parts[0] != "0" and len(parts[0]) <= _GROUP:
        return [whole, decimal]
    return [decimal]


def _roundness(value: float) -> float:
    """Return how far a round number may lie from what it stands for."""
    round_one = abs(value) >= _THOUSAND and value % 100 == 0
    return _ROUND_SHARE * abs(value) if round_one else 0.0


def _holds(values: list[float], low: float, high: float) -> bool:
    place = bisect_left(values, low)
    return place < len(values) and values[place] <= high
