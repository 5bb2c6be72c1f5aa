"""How one baseline of rates differs from another: levels and rates, monitor by monitor.

The thresholds of two baselines are compared where they have a meaning of their own: the duration
or the cost that a quantile lies at, a score, the share of failures. Each monitor on each segment
is told by the indicator that differs most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np

from tidegauge.detection.indicators import Hits, Indicator, StratifiedTail, Tail
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.plan import MINIMUM_EFFECT, RATIOS
from tidegauge.reports.formatting import number, percent, times
from tidegauge.schemas.findings import Monitor
from tidegauge.streaming import histogram

__all__ = ["ReferenceShift", "compare_references", "difference_sentences"]

_MOST_SENTENCES = 12
_ERRORS: Final[Mapping[str, float]] = MappingProxyType({"quality": 3, "latency": 8, "cost": 16})
"""Signal -> standard errors of a share that a quantile of its number may be off by chance. The
logarithm of a number with the standard deviation s has a P90 that is known to 5.7 s of them:
three such errors are allowed for, with s a half for durations and 1 for costs."""


class ReferenceShift(msgspec.Struct, frozen=True, kw_only=True):
    """What moved most of one monitor on one segment, from one baseline to another.

    Attributes:
        monitor: Name of the monitor.
        segment: Key of the segment; empty for all traffic.
        what: The indicator, for people.
        size: How far it moved, as a ratio for latency and cost, else as a difference of shares.
        large: Whether that is at least the monitor's minimum effect.
        sentence: The same in words.
    """

    monitor: str
    segment: str
    what: str
    size: float
    large: bool
    sentence: str


def compare_references(
    before: Mapping[str, Mapping[str, Reference]], after: Mapping[str, Mapping[str, Reference]]
) -> tuple[ReferenceShift, ...]:
    """Return how references differ, the largest differences first.

    Args:
        before: Name of the monitor -> segment key -> reference, of the older baseline.
        after: The same of the newer one; what only one of them has is not compared.
    """
    found = [
        _largest(monitor, key, known, after[monitor][key])
        for monitor, references in before.items()
        for key, known in references.items()
        if key in after.get(monitor, {})
    ]
    present = [one for one in found if one is not None]
    return tuple(sorted(present, key=lambda one: (not one.large, -_weight(one))))


def _weight(one: ReferenceShift) -> float:
    least = MINIMUM_EFFECT[Monitor.parse(one.monitor).signal]
    if Monitor.parse(one.monitor).signal in RATIOS:
        return abs(math.log(one.size)) / math.log(least)
    return abs(one.size) / least


def difference_sentences(found: Iterable[ReferenceShift]) -> tuple[str, ...]:
    """Return the largest differences in words, or that there is none worth naming."""
    large = [one for one in found if one.large]
    said = [one.sentence for one in large[:_MOST_SENTENCES]]
    if len(large) > _MOST_SENTENCES:
        said.append(f"{len(large) - _MOST_SENTENCES} more monitors differ as well")
    return tuple(said or ["nothing differs by as much as an alarm would need"])


def _largest(monitor: str, key: str, before: Reference, after: Reference) -> ReferenceShift | None:
    """Return the indicator that differs most; None where none can be compared."""
    newer = {one.name: place for place, one in enumerate(after.indicators)}
    pairs = [
        (indicator, place, newer[indicator.name])
        for place, indicator in enumerate(before.indicators)
        if indicator.name in newer
    ]
    found = [
        _difference(monitor, key, indicator, after.indicators[new], (before, place), (after, new))
        for indicator, place, new in pairs
    ]
    present = [one for one in found if one is not None]
    return max(present, key=_weight, default=None)


def _difference(  # noqa: PLR0913, PLR0917 - two places, and what lies there
    monitor: str,
    key: str,
    old: Indicator,
    new: Indicator,
    before: tuple[Reference, int],
    after: tuple[Reference, int],
) -> ReferenceShift | None:
    signal = Monitor.parse(monitor).signal
    least = MINIMUM_EFFECT[signal]
    where = f"{monitor}{' on ' + key if key else ''}"
    what = old.title
    if signal in RATIOS:
        ratio = _level_ratio(old, new)
        if ratio is None:
            return None
        what = old.family.upper() if signal == "latency" else "P90"
        size, said = ratio, f"the {what} is {times(ratio)} what it was"
        large = abs(math.log(ratio)) >= max(math.log(least), _noise(signal, before, after))
    elif isinstance(old.counter, Hits):
        rates = before[0].rate[before[1]], after[0].rate[after[1]]
        low, high = before[0].low[before[1]], before[0].high[before[1]]
        size, said = rates[1] - rates[0], f"{what}: {percent(rates[0])} became {percent(rates[1])}"
        large = abs(size) >= least and not low <= rates[1] <= high
    else:
        levels = _level(old), _level(new)
        size = after[0].rate[after[1]] - _share_below(before[0], levels[1])
        said = (
            f"the {old.family} of the scores went from {number(levels[0])} to {number(levels[1])}"
        )
        large = abs(size) >= max(least, _noise(signal, before, after))
    return ReferenceShift(
        monitor=monitor, segment=key, what=what, size=size, large=large, sentence=f"{where}: {said}"
    )


def _noise(signal: str, before: tuple[Reference, int], after: tuple[Reference, int]) -> float:
    """Return how far a quantile moves by chance, as a share or as the logarithm of a number."""
    rate = before[0].rate[before[1]]
    events = 1 / before[0].trials[before[1]] + 1 / after[0].trials[after[1]]
    return _ERRORS[signal] * math.sqrt(rate * (1 - rate) * events)


def _level(indicator: Indicator) -> float:
    counter = indicator.counter
    return histogram.upper_edge(counter.bucket) if isinstance(counter, Tail) else math.nan


def _share_below(reference: Reference, level: float) -> float:
    """Return the share of a reference's scores below a level, interpolated between its cuts."""
    cuts = sorted(
        (_level(one), rate)
        for one, rate in zip(reference.indicators, reference.rate, strict=True)
        if isinstance(one.counter, Tail)
    )
    return float(np.interp(level, [cut for cut, _ in cuts], [rate for _, rate in cuts]))


def _level_ratio(old: Indicator, new: Indicator) -> float | None:
    """Return how many times as high the newer level is; over strata, the median ratio."""
    if isinstance(old.counter, Hits) or isinstance(new.counter, Hits):
        return None
    one, two = (
        counter.buckets if isinstance(counter, StratifiedTail) else {"": counter.bucket}
        for counter in (old.counter, new.counter)
    )
    ratios = [
        histogram.upper_edge(two[stratum]) / histogram.upper_edge(bucket)
        for stratum, bucket in one.items()
        if stratum in two and histogram.upper_edge(bucket) > 0
    ]
    found = median(ratios) if ratios else 0.0
    return found if found > 0 else None
