"""Cuts a server's sentence where it quotes what it was asked.

Servers name what is wrong with a request, and some repeat it there, as vLLM's checks of types do.
What a judge was asked holds prompts and answers, and the server's sentence goes where none may be:
into logs, and topics that are kept for longer than texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

__all__ = ["without_quotations"]

_CHARACTERS: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts without blanks between words: there a character stands for a word."""
_WORD: Final = re.compile(rf"[{_CHARACTERS}]|[^\W{_CHARACTERS}]+")
_ESCAPED: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_MARKS: Final = "'\"`"
_LONG_WORD: Final = 16
_LONG_NUMBER: Final = 4


def without_quotations(said: str, asked: object) -> str:
    """Return a server's sentence up to where it quotes the request.

    A quotation is three words in a row, a word of 16 characters or with four digits, or, between
    quotation marks, all of a text.

    Args:
        said: The sentence.
        asked: The request, as it is encoded in JSON.

    Example:
        >>> asked = {"messages": [{"content": "Where does Ada Lovelace live?"}]}
        >>> without_quotations("wrong 'input': 'Where does Ada Lovelace live?'", asked)
        "wrong 'input': '… (the rest quotes what it was asked)"
        >>> without_quotations("there is no such model", asked)
        'there is no such model'
    """
    said = _ESCAPED.sub(_unescaped, said)
    texts = list(_texts(asked))
    known = {part for text in texts for part in _parts(_WORD.findall(text))}
    found = list(_WORD.finditer(said))
    words = [match.group() for match in found]
    starts = [
        match.start()
        for place, match in enumerate(found)
        if known.intersection(_parts(words[place : place + 3]))
    ]
    whole = {text.strip() for text in texts} - {""}
    marks = [place for place, character in enumerate(said) if character in _MARKS]
    starts += [
        start + 1 for start, end in pairwise(marks) if said[start + 1 : end].strip() in whole
    ]
    if not starts:
        return said
    return f"{said[: min(starts)]}… (the rest quotes what it was asked)"


def _parts(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the words that are telling alone, and every three in a row."""
    for word in words:
        if len(word) >= _LONG_WORD or sum(map(str.isdigit, word)) >= _LONG_NUMBER:
            yield (word,)
    yield from zip(words, words[1:], words[2:], strict=False)


def _unescaped(escaped: re.Match[str]) -> str:
    units = bytes.fromhex(escaped.group().replace("\\u", ""))
    return units.decode("utf-16-be", errors="replace")


def _texts(asked: object) -> Iterator[str]:
    """Yield the texts in a request, but for the name of its model."""
    if isinstance(asked, str):
        yield asked
    elif isinstance(asked, dict):
        for name, value in asked.items():
            if name not in {"model", "role"}:
                yield from _texts(value)
    elif isinstance(asked, list | tuple):
        for value in asked:
            yield from _texts(value)
