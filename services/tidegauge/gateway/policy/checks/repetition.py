"""The repetition check: detects answers that end in a loop."""

from __future__ import annotations

from typing import Final

from tidegauge.schemas.exchange import CheckOutcome

__all__ = ["check_repetition"]

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
