"""What a reference promises, in words: its back-test, or why it promises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegauge.detection.reference import Reference
from tidegauge.reports.formatting import count, duration

__all__ = ["back_test_sentence", "promise_sentence", "refusal_sentence"]

_WEEK_MS: Final = 7 * 86_400_000


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
        f" Its bands allow for {found.widening:g} times the fluctuation that was measured, or the "
        "uncertainty where no rate fluctuates."
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


def promise_sentence(
    by_monitor: Mapping[str, Mapping[str, Reference]],
    missing: Mapping[str, str],
    span_ms: int | None = None,
) -> str:
    """Return what a whole baseline promises so far, and what it does not yet and why.

    Args:
        by_monitor: Name of the monitor -> segment key -> reference.
        missing: Name of a monitor without references -> the reason.
        span_ms: Length of the baseline's time; None where its events have no times.

    Example:
        >>> promise_sentence({}, {"cost.request": "40 are needed"}, 14 * 86_400_000)
        'On 14 days of traffic: nothing is promised yet; not for cost.request (40 are needed).'
        >>> promise_sentence({}, {}, 7_200_000).partition(". ")[2]
        'Times of the week that it has not seen may alarm.'
        >>> promise_sentence({}, {}, 8 * 86_400_000).partition(". ")[2]
        'It has not seen every time of the week twice: what differs from week to week may alarm.'
    """
    promised = sorted(
        monitor
        for monitor, references in by_monitor.items()
        if not all(one.refused for one in references.values())
    )
    waiting = {name: why for name, why in missing.items() if name not in by_monitor}
    for monitor, references in by_monitor.items():
        wanted = [one.wanted_ms for one in references.values() if one.wanted_ms]
        if monitor not in promised and references:
            waiting[monitor] = (
                f"a baseline of {duration(min(wanted) / 1000)} might do"
                if wanted
                else next(iter(references.values())).refused
            )
    said = (
        f"alarms are promised for {', '.join(promised)}" if promised else "nothing is promised yet"
    )
    on = "Without times" if span_ms is None else f"On {duration(span_ms / 1000)} of traffic"
    not_yet = ", ".join(f"{name} ({why})" for name, why in sorted(waiting.items()))
    return f"{on}: {said}{f'; not for {not_yet}' if not_yet else ''}.{_unseen(span_ms)}"


def _unseen(span_ms: int | None) -> str:
    """Return what a baseline of less than two weeks has not seen of the week."""
    if span_ms is None or span_ms >= 2 * _WEEK_MS:
        return ""
    if span_ms < _WEEK_MS:
        return " Times of the week that it has not seen may alarm."
    return (
        " It has not seen every time of the week twice: what differs from week to week may alarm."
    )
