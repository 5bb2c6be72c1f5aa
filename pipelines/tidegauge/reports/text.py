"""Untrusted text for display: shortened, without control or direction characters.

Templates escape; this removes what escaping leaves in place: control characters, direction
overrides that reverse a line, and excessive length.
"""

from __future__ import annotations

import unicodedata

from tidegauge.reports.formatting import count

__all__ = ["category", "clip", "lead", "plain"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_BLANK = "(blank)"
_FORMATTING_KEPT = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
_MARKUP = frozenset("<>&\"'`\\")


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    kind = unicodedata.category(character)
    if kind in {"Cc", "Cs", "Co", "Cn"}:
        return _REPLACEMENT
    if kind == "Cf" and character not in _FORMATTING_KEPT:
        return ""
    return character


def plain(text: str) -> str:
    r"""Return the text on one line, without control, direction or unassigned characters.

    Joiners stay, since emoji and several scripts need them.

    Example:
        >>> plain("a\x00b\u202ecd\n  e")
        'a�bcd e'
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_shown, text))
    return " ".join(text.split())


def clip(text: str, limit: int = 240) -> str:
    """Return the text on one line, cut to ``limit`` characters, with its whole length.

    Example:
        >>> clip("a long prompt " * 100, 20)
        'a long prompt a long… (1,400 characters)'
    """
    # Twice the limit is enough to cut from, however long the text is.
    line = plain(text[: 2 * limit])
    if len(line) <= limit and len(text) <= 2 * limit:
        return line
    return f"{line[:limit].rstrip()}{_ELLIPSIS} ({count(len(text))} characters)"


def lead(text: str, limit: int = 240) -> str:
    """Return a text's first sentence, cut to ``limit`` characters.

    Example:
        >>> lead("P95 is 1.5 s. It was 0.9 s.")
        'P95 is 1.5 s.'
    """
    line = clip(text, limit)
    first, stop, _ = line.partition(". ")
    return f"{first}." if stop else line


def category(value: str, limit: int = 60) -> str:
    """Return a value that is safe as text in HTML, in a script and in a plot label.

    Characters with a meaning in HTML or in a JavaScript string become ``_``.

    Example:
        >>> category("</script><b>")
        '_/script__b_'
    """
    line = plain(value[: 4 * limit])[:limit]
    return "".join("_" if character in _MARKUP else character for character in line) or _BLANK
