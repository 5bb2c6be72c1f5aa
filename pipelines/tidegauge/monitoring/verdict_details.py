"""What a verdict tells besides its test: how large the change is, load, lengths, unknown checks.

*Size.* With many events a change too small to matter is significant as well. An alarm is only
``info`` until the change reaches the signal's minimum effect: a ratio of durations or of costs, or
a difference of shares of events. The detectors count how many durations lie beyond an edge. How
much longer the durations are follows from their histograms: the share that lies beyond the edge in
the baseline lies beyond a multiple of the edge now, and that multiple is the ratio of the two
quantiles.

*Load and lengths.* Latency is tested at equal load and lengths. Clients notice more load and longer
answers all the same, so every latency verdict says whether these are as in the baseline. Offered
load is what arrives (requests and tokens a second): a slower service has more requests in flight
without more arriving.

*Unknown checks.* A check of the output that first occurs after the baseline's time (a tool, a
schema, a new release of the gateway) has no normal rate and is not tested. A verdict that keeps
quiet about it would be taken to watch it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tidegauge.detection.indicators import Hits, StratifiedTail, Tail, count_unseen
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.detector import Detector, IndicatorEffect
from tidegauge.monitoring.plan import FEWEST, RATIOS
from tidegauge.reports.formatting import count, number, percent, times
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import NO_NUMBERS

__all__ = [
    "effect_size",
    "load_findings",
    "no_effect",
    "normal_load",
    "quantile_ratio",
    "size_sentence",
    "unknown_checks",
    "unseen_load",
]

_NOTABLE_SHARE = 0.1
_BLOCK_MS = 600_000
_FEWEST_BLOCKS = 6
_HIGH = 95
_NOTABLE = 1.2
"""How many times the baseline's P95 it takes for a finding."""
_REQUESTS, _TOKENS = "requests_per_second", "tokens_per_second"
_IN_FLIGHT, _ANSWER = measures.IN_FLIGHT, measures.OUTPUT_TOKENS

_NAMED = 5
_PREFIX = measures.failed("")
_REMEDY = "`tidegauge baseline build --kind rates --from -1d --activate`"


def no_effect(detector: Detector) -> float:
    """Return the size of no change: 1 for a ratio, 0 for a difference of shares."""
    return 1.0 if detector.monitor.signal in RATIOS else 0.0


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
    if detector.monitor.signal not in RATIOS:
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
    if detector.monitor.signal == "latency":
        return (f"At the same load and lengths, answers take {times(size)} as long.",)
    return (
        (f"Dear requests cost {times(size)} as much.",) if detector.monitor.signal == "cost" else ()
    )


def _load(sketches: Sequence[Sketch]) -> dict[str, float]:
    """Return the load of a stretch of time: what arrived a second, and means over requests."""
    start = min(sketch.window_start_ms for sketch in sketches)
    end = max(sketch.window_start_ms + sketch.window_ms for sketch in sketches)
    seconds = (end - start) / 1000
    sums = {
        name: [sketch.moments.get(name, NO_NUMBERS) for sketch in sketches]
        for name in (_IN_FLIGHT, measures.INPUT_TOKENS, _ANSWER)
    }
    found = {_REQUESTS: sum(sketch.events for sketch in sketches) / seconds}
    tokens = [one.total for name in (measures.INPUT_TOKENS, _ANSWER) for one in sums[name]]
    found[_TOKENS] = sum(tokens) / seconds
    for name in (_IN_FLIGHT, _ANSWER):
        n = sum(one.n for one in sums[name])
        if n:
            found[name] = sum(one.total for one in sums[name]) / n
    return found


