"""What a baseline of rates can notice: how soon a rise of failures or failed checks alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from tidegauge.detection.bets import mean_delay, place_bets
from tidegauge.detection.indicators import Hits
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.reports.formatting import count, duration, percent
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Monitor

__all__ = ["NoticedRise", "noticed_rises", "rise_sentence"]

References: TypeAlias = Mapping[str, Mapping[str, Reference]]

_RISE = 3.0
_LEAST = 0.01
"""Least rate that a rise is to: three times a rate of nearly 0 would be nearly 0."""


class NoticedRise(msgspec.Struct, frozen=True, kw_only=True):
    """How soon a rise of one rate would be noticed.

    Attributes:
        monitor: Name of the monitor.
        segment: Key of the segment.
        indicator: Name of the rate.
        title: The same for people.
        usual: The rate in the baseline.
        risen: The rate after the rise: three times the usual, and at least 1%.
        events: Answers from the rise to the alarm; infinite (in JSON null) for never.
        seconds: How long it takes for as many to come, at the baseline's mean traffic.
        false_alarm_days: The budget: mean time to a false alarm of anything.
    """

    monitor: str
    segment: str
    indicator: str
    title: str
    usual: float
    risen: float
    events: float
    seconds: float
    false_alarm_days: float


def noticed_rises(
    references: References, span_ms: int, plan: MonitorPlan | None = None
) -> tuple[NoticedRise, ...]:
    """Return how soon rises of rates would be noticed, each on the segment with most traffic.

    Only rates of what people count by themselves are told, such as failures; those beyond a
    baseline's quantile are no numbers of theirs. Seasons are left out: the bands are those over all
    times, and the segment has the budget of the first one that appears. References that promise
    nothing are left out.

    Args:
        references: Name of the monitor -> segment key -> reference.
        span_ms: Length of the baseline's time.
        plan: The monitor's settings; the defaults if None.
    """
    plan = plan or MonitorPlan()
    shares = monitor_shares(Monitor.parse(name) for name in references)
    found = []
    for name, by_segment in references.items():
        promising = {key: one for key, one in by_segment.items() if not one.refused}
        if not promising:
            continue
        key, reference = _busiest(promising)
        # The evidence begins with the duration of a window, and has to grow to the threshold.
        owed = log_threshold(plan, shares[Monitor.parse(name)], rank=1)
        owed -= math.log(plan.window_ms / 1000)
        over_all_times = msgspec.structs.replace(reference, slot_low=(), slot_high=())
        bets = place_bets(over_all_times, falls=False)
        for j, indicator in enumerate(reference.indicators):
            if not isinstance(indicator.counter, Hits):
                continue
            usual = reference.rate[j]
            risen = min(max(_RISE * usual, _LEAST), (1 + usual) / 2)
            events = mean_delay(bets, over_all_times, j, risen, owed)
            found.append(
                NoticedRise(
                    monitor=name,
                    segment=key,
                    indicator=indicator.name,
                    title=indicator.title,
                    usual=usual,
                    risen=risen,
                    events=events,
                    seconds=events * span_ms / 1000 / reference.trials[j],
                    false_alarm_days=plan.false_alarm_days,
                )
            )
    return tuple(found)


def rise_sentence(rise: NoticedRise) -> str:
    """Return how soon a rise would be noticed, in a sentence.

    Example:
        >>> rise = NoticedRise(
        ...     monitor="errors.rate", segment="m///", indicator="error", title="failed requests",
        ...     usual=0.01, risen=0.03, events=423.0, seconds=127.0, false_alarm_days=30,
        ... )
        >>> rise_sentence(rise).partition(" (")[0]
        'm: a rise of failed requests from 1% to 3% would be noticed within about 420 answers'
        >>> rise_sentence(msgspec.structs.replace(rise, events=math.inf)).rpartition(": ")[2]
        'this baseline is too small for it.'
    """
    told = (
        f"{segment_title(Segment.from_key(rise.segment))}: a rise of {rise.title} from "
        f"{percent(rise.usual)} to {percent(rise.risen)}"
    )
    if math.isinf(rise.events):
        return f"{told} would not be noticed: this baseline is too small for it."
    return (
        f"{told} would be noticed within about {count(float(f'{rise.events:.2g}'))} answers "
        f"({duration(rise.seconds)} of the baseline's traffic), at one false alarm of anything in "
        f"{duration(rise.false_alarm_days * 86_400)}."
    )


def _busiest(by_segment: Mapping[str, Reference]) -> tuple[str, Reference]:
    """Return the segment with most events, of those that are not a wider one of another."""
    segments = [Segment.from_key(key) for key in by_segment]
    wider = {parent.key for segment in segments for parent in segment.parents()}
    narrow = {key: one for key, one in by_segment.items() if key not in wider} or by_segment
    return max(narrow.items(), key=lambda one: max(one[1].trials))
