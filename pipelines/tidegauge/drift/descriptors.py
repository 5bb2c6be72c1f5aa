"""Descriptors of a text that need no model: its length and, roughly, its language."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["LANGUAGES", "LENGTHS", "MEDIA", "STOP_WORDS", "language", "length"]

_EDGES = (10, 20, 40, 80, 160, 320, 640, 1_280)
LENGTHS = (*(f"to_{edge}" for edge in _EDGES), f"over_{_EDGES[-1]}")
"""Names of the length bins, in characters."""

_SCRIPTS = (
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0E00, 0x0E7F, "thai"),
    (0x3040, 0x30FF, "kana"),
    (0x4E00, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "hangul"),
)
_WORDS = {
    "en": "the is are you my what how to of and i do can for in it me please have with on",
    "es": "el la los que de en un una por para cómo qué mi es está con se no puedo quiero",
    "fr": "le la les des que de un une est pour comment mon ma je vous dans avec pas quel et",
    "de": "der die das ich ist ein eine und wie mein meine nicht zu mit für auf kann wo den",
    "it": "il lo gli che di un una per come mio mia è sono con non posso della quale mi sul",
    "pt": "o os que de um uma para como meu minha é não com em por posso qual da do você",
    "nl": "de het een ik is van en hoe mijn niet met voor op kan wat naar dat te je zijn",
}
_COMMON = {code: frozenset(words.split()) for code, words in _WORDS.items()}
_CODES = {
    word: tuple(i for i, words in enumerate(_COMMON.values()) if word in words)
    for words in _COMMON.values()
    for word in words
}
STOP_WORDS = frozenset().union(*_COMMON.values())
"""The most common words of all these languages."""
MEDIA = "media"
"""Code of a request without text: of images, sound or files alone."""
LANGUAGES = (*_COMMON, "latin", *(name for *_, name in _SCRIPTS), MEDIA, "none")
"""Codes that ``language`` returns: a language where its most common words identify it,
otherwise the script; ``media`` where no text goes with images or sound; ``none`` for text without
letters."""

_MARKS = frozenset({"[image]", "[audio]", "[video]", "[file]", "[part]"})
"""What stands in a message for a part that is no text."""

_LOOKED_AT = 400
"""Characters that are examined: enough to tell the language, cheap for very long texts."""
_CLEAR = 0.5
"""Share of the letters that must be of a script."""


def length(text: str) -> str:
    """Return the length bin of a text.

    Example:
        >>> length("hello"), length("x" * 5_000)
        ('to_10', 'over_1280')
    """
    return LENGTHS[bisect_left(_EDGES, len(text))]


def language(text: str) -> str:
    """Guess a text's language by its script and its most common words.

    A rough guide to a change in the mix of languages, not an identification: short
    questions without a common word are ``latin``.

    Example:
        >>> language("wo ist mein Paket und wie lange dauert es")
        'de'
        >>> language("我的卡丢了"), language("42 :)")
        ('han', 'none')
        >>> language("[image] [image]"), language("[image] what is this")
        ('media', 'en')
    """
    piece = text[:_LOOKED_AT]
    if piece.startswith("[") and _MARKS.issuperset(text.split()):
        return MEDIA
    if not piece.isascii() and (script := _script(piece)) is not None:
        return script
    common = [0] * len(_COMMON)
    for codes in filter(None, map(_CODES.get, piece.lower().split())):
        for index in codes:
            common[index] += 1
    best = max(common)
    if best and common.count(best) == 1:
        return LANGUAGES[common.index(best)]
    return "latin" if any(map(str.isalpha, piece)) else "none"


def _script(piece: str) -> str | None:
    """Return the script of at least half the letters, None if it is none of ``_SCRIPTS``."""
    letters = [ord(character) for character in piece if character.isalpha()]
    for first, last, name in _SCRIPTS:
        inside = sum(first <= letter <= last for letter in letters)
        if inside and inside >= _CLEAR * len(letters):
            return name
    return None
