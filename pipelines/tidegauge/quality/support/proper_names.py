"""Names in a text: capitalised words where a sentence's grammar asks for none.

This holds for scripts with two cases (Latin, Cyrillic, Greek, Armenian). German writes every
noun with a capital, so there a name is two such words in a row. Names in other scripts are not
found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from tidegauge.quality.support.vocabulary import GERMAN, JOINING, TITLES
from tidegauge.quality.support.words import Word, is_common, is_content

__all__ = ["ProperName", "acronyms_of", "is_capitalised", "names_in"]

_ENDS: Final = re.compile(
    '[.!?\u2026:;\n\u3002\uff01\uff1f|\u2022*#>"\u201c\u201d\u201e\u00ab\u00bb(\\[]'
)
_SENTENCE_ENDS: Final = frozenset(".!?;,\u2026\u3002\uff01\uff1f")
_HEADING_SHARE: Final = 0.6
_HEADING_WORDS: Final = 2
_GERMAN_SHARE: Final = 0.15
"""Share of German's common words from which a text is taken for German."""
_LONGEST_ACRONYM: Final = 6


@dataclass(frozen=True, slots=True)
class ProperName:
    """A name: words in a row that are written with a capital.

    Attributes:
        words: Its words that carry content, at least one.
        begins: Whether its first word begins a sentence, where any word has a capital.
    """

    words: tuple[Word, ...]
    begins: bool = False

    @property
    def initials(self) -> str:
        """Return the first characters of its words."""
        return "".join(word.form[:1] for word in self.words)


def is_capitalised(word: Word) -> bool:
    """Whether a word begins with a capital."""
    return word.text[0].isupper()


def names_in(text: str, words: Sequence[Word]) -> Iterator[ProperName]:
    """Yield the names of a text.

    The first word of a sentence has a capital anyway: alone it is not taken for a name. Nor are the
    words of a heading.

    Args:
        text: The text.
        words: Its words, in order.
    """
    german = sum(word.text in GERMAN for word in words)
    fewest = 2 if german > _GERMAN_SHARE * len(words) else 1
    for line in _lines(text, words):
        if _is_heading(text, line):
            continue
        run: list[Word] = []
        begins = False
        before: Word | None = None
        for word in line:
            starts = _begins_sentence(text, before, word)
            if starts or (run and not _in_row(text, before, word)):
                yield from _name(run, fewest, begins=begins)
                run = []
            if is_capitalised(word):
                begins = starts if not run else begins
                run.append(word)
            elif not (run and word.form in JOINING):
                yield from _name(run, fewest, begins=begins)
                run = []
            before = word
        yield from _name(run, fewest, begins=begins)


def acronyms_of(names: Iterator[ProperName]) -> Iterator[str]:
    """Yield the initials of names and of their parts, as far as they can be acronyms.

    Example:
        >>> from tidegauge.quality.support.words import words_in
        >>> text = "At the United Nations office."
        >>> sorted(acronyms_of(names_in(text, list(words_in(text)))))
        ['un']
    """
    for name in names:
        initials = name.initials[: 4 * _LONGEST_ACRONYM]
        for start in range(len(initials)):
            for end in range(start + 2, min(len(initials), start + _LONGEST_ACRONYM) + 1):
                yield initials[start:end]


def _is_heading(text: str, line: Sequence[Word]) -> bool:
    """Whether most words of a line have capitals, and it does not end like a sentence."""
    content = [word for word in line if is_content(word) and word.text[0].isalpha()]
    capitals = sum(map(is_capitalised, content))
    end = text.find("\n", line[-1].end)
    rest = text[line[-1].end : len(text) if end < 0 else end].strip()
    ends = rest[-1:] in _SENTENCE_ENDS
    return not ends and len(content) > _HEADING_WORDS and capitals > _HEADING_SHARE * len(content)


def _name(run: Sequence[Word], fewest: int, *, begins: bool) -> Iterator[ProperName]:
    words = tuple(
        word
        for word in run
        if word.form not in TITLES
        and (is_content(word) or (len(word.text) > 1 and not is_common(word)))
    )
    begins = begins and words[:1] == tuple(run[:1])
    if len(words) >= fewest + begins:
        yield ProperName(words, begins)


def _lines(text: str, words: Sequence[Word]) -> Iterator[list[Word]]:
    number, place = 0, 0

    def line_of(word: Word) -> int:
        nonlocal number, place
        number += text.count("\n", place, word.start)
        place = max(place, word.start)
        return number

    for _, line in groupby(words, key=line_of):
        yield list(line)


def _begins_sentence(text: str, before: Word | None, word: Word) -> bool:
    if before is None:
        return True
    between = text[before.end : word.start]
    found = _ENDS.search(between)
    if found is None:
        return False
    abbreviation = between.startswith(".") and "\n" not in between
    return not (
        abbreviation
        and (before.form in TITLES or (len(before.text) == 1 and before.text.isupper()))
    )


def _in_row(text: str, before: Word | None, word: Word) -> bool:
    if before is None:
        return False
    between = text[before.end : word.start]
    return between in {" ", "-", "\u2010", ". ", ".", "\u00a0", "'", "\u2019", " & "}
