"""One monitor's reference from a segment's baseline windows.

Rates are cut at edges of histogram buckets that the baseline chooses:

- latency: upper bounds of the median, P75, P90 and P95 in each stratum of load and lengths;
- cost: the baseline's P90;
- quality: the low quantiles of each score;
- errors: as the workers count them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tidegauge.detection.back_test import Fitted, History, back_test
from tidegauge.detection.indicators import Hits, Indicator, StratifiedTail, Tail, count_windows
from tidegauge.detection.reference import Reference, build
from tidegauge.detection.season_choice import choose_season
from tidegauge.monitoring.plan import FEWEST
from tidegauge.monitoring.strata_cuts import (
    edges,
    group_strata,
    known_strata,
    merge_strata,
    quantile_bucket,
)
from tidegauge.monitoring.verdict_details import normal_load
from tidegauge.reports.formatting import count, dollars, number
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Histogram, Sketch
from tidegauge.streaming import histogram

__all__ = [
    "QUALITY_LEVELS",
    "LeftOut",
    "cost_reference",
    "error_reference",
    "hallucination_reference",
    "latency_reference",
    "quality_reference",
]

Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Side: TypeAlias = Literal["above", "below"]

QUALITY_LEVELS = (0.05, 0.1, 0.25, 0.5)
"""Quantiles of a score below which answers are counted."""
_QUALITY_SHARES = {"p5": 0.2, "p10": 0.3, "p25": 0.25, "p50": 0.25}
_ERROR_SHARES = {"errors": 0.6, "checks": 0.4}
_COST_LEVEL = 0.9
_LATENCY_SHARES = {"p50": 0.15, "p75": 0.2, "p90": 0.25, "p95": 0.4}
_LATENCY_LEVELS = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95}
_MINUTES_SEEN_MS = 8 * 60_000
_UNSEEN_SHIFTS = {"latency": 0.15, "quality": 0.05, "cost": 0.1, "errors": 0.0}
"""Shift over minutes, in standard deviations, that is assumed of a number where the baseline is
too short to show it: load and topics come in waves."""
_UNSEEN_WIDTH = 3.0
"""Bands are widened by this many such shifts."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a monitor has no reference for a segment."""

    reason: str


def latency_reference(
    value: str,
    title: str,
    segment: Segment,
    windows: Sequence[Sketch],
    zone: str,
) -> Reference | LeftOut:
    """Return the reference of a duration: the rates above its median, P75, P90 and P95.

    Each stratum of load and lengths has edges of its own, which bound its quantiles from above
    (see ``strata_cuts``): whichever strata the traffic moves to, at most half, 25%, 10% and 5%
    of its durations lie beyond. A baseline too small for a quantile leaves it out.

    Args:
        value: Name of the number, in milliseconds.
        title: Title of the number, for people.
        segment: Slice of the traffic.
        windows: Its merged windows in order of time.
        zone: Time zone of the seasons' slots.
    """
    by_stratum = merge_strata(windows, value)
    n = sum(histogram.count(values) for values in by_stratum.values())
    if n < FEWEST:
        return LeftOut(f"{n} numbers, {FEWEST} are needed")
    groups = group_strata(by_stratum)
    known = known_strata(by_stratum)
    if not known.keys() & {stratum for group in groups for stratum in group.strata}:
        return LeftOut(f"{n} numbers at as many different loads and lengths")
    indicators, rates = [], []
    for name, level in _LATENCY_LEVELS.items():
        found = edges(groups, level)
        if found is None:
            continue
        buckets = {stratum.name: found[like] for stratum, like in known.items()}
        of = "median" if level == 0.5 else name.upper()  # noqa: PLR2004 - the median
        indicator = Indicator(
            name=f"{value}/above_{name}",
            title=f"{title} above the baseline's {of} at the same load and lengths",
            family=name,
            counter=StratifiedTail(value, dict(sorted(buckets.items())), "above"),
        )
        indicators.append(indicator)
        rates.append(1 - level)
    unseen = _UNSEEN_SHIFTS["latency"]
    reference = _banded(
        segment, windows, indicators, _LATENCY_SHARES, unseen, normal=rates, zone=zone
    )
    return msgspec.structs.replace(reference, load=normal_load(windows))


