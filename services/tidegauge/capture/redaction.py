r"""Finds personal data and secrets in texts and replaces them by what they are.

Texts are searched as a reader would understand them: escapes of JSON, URLs and HTML
(``\u0040``, ``%40``, ``&#64;``) count as the characters that they stand for, and full-width
letters and unusual spaces as their ASCII counterparts. Every pattern takes time linear in the
length of the text, and starts only where a text holds one of its hints.

A pattern also matches the beginning of a long secret whose end is out of sight. So a secret that
a cut goes through is recognised from its beginning; see ``text_limits``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from tidegauge.capture.credentials import CREDENTIALS, Kind, quotation_mark

__all__ = ["Span", "find_private", "redact", "replaced"]


class Span(NamedTuple):
    """A part of a text that must not be captured.

    Attributes:
        start: Index of its first character.
        end: Index after its last character.
        label: What replaces it.
    """

    start: int
    end: int
    label: str


_COUNTRIES_BY_IBAN_LENGTH: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD FK",  # codespell:ignore fo
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK MN",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""By the IBAN registry of ISO 13616."""
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in _COUNTRIES_BY_IBAN_LENGTH.items()
    for country in countries.split()
}
_IBAN_MODULUS: Final = 97
_CARD_DIGITS: Final = range(13, 20)


def _iban_length(text: str) -> int:
    """Return how many characters of a match belong to an IBAN; 0 if it is none."""
    needed = _IBAN_LENGTHS.get(text[:2].upper())
    if needed is None:
        return 0
    places = [place for place, character in enumerate(text) if character.isalnum()][:needed]
    end = places[-1] + 1
    if len(places) < needed or text[end : end + 1].isalnum():
        return 0
    kept = [text[place] for place in places]
    digits = "".join(str(int(character, 36)) for character in kept[4:] + kept[:4])
    return end if int(digits) % _IBAN_MODULUS == 1 else 0


def _card_length(text: str) -> int:
    """Return how many characters of a match belong to a card number; 0 if it is none.

    Both Luhn sums are kept up to date with each digit: with the last digit doubled, and without.
    """
    found = digits = plain = doubled = 0
    for end, character in enumerate(text, 1):
        if character.isdigit():
            digit = int(character)
            digits += 1
            plain, doubled = doubled + digit, plain + sum(divmod(2 * digit, 10))
            if digits in _CARD_DIGITS and plain % 10 == 0 and not text[end : end + 1].isdigit():
                found = end
    return found


_KINDS: Final = (
    *CREDENTIALS,
    Kind(
        "[email]",
        ("@",),
        # The part before the @ may be quoted, or have an apostrophe (RFC 5322, section 3.4.1).
        r"(?:(?<![\w.+-])[\w.+-](?:'?[\w.+-]){0,63}|[\"'][^\"'\r\n]{1,64}[\"'])@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])",
    ),
    # The lookahead consumes nothing: the true length is known only when the check digits are.
    Kind(
        "[iban]",
        (),
        r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d{2}(?:[ .-]?[A-Za-z0-9]){11,32}))",
        _iban_length,
    ),
    Kind(
        "[card]",
        (),
        r"(?<!\d)(?<!\d[.,-])(?=([2-6]\d{3}(?:[ ./_-]?\d{4,7}){2,4}(?:[ ./_-]?\d{1,3})?))",
        _card_length,
    ),
    Kind(
        "[phone]",
        (),
        r"(?<![\w.,/-])(?:\+|00)\d(?:[ ./()-]{0,2}\d){6,13}(?![\w-])"
        r"|(?<![\w.,/-])\(?0?\d{2,4}\)?[ /-]\d{3}[ -]?\d{2,4}(?:[ -]?\d{2,4})?(?![\w-])",
    ),
)


def find_private(text: str) -> list[Span]:
    """Return the parts of a text that must not be captured, in order and without overlaps."""
    if not text:
        return []
    reading = _Reading(text)
    lower = reading.text.lower()
    found: list[Span] = []
    for kind in _KINDS:
        if kind.hints and not any(hint in lower for hint in kind.hints):
            continue
        for match in kind.pattern.finditer(reading.text):
            group = match.lastindex or 0
            start, length = match.start(group), kind.length(match[group])
            if length:
                found.append(Span(reading.place(start), reading.place(start + length), kind.label))
    found.sort()
    merged: list[Span] = []
    for span in found:
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.end, span.end), last.label)
        else:
            merged.append(span)
    return merged


def replaced(text: str, spans: Sequence[Span]) -> str:
    """Return a text with the spans replaced by their labels."""
    if not spans:
        return text
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], span.label]
        end = span.end
    parts.append(text[end:])
    return "".join(parts)


def redact(text: str) -> str:
    """Replace e-mail addresses, phone, card and account numbers, passwords, keys and tokens.

    Card numbers must pass the Luhn check and IBANs theirs (ISO 13616, mod 97), so that
    order numbers stay readable. Names and addresses are not recognised.

    Example:
        >>> redact("write to ann@example.org or call +49 30 1234567")
        'write to [email] or call [phone]'
    """
    return replaced(text, find_private(text))


_ESCAPE: Final = re.compile(
    r"(?<!\\)\\+(?:u00([2-7][0-9A-Fa-f])|x([2-7][0-9A-Fa-f])|[nrt\"'/])"
    r"|%([2-7][0-9A-Fa-f])|&#x([2-7][0-9A-Fa-f]);|&#(\d{2,3});"
)
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}
_ASCII: Final = {
    **{0xFF01 + offset: 0x21 + offset for offset in range(94)},  # full-width forms
    **dict.fromkeys((0xA0, 0x3000, *range(0x2000, 0x200B), 0x202F), 0x20),  # spaces
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), 0x2D),  # dashes
    **dict.fromkeys((0x201C, 0x201D, 0x201E, 0xAB, 0xBB), 0x22),  # quotation marks
}


class _Reading:
    """A text with its escapes decoded, and where each character of it stands in the text.

    Attributes:
        text: The decoded text.
    """

    def __init__(self, text: str) -> None:
        self._decoded = [0]  # indexes in the decoded text, and what to add to them
        self._shifts = [0]
        if not text.isascii():
            text = text.translate(_ASCII)
        if "\\" in text or "%" in text or "&#" in text:
            parts, end, length = [], 0, 0
            for match in _ESCAPE.finditer(text):
                character = _decoded(match)
                parts += [text[end : match.start()], character]
                length += match.start() - end + 1
                end = match.end()
                self._decoded.append(length)
                self._shifts.append(end - length)
            parts.append(text[end:])
            text = "".join(parts)
        self.text = text

    def place(self, index: int) -> int:
        """Return where a character of the decoded text begins in the original text."""
        return index + self._shifts[bisect_right(self._decoded, index) - 1]


def _decoded(match: re.Match[str]) -> str:
    for group in (1, 2, 3, 4):
        if match[group]:
            return chr(int(match[group], 16))
    if match[5]:
        return chr(int(match[5]))
    last = match[0][-1]
    if last in "\"'":
        return quotation_mark(last, len(match[0]) - 1)
    return _CONTROLS.get(last, last)
