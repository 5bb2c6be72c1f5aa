"""The facts of a text that can be checked without a model, and where they stand.

Numbers, dates, times, addresses, identifiers, quotations and names. Each is taken out of the text
as it is found, so that no piece counts twice. Every search takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tidegauge.quality.support.dates import (
    DATE_PATTERN,
    TIME_PATTERN,
    Date,
    date_of,
    minutes_of,
)
from tidegauge.quality.support.numbers import (
    NUMBER_PATTERN,
    Quantity,
    quantity_of,
)
from tidegauge.quality.support.proper_names import ProperName, names_in
from tidegauge.quality.support.words import folded, words_in

__all__ = [
    "ADDRESS_PATTERN",
    "IDENTIFIER_PATTERN",
    "Fact",
    "FactKind",
    "address_of",
    "facts_in",
    "identifier_of",
    "letters_and_digits",
]

ADDRESS_PATTERN: Final = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'()\[\]{}\u3000-\u303f\uff00-\uffef]{1,2000}"
    r"|(?<![\w.@-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
    r"|(?<![\w.@-])(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|gov|info|io|dev|app|ai|de|eu|uk|fr|es"
    r"|it|nl|pl|ru|jp|cn|kr|br|in|ch|at)\b(?:/[^\s<>\"'()\[\]{}]{0,500})?",
    re.IGNORECASE,
)
_QUOTATION: Final = re.compile(
    "\u201c([^\u201c\u201d\n]{1,2000})\u201d|\u201e([^\u201c\u201d\u201e\n]{1,2000})[\u201c\u201d]"
    '|"([^"\n]{1,2000})"|\u00ab([^\u00ab\u00bb\n]{1,2000})\u00bb'
    "|\u300c([^\u300c\u300d\n]{1,2000})\u300d|\u300e([^\u300e\u300f\n]{1,2000})\u300f"
)
IDENTIFIER_PATTERN: Final = re.compile(
    r"(?<![\w.@/-])(?=[^\W\d_]{0,12}[-_.]?\d|\d{1,12}[-_.]?[^\W\d_]{1,12}\d)"
    r"(?![\d.,]{1,24}(?:[^\W\d_]|%|$))[^\W_]{1,40}(?:[-_.][^\W_]{1,40}){0,8}"
)
_MIXED: Final = re.compile(r"(?=.*[^\W\d_])(?=.*\d)", re.DOTALL)
_CITATION: Final = re.compile(r"\[\^?\d{1,3}(?:\s?[,\u2013-]\s?\d{1,3}){0,8}\]")
_LIST_MARK: Final = re.compile(r"^[ \t>*-]{0,8}\(?\d{1,3}[.)](?=\s)", re.MULTILINE)
_PLAIN_NUMBER: Final = re.compile(
    r"\d{1,4}(?:st|nd|rd|th)|\d+-[^\W\d_]+(?:-[^\W\d_]+)*|[^\W\d_]+-\d+", re.IGNORECASE
)
"""An ordinal, a number with its unit (``40-foot``), a number behind a prefix (``pre-2005``)."""
_ELLIPSIS: Final = re.compile("\\.\\.\\.|\u2026|\\[[^\\]\n]{0,40}\\]")
_SHORTEST_QUOTATION: Final = 2
"""Words of a quotation; a single one is often no quotation but a term."""


class FactKind(StrEnum):
    """What a checked piece of a text is."""

    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    ADDRESS = "address"
    """A web or mail address."""
    IDENTIFIER = "identifier"
    """A mix of letters and digits, such as a product's code."""
    QUOTATION = "quotation"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Fact:
    """A piece of a text that is checked.

    Attributes:
        kind: What it is.
        start: Where it begins, in characters.
        end: Where it ends.
        value: The piece as it is compared: dates and numbers as values, the others as words.
    """

    kind: FactKind
    start: int
    end: int
    value: tuple[Date, ...] | tuple[int, bool] | Quantity | ProperName | str


def facts_in(text: str) -> Iterator[Fact]:
    """Yield the facts of an answer, kind by kind.

    Code blocks, marks of lists and numbers of citations are left out: they are no claims.
    """
    rest = _without_code(text)
    rest = _LIST_MARK.sub(_blank, _CITATION.sub(_blank, rest))
    found, rest = _take(
        rest, ADDRESS_PATTERN, FactKind.ADDRESS, lambda match: address_of(match.group())
    )
    yield from found
    found, rest = _take(rest, _QUOTATION, FactKind.QUOTATION, _quotation)
    yield from found
    found, rest = _take(rest, DATE_PATTERN, FactKind.DATE, date_of)
    yield from found
    found, rest = _take(rest, TIME_PATTERN, FactKind.TIME, minutes_of)
    yield from found
    found, rest = _take(rest, IDENTIFIER_PATTERN, FactKind.IDENTIFIER, _identifier)
    yield from found
    found, rest = _take(rest, NUMBER_PATTERN, FactKind.NUMBER, quantity_of)
    for fact in found:
        if isinstance(fact.value, Quantity):
            yield Fact(fact.kind, fact.value.start, fact.value.end, fact.value)
    for name in names_in(rest, list(words_in(rest))):
        yield Fact(FactKind.NAME, name.words[0].start, name.words[-1].end, name)


def _take(
    text: str,
    pattern: re.Pattern[str],
    kind: FactKind,
    read: Callable[[re.Match[str]], tuple[Date, ...] | tuple[int, bool] | Quantity | str],
) -> tuple[list[Fact], str]:
    """Return the facts of a kind, and the text with blanks in their places."""
    found: list[Fact] = []

    def one(match: re.Match[str]) -> str:
        value = read(match)
        if not value:
            return match.group()
        found.append(Fact(kind, match.start(), match.end(), value))
        return _blank(match)

    return found, pattern.sub(one, text)


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def address_of(text: str) -> str:
    """Return a web or mail address as it is compared."""
    plain = text.rstrip(".,;:!?*_`~").lower()
    plain = plain.removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return plain.removesuffix("/")


def _quotation(match: re.Match[str]) -> str:
    """Return a quotation's parts between omissions, one a line; nothing if it is too short."""
    inner = next(group for group in match.groups() if group is not None)
    parts = [letters_and_digits(part) for part in _ELLIPSIS.split(inner)]
    kept = [part for part in parts if part]
    words = sum(len(part.split()) if part.isascii() else len(part) // 2 for part in kept)
    return "\n".join(kept) if words >= _SHORTEST_QUOTATION else ""


def _identifier(match: re.Match[str]) -> str:
    text = match.group()
    if not _MIXED.match(text):
        return ""
    if _PLAIN_NUMBER.fullmatch(text) and not text[0].isupper():
        return ""
    return identifier_of(text)


def identifier_of(text: str) -> str:
    """Return an identifier as it is compared: its letters and digits."""
    return "".join(char for char in folded(text) if char.isalnum())


def letters_and_digits(text: str) -> str:
    """Return a text's letters and digits, with one space in place of all that lies between."""
    return " ".join("".join(char if char.isalnum() else " " for char in folded(text)).split())


def _without_code(text: str) -> str:
    """Return a text with blanks in place of its fenced blocks of code."""
    parts = text.split("```")
    for number in range(1, len(parts), 2):
        parts[number] = " " * len(parts[number])
    return "   ".join(parts)