def _with_rates(reference: Reference, rates: Sequence[float]) -> Reference:
    """Raise bands to rates that are known to be normal, whatever the mix of the baseline was."""
    raised = [
        tuple(max(edge, rate) for edge, rate in zip(row, rates, strict=True))
        for row in (reference.high, *reference.slot_high)
    ]
    return msgspec.structs.replace(reference, high=raised[0], slot_high=tuple(raised[1:]))


def cost_reference(
    value: str, segment: Segment, windows: Sequence[Sketch], zone: str
) -> Reference | LeftOut:
    """Return the reference of a request's cost or work: the rate above the baseline's P90.

    Args:
        value: ``measures.COST_USD`` or ``measures.WORK_TOKENS``.
        segment: Slice of the traffic.
        windows: Its merged windows in order of time.
        zone: Time zone of the seasons' slots.
    """
    whole = _whole(windows, value)
    if (few := _too_few(whole)) is not None:
        return few
    edge = histogram.upper_edge(quantile_bucket(whole, _COST_LEVEL), whole.accuracy)
    title = (
        f"a request's cost above {dollars(edge)}"
        if value == measures.COST_USD
        else f"a request's work above {count(edge)} tokens"
    )
    indicator = _cut(value, title, whole, _COST_LEVEL, "above")
    return _banded(segment, windows, [indicator], {}, _UNSEEN_SHIFTS["cost"], zone=zone)


def error_reference(segment: Segment, windows: Sequence[Sketch], zone: str) -> Reference | LeftOut:
    """Return the reference of failures: the service's own, and each check of the output."""
    checks = sorted({name for window in windows for name in window.trials} - {measures.ERROR})
    indicators = [
        Indicator(
            name=measures.ERROR,
            title="requests that the service failed",
            family="errors",
            counter=Hits(measures.ERROR),
        ),
        *(
            Indicator(
                name=name,
                title=f"answers that failed the check {name.rpartition('/')[2]!r}",
                family="checks",
                counter=Hits(name),
            )
            for name in checks
        ),
    ]
    _, trials = count_windows(indicators, windows)
    asked = [one for one, n in zip(indicators, trials.sum(axis=0), strict=True) if n >= FEWEST]
    if not asked or asked[0].name != measures.ERROR:
        return LeftOut(f"fewer than {FEWEST} responses that the service could have failed")
    return _banded(segment, windows, asked, _ERROR_SHARES, _UNSEEN_SHIFTS["errors"], zone=zone)


def hallucination_reference(
    label: str, segment: Segment, windows: Sequence[Sketch], zone: str
) -> Reference | LeftOut:
    """Return the reference of the share of answers with content that their context lacks.

    Args:
        label: The judge that held them against their context, with its specification.
        segment: Slice of the traffic.
        windows: Its merged windows in order of time.
        zone: Time zone of the seasons' slots.
    """
    indicator = Indicator(
        name=measures.hallucinated(label),
        title="answers with facts that their context does not hold",
        family=measures.hallucinated(label),
        counter=Hits(measures.hallucinated(label), of=measures.grounding_checked(label)),
    )
    _, trials = count_windows([indicator], windows)
    if (n := int(trials.sum())) < FEWEST:
        return LeftOut(f"{n} answers with a context, {FEWEST} are needed")
    return _banded(segment, windows, [indicator], {}, _UNSEEN_SHIFTS["errors"], zone=zone)