def normal_load(windows: Iterable[Sketch]) -> dict[str, tuple[float, float]]:
    """Return the median and the P95 of a baseline's load over its ten minutes.

    Args:
        windows: Its merged windows.

    Returns:
        Name -> (median, P95); empty where the baseline is shorter than an hour.
    """
    blocks: dict[int, list[Sketch]] = defaultdict(list)
    for window in windows:
        blocks[window.window_start_ms // _BLOCK_MS].append(window)
    loads = [_load(block) for block in blocks.values()]
    if len(loads) < _FEWEST_BLOCKS:
        return {}
    found: dict[str, tuple[float, float]] = {}
    for name in (_REQUESTS, _TOKENS, _IN_FLIGHT, _ANSWER):
        values = [load[name] for load in loads if name in load]
        if len(values) >= _FEWEST_BLOCKS:
            median, high = np.percentile(values, [50, _HIGH])
            found[name] = float(median), float(high)
    return found


def load_findings(
    reference: Reference, recent: Sequence[Sketch], *, borrowed: bool
) -> tuple[str, ...]:
    """Return sentences on whether load and lengths are above those of the baseline now.

    Args:
        reference: The baseline's reference of a duration.
        recent: Sketches of the display range.
        borrowed: Whether the baseline is a wider segment's: then arrivals cannot be compared.
    """
    normal = reference.load
    if not normal or not recent:
        return ()
    now = _load(recent)
    above = {
        name
        for name, (_, high) in normal.items()
        if name in now and now[name] > _NOTABLE * max(high, 1e-9)
    }
    if borrowed:
        above -= {_REQUESTS, _TOKENS}

    def told(name: str, unit: str) -> str:
        median, high = normal[name]
        return (
            f"{number(now[name])} {unit}, where the baseline has {number(median)} in the median "
            f"and up to {number(high)} in 95% of its ten minutes"
        )

    found = []
    if above & {_REQUESTS, _TOKENS}:
        name = _REQUESTS if _REQUESTS in above else _TOKENS
        unit = "requests a second" if name == _REQUESTS else "tokens a second"
        found.append(f"More load is offered: {told(name, unit)}.")
    elif _IN_FLIGHT in above and not borrowed:
        found.append(
            f"More requests are in flight, though no more arrive: {told(_IN_FLIGHT, 'in flight')}."
        )
    if _ANSWER in above:
        found.append(f"Answers are longer: {told(_ANSWER, 'tokens')}.")
    return tuple(found)


def unseen_load(reference: Reference, sketch: Sketch) -> tuple[str, ...]:
    """Return a sentence on durations at a load or lengths that the baseline lacks, if any are."""
    counters = [indicator.counter for indicator in reference.indicators]
    # The indicators of a number know the same strata.
    by_value = {one.value: one for one in counters if isinstance(one, StratifiedTail)}
    counts = [count_unseen(counter, sketch) for counter in by_value.values()]
    share = max((unseen / n for unseen, n in counts if n), default=0.0)
    if not share:
        return ()
    said = (
        f"Load that the baseline has not seen: {percent(share)} of this window's answers had more "
        "requests in flight or longer texts, and are not tested."
    )
    return (said,)


def unknown_checks(reference: Reference, recent: Iterable[Sketch]) -> tuple[str, ...]:
    """Return a sentence on the checks that are made and not tested; none where all are tested.

    Args:
        reference: The reference of failures and failed checks.
        recent: Sketches of the display range.
    """
    known = {indicator.name for indicator in reference.indicators}
    hits, trials = Counter[str](), Counter[str]()
    for sketch in recent:
        for name in [one for one in sketch.trials if one.startswith(_PREFIX) and one not in known]:
            hits[name] += sketch.hits.get(name, 0)
            trials[name] += sketch.trials[name]
    if not trials:
        return ()
    told = [
        f"{name.removeprefix(_PREFIX)!r} (failed by {count(hits[name])} of {count(n)} answers)"
        for name, n in sorted(trials.items(), key=lambda one: (-one[1], one[0]))
    ]
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    checks = "checks" if len(told) > 1 else "check"
    said = (
        f"Not tested: the {checks} {', '.join(told[:_NAMED])}{more}, unknown to the baseline, "
        f"which has fewer than {FEWEST} such answers. Once their rates are normal, build a new "
        f"one: {_REMEDY}."
    )
    return (said,)
