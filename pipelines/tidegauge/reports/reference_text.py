"""What a reference promises, in words: its back-test, or why it promises nothing."""

from __future__ import annotations

from tidegauge.detection.reference import Reference
from tidegauge.reports.formatting import count, duration

__all__ = ["back_test_sentence", "refusal_sentence"]


def back_test_sentence(reference: Reference) -> str:
    """Return how a reference did on its own baseline, in one sentence.

    Example:
        >>> from tidegauge.detection.indicators import Hits, Indicator
        >>> from tidegauge.detection.reference import BackTest, build
        >>> import msgspec, numpy as np
        >>> from tidegauge.schemas import Segment
        >>> rate = Indicator(name="x", title="x", family="x", counter=Hits("x"))
        >>> made = build(
        ...     baseline="", segment=Segment(model="m"), indicators=[rate],
        ...     hits=np.array([[1]]), trials=np.array([[9]]),
        ... )
        >>> back_test_sentence(made)
        'Not back-tested: its events have no times, so nothing is claimed about waves.'
        >>> found = BackTest(seconds=6 * 86_400, alarms=(11, 1), allowed=(20, 5), widening=1.0)
        >>> back_test_sentence(msgspec.structs.replace(made, back_test=found))
        'On its own last 6 days it raises 11 alarms where 20 are allowed, and 1 where 5 are.'
    """
    found = reference.back_test
    if found is None and not reference.block_ms:
        return "Not back-tested: its events have no times, so nothing is claimed about waves."
    if found is None:
        return "Not back-tested: the baseline is too short to be replayed against its other parts."
    low, high = (
        f"{count(alarms)}{noun} where {count(allowed)} are{verb}"
        for alarms, allowed, noun, verb in zip(
            found.alarms, found.allowed, (" alarms", ""), (" allowed", ""), strict=True
        )
    )
    wider = (
        f" Its rates are taken to wander {found.widening:g} times as far as was measured."
        if found.widening > 1
        else ""
    )
    return f"On its own last {duration(found.seconds)} it raises {low}, and {high}.{wider}"


def refusal_sentence(reference: Reference) -> str:
    """Return why a reference promises nothing and from when it might; empty where it promises."""
    if not reference.refused:
        return ""
    longer = (
        f" A baseline of {duration(reference.wanted_ms / 1000)} might do."
        if reference.wanted_ms
        else ""
    )
    return (
        f"No promise can be made on this baseline, so nothing alarms: {reference.refused}.{longer}"
    )