def quality_reference(
    label: str,
    scores: Sequence[str],
    segment: Segment,
    windows: Sequence[Sketch],
    zone: str,
) -> Reference | LeftOut:
    """Return the reference of a judge: the rates below low quantiles of its scores.

    Args:
        label: The judge with its specification.
        scores: Names of its scores.
        segment: Slice of the traffic.
        windows: Its merged windows in order of time.
        zone: Time zone of the seasons' slots.
    """
    indicators: list[Indicator] = []
    for name in scores:
        value = measures.score(label, name)
        whole = _whole(windows, value)
        if (few := _too_few(whole)) is not None:
            return few
        taken: set[int] = set()
        for level in QUALITY_LEVELS:
            bucket = quantile_bucket(whole, level)
            # Scores with few values put several quantiles, or all of them, into one bucket.
            if bucket in taken or histogram.split(whole, bucket)[1] == 0:
                continue
            taken.add(bucket)
            edge = histogram.upper_edge(bucket, whole.accuracy)
            indicators.append(_cut(value, f"{name} at most {number(edge)}", whole, level, "below"))
    if not indicators:
        return LeftOut("all scores are the same")
    return _banded(
        segment, windows, indicators, _QUALITY_SHARES, _UNSEEN_SHIFTS["quality"], zone=zone
    )


def _cut(value: str, title: str, whole: Histogram, level: float, side: Side) -> Indicator:
    name = f"p{level * 100:.0f}"
    return Indicator(
        name=f"{value}/{side}_{name}",
        title=title,
        family=name,
        counter=Tail(value, quantile_bucket(whole, level), side),
    )


def _banded(  # noqa: PLR0913 - the windows, what is tested, and what is known of it
    segment: Segment,
    windows: Sequence[Sketch],
    indicators: Sequence[Indicator],
    shares: Mapping[str, float],
    unseen_shift: float,
    *,
    zone: str,
    normal: Sequence[float] = (),
) -> Reference:
    """Build bands, back-tested on the windows' own time.

    Args:
        segment: Slice of the traffic.
        windows: Its merged windows in order of time.
        indicators: The tested indicators.
        shares: Family -> part of the budget.
        unseen_shift: Shift by which bands are widened in a baseline of less than eight minutes.
        zone: Time zone of the seasons' slots.
        normal: Rates of the indicators that are known to be normal, if they are.
    """
    hits, trials = count_windows(indicators, windows)
    times = np.array([window.window_start_ms for window in windows], np.int64)
    history = History(times, hits, trials, windows[0].window_ms, falls=False)
    rates = hits.sum(axis=0) / np.maximum(trials.sum(axis=0), 1)
    short = history.span_ms < _MINUTES_SEEN_MS
    # A part of the windows is fitted with the seasons of all of them.
    season = choose_season(hits, trials, times, zone=zone)

    def fit(kept: Flags, widening: float) -> Reference:
        made = build(
            baseline="",
            segment=segment,
            indicators=indicators,
            hits=hits[kept],
            trials=trials[kept],
            times_ms=times[kept],
            shares=shares,
            tolerance=_UNSEEN_WIDTH * _relative_change(unseen_shift, rates) if short else 0.0,
            season=season,
            widening=widening,
            zone=zone,
        )
        return _with_rates(made, normal) if normal else made

    def fit_part(kept: Flags, widening: float) -> Fitted | None:
        return Fitted(fit(kept, widening)) if trials[kept].sum(axis=0).all() else None

    outcome = back_test(fit_part, history)
    return outcome.apply(fit(np.ones(len(times), np.bool_), outcome.widening))


def _relative_change(shift: float, rates: Floats) -> Floats:
    """Return the relative change of upper or lower tails when a normal number shifts.

    Args:
        shift: The shift, in standard deviations.
        rates: Shares of the numbers in the tails, shape (J,).
    """
    inner = np.clip(rates, 1e-6, 1 - 1e-6)
    density = np.exp(-(ndtri(inner) ** 2) / 2) / math.sqrt(2 * math.pi)
    return np.where((rates > 0) & (rates < 1), shift * density / inner, 0.0)


def _whole(windows: Sequence[Sketch], value: str) -> Histogram:
    found = [window.histograms[value] for window in windows if value in window.histograms]
    return histogram.merge_all(found)


def _too_few(values: Histogram) -> LeftOut | None:
    n = histogram.count(values)
    return None if n >= FEWEST else LeftOut(f"{n} numbers, {FEWEST} are needed")
