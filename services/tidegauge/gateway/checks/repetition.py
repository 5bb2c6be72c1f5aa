"""A model that has fallen into a loop repeats itself until its length limit."""

from __future__ import annotations

from typing import Final

from tidegauge.schemas.exchange import CheckOutcome

__all__ = ["check_repetition"]

_PROBE: Final = 16
_REPEATS: Final = 4
_SPAN: Final = 80
_LONGEST_PERIOD: Final = 2000


def check_repetition(text: str) -> CheckOutcome | None:
    """Say whether the text ends in a loop: one passage at least 4 times over 80 characters.

    The distance between the last 16 characters and where they stood before is the only
    period that a loop at the end can have, so one search and one comparison suffice. None
    for a text that is too short to tell.

    Example:
        >>> check_repetition("Well. " + "and then we go on " * 5)
        'failed'
    """
    text = text.rstrip()
    if len(text) < _SPAN:
        return None
    start = max(0, len(text) - _LONGEST_PERIOD - _PROBE)
    found = text.rfind(text[-_PROBE:], start, len(text) - 1)
    if found < 0:
        return "passed"
    period = len(text) - _PROBE - found
    repeats = max(_REPEATS, -(-_SPAN // period))
    looped = len(text) >= period * repeats and text.endswith(text[-period:] * repeats)
    return "failed" if looped else "passed"
