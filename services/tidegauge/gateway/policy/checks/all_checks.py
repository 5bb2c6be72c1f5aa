"""The findings of all checks of an answer, and the checks of its wording.

A check that does not apply returns None. The finding of a check that applies but was not made
gives the reason. Both are absent from the event, so absence never means that the answer passed.

The checks of an answer's wording, refused, repetitive, in another language, read at most some
hundred characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import Expectations
from tidegauge.gateway.policy.checks.answer_forms import Form, check_form, form_of, form_unchecked
from tidegauge.gateway.policy.checks.refusal import assess, words_of
from tidegauge.gateway.policy.checks.structure import Finding
from tidegauge.schemas.exchange import CheckOutcome, Message, last_user_message

__all__ = [
    "Finding",
    "check",
    "check_language",
    "check_refusal",
    "check_repetition",
    "check_wording",
    "forms_unchecked",
    "guess_language",
]


def check(
    messages: Sequence[Message],
    wanted: Expectations,
    answer: ParsedAnswer,
    check_form: Callable[[Form], dict[str, Finding]] = check_form,
) -> dict[str, Finding]:
    """Return the finding of every check that applies to a complete answer.

    Args:
        messages: The request's messages.
        wanted: The form that the client asked the answer to have.
        answer: The answer, one that a model generated.
        check_form: Checks the form; services pass ``FormProcess.check``.
    """
    found = check_wording(messages, answer)
    if wanted.json_object or wanted.json_schema or answer.tool_calls:
        form = form_of(wanted, answer)
        found |= {} if form is None else check_form(form)
    return found


def check_wording(messages: Sequence[Message], answer: ParsedAnswer) -> dict[str, Finding]:
    """Return the findings of the cheap checks, which read at most some hundred characters."""
    text, cut_off = answer.text or "", answer.is_cut_off
    found = {
        "truncation": None if cut_off is None else _finding(failed=cut_off),
        "empty": _finding(failed=answer.is_empty),
        "refusal": check_refusal(text, answer.refusal),
        "repetition": check_repetition(text),
        "language": check_language(messages, text),
    }
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def _finding(*, failed: bool) -> Finding:
    return "failed" if failed else "passed"


def forms_unchecked(wanted: Expectations, answer: ParsedAnswer, reason: str) -> dict[str, Finding]:
    """Return ``unchecked`` with a reason for each check of an answer's form that applies."""
    form = form_of(wanted, answer)
    return {} if form is None else form_unchecked(form, reason)


def check_refusal(text: str, refusal: str | None) -> CheckOutcome | None:
    """Check whether the model refused to answer; None for an answer without text.

    The upstream's refusal field decides; without one, the wording of the answer's opening does,
    in 15 languages (see ``refusal``).

    Example:
        >>> check_refusal("I'm sorry, but I can't help with that.", None)
        'failed'
    """
    if refusal:
        return "failed"
    if not text or text.isspace():
        return None
    return "failed" if assess(text).refused else "passed"


_PROBE: Final = 16
_REPEATS: Final = 4
_SPAN: Final = 80
_LONGEST_PERIOD: Final = 2000
_CANDIDATES: Final = 64


def check_repetition(text: str) -> CheckOutcome | None:
    """Check whether the text ends with one passage at least 4 times over 80 characters.

    In a loop the last 16 characters also occur one period earlier, so only the distances to
    their earlier occurrences are tried as periods, the shortest first. None for a text that is
    too short.

    Example:
        >>> check_repetition("Well. " + "and then we go on " * 5)
        'failed'
    """
    text = text.rstrip()
    if len(text) < _SPAN:
        return None
    probe, found = text[-_PROBE:], len(text) - _PROBE
    start = max(0, found - _LONGEST_PERIOD)
    for _ in range(_CANDIDATES):
        found = text.rfind(probe, start, found + _PROBE - 1)
        if found < 0:
            break
        period = len(text) - _PROBE - found
        repeats = max(_REPEATS, -(-_SPAN // period))
        if text.endswith(text[-period:] * repeats):
            return "failed"
    return "passed"


_LOOKED_AT: Final = 80
_LEAST_WORDS: Final = 3
_CLEAR_WORDS: Final = 5
_LEAST_LETTERS: Final = 4
_SCRIPTS: Final = {
    "greek": re.compile("[\u0370-\u03ff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "hebrew": re.compile("[\u0590-\u05ff]"),
    "arabic": re.compile("[\u0600-\u06ff]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "thai": re.compile("[\u0e00-\u0e7f]"),
    "kana": re.compile("[\u3040-\u30ff]"),
    "hangul": re.compile("[\uac00-\ud7af]"),
    "han": re.compile("[\u4e00-\u9fff]"),
}
"""Kana comes before han, since Japanese uses both."""
_LATIN: Final = re.compile("[A-Za-z\u00c0-\u024f]")
_COMMON: Final = {
    "en": "the is are was you your what how to of and i do can for in it this that with be",
    "de": "der die das ich ist ein eine und wie nicht zu mit f\u00fcr auf sie es von den",
    "fr": "le la les des que est une pour dans je vous avec pas sur qui ce du et au",
    "es": "el los las que en una por para c\u00f3mo qu\u00e9 es est\u00e1 con del se y lo como",
    "it": "il gli che \u00e8 una per come sono con non di della nel si questo da le un",
    "pt": "os que uma para como n\u00e3o \u00e9 com em por do da um voc\u00ea se mais na no ao",
    "nl": "het een ik is van en hoe niet met voor op kan wat dat je zijn de te er",
}
"""The most common words of languages in Latin script."""

_LANGUAGES: Final = {
    word: tuple(code for code, common in _COMMON.items() if word in common.split())
    for word in " ".join(_COMMON.values()).split()
}
"""Common word -> the languages that have it."""


def guess_language(text: str) -> str | None:
    """Guess a Latin-script language by its most common words, or return another script's name.

    None if the guess is unclear: too few words, or two languages nearly equally likely.

    Example:
        >>> guess_language("How do I reset the password of my account?")
        'en'
        >>> guess_language("42")
    """
    piece = text[:_LOOKED_AT]
    if not piece.isascii():
        latin = len(_LATIN.findall(piece))
        for name, script in _SCRIPTS.items():
            if (found := len(script.findall(piece))) >= _LEAST_LETTERS and found > latin:
                return name
    counts: dict[str, int] = {}
    for word in _LANGUAGES.keys() & words_of(piece.lower()):
        for code in _LANGUAGES[word]:
            counts[code] = counts.get(code, 0) + 1
    if not counts:
        return None
    best = max(counts, key=counts.__getitem__)
    most, second = counts.pop(best), max(counts.values(), default=0)
    if most >= _CLEAR_WORDS:
        return best if most > second else None
    return best if most >= max(_LEAST_WORDS, 2 * second) else None


def check_language(messages: Sequence[Message], answer: str) -> CheckOutcome | None:
    """Compare the answer's language with that of the last user message; None if unclear."""
    question_language = guess_language(last_user_message(messages)[-_LOOKED_AT:])
    if question_language is None:
        return None
    answer_language = guess_language(answer)
    if answer_language is None:
        return None
    return "passed" if answer_language == question_language else "failed"
