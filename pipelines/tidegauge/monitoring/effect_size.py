"""How large a change is, in the unit that people think in.

With many events a change too small to matter is significant as well. An alarm is only ``info``
until the change reaches the signal's minimum effect: a ratio of durations or of costs, or a
difference of shares of events.

The detectors count how many durations lie beyond an edge. How much longer the durations are
follows from their histograms: the share that lies beyond the edge in the baseline lies beyond a
multiple of the edge now, and that multiple is the ratio of the two quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tidegauge.detection.indicators import Hits, StratifiedTail, Tail
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.detector import Detector, IndicatorEffect
from tidegauge.monitoring.plan import RATIOS
from tidegauge.reports.formatting import times
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram

__all__ = ["effect_size", "no_effect", "quantile_ratio", "size_sentence"]

_NOTABLE_SHARE = 0.1


def no_effect(detector: Detector) -> float:
    """Return the size of no change: 1 for a ratio, 0 for a difference of shares."""
    return 1.0 if detector.signal in RATIOS else 0.0


def effect_size(
    detector: Detector, effects: Sequence[IndicatorEffect], recent: Callable[[], Sketch]
) -> float:
    """Return the largest size of the notable effects, in the signal's unit.

    Args:
        detector: The detector.
        effects: The effects of the indicators that contribute.
        recent: Returns the events since the change; called only for sizes that are ratios.
    """
    reference = detector.reference
    notable = [
        effect
        for effect in effects
        if effect.contribution.share >= _NOTABLE_SHARE and effect.trials
    ]
    if detector.signal not in RATIOS:
        shares = [
            abs(effect.hits / effect.trials - reference.rate[effect.contribution.indicator])
            for effect in notable
        ]
        return max(shares, default=0.0)
    sketch = recent()
    ratios = [_ratio(reference, effect.contribution.indicator, sketch) for effect in notable]
    return max(ratios, default=1.0)


def _ratio(reference: Reference, indicator: int, sketch: Sketch) -> float:
    counter = reference.indicators[indicator].counter
    if isinstance(counter, Hits):
        return 1.0
    # Where all durations of the baseline are alike, none of them lies beyond the edge.
    rate = max(reference.rate[indicator], reference.high[indicator] / 2)
    return quantile_ratio(counter, rate, sketch)


def quantile_ratio(counter: Tail | StratifiedTail, rate: float, sketch: Sketch) -> float:
    """Return by how much the numbers must shrink for a rate of them to lie beyond the edge.

    Args:
        counter: Counts the numbers above an edge, or each above the edge of its stratum.
        rate: The share of numbers beyond the edge in the baseline.
        sketch: The numbers.

    Returns:
        The ratio of the two quantiles, within the histograms' accuracy; at least 1.
    """
    if isinstance(counter, Tail):
        whole = sketch.histograms.get(counter.value)
        pairs = [] if whole is None else [(counter.bucket, whole)]
    else:
        pairs = [
            (counter.buckets[stratum], values)
            for stratum, values in sketch.strata.get(counter.value, {}).items()
            if stratum in counter.buckets
        ]
    offsets = sorted(
        (
            (bucket - edge, n, histogram.log_gamma(values.accuracy))
            for edge, values in pairs
            for bucket, n in histogram.buckets(values)
        ),
        reverse=True,
    )
    left = rate * sum(n for _, n, _ in offsets)
    for offset, n, width in offsets:
        left -= n
        if left < 0:
            return max(1.0, math.exp(offset * width))
    return 1.0


def size_sentence(detector: Detector, size: float) -> tuple[str, ...]:
    """Return a sentence on the size of a change, where it is a ratio."""
    if detector.signal == "latency":
        return (f"At the same load and lengths, answers take {times(size)} as long.",)
    return (f"Dear requests cost {times(size)} as much.",) if detector.signal == "cost" else ()
