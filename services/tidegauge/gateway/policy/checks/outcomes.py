"""Checks for truncated answers, empty answers and refusals."""

from __future__ import annotations

import re
from typing import Final

from tidegauge.schemas.exchange import CheckOutcome

__all__ = ["check_empty", "check_refusal", "check_truncation"]

_OPENING: Final = 240
"""Characters to search: refusals come first; later the same words are usually harmless."""

_REFUSALS: Final = re.compile(
    r"\b(?:"
    r"i(?:'|\u2019)?m (?:very |really )?(?:sorry|afraid),? (?:but )?(?:i |as an ai)"
    r"|(?:sorry|apologies|unfortunately),? (?:but )?i (?:can(?:no|')?t|can\u2019t|am (?:not able"
    r"|unable))"
    r"|i (?:can(?:no|')t|can\u2019t|can not|won(?:'|\u2019)t|will not|am (?:not able|unable) to"
    r"|must (?:decline|refuse)) "
    r"(?:help|assist|comply|provide|fulfil|answer|do that|discuss|support|continue|create|"
    r"generate|share|engage|write)"
    r"|as an ai(?: language)?(?: model| assistant)?,? i (?:can(?:no|')t|can\u2019t|am (?:not able"
    r"|unable)|do not|don(?:'|\u2019)t)"
    r"|es tut mir leid,? (?:aber )?(?:ich kann|dabei kann|das kann)"
    r"|(?:leider )?kann ich (?:ihnen |dir )?(?:dabei|damit|das|hierbei) (?:leider )?nicht"
    r"|je (?:suis d\u00e9sol\u00e9e?,? (?:mais )?)?(?:je )?ne (?:peux|puis) pas"
    r"|lo siento,? (?:pero )?no puedo"
    r"|no puedo (?:ayudar|proporcionar|cumplir)"
    r"|mi dispiace,? (?:ma )?non posso"
    r")",
    re.IGNORECASE,
)


_HINTS: Final = (
    "can't",
    "cannot",
    "can not",
    "can\u2019t",
    "not able",
    "unable",
    "sorry",
    "afraid",
    "won't",
    "won\u2019t",
    "will not",
    "must ",
    "as an ai",
    "tut mir leid",
    "kann ich",
    "ne peux",
    "ne puis",
    "puedo",
    "posso",
)
"""Every match of the expression contains one of these."""


def check_truncation(finish_reason: str | None) -> CheckOutcome | None:
    """Check whether the answer was cut off at its length limit; None without a finish reason."""
    if finish_reason is None:
        return None
    return "failed" if finish_reason == "length" else "passed"


def check_empty(text: str, tool_calls: str | None, refusal: str | None) -> CheckOutcome:
    """Check whether the answer has no text, no tool call and no refusal."""
    return "passed" if tool_calls or refusal or text.strip() else "failed"


def check_refusal(text: str, refusal: str | None) -> CheckOutcome | None:
    """Check whether the model refused to answer; None for an answer without text.

    The upstream's refusal field decides; without one, the wording of the answer's opening
    (English, German, French, Spanish, Italian).

    Example:
        >>> check_refusal("I'm sorry, but I can't help with that.", None)
        'failed'
    """
    if refusal:
        return "failed"
    opening = text[:_OPENING].lower()
    if not opening.strip():
        return None
    # A substring search costs a tenth of the expression, and most answers have no hint.
    for hint in _HINTS:
        if hint in opening:
            return "failed" if _REFUSALS.search(opening) else "passed"
    return "passed"
