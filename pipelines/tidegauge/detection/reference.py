"""References: the band that each indicator's rate stays in while nothing has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.detection.dispersion import Dispersion, measure
from tidegauge.detection.errors import CountsError
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.polya_urn import PolyaUrn
from tidegauge.detection.season_choice import choose_season
from tidegauge.detection.seasons import HOUR_MS, UTC, Season, period_ms, slot_count, slot_of
from tidegauge.schemas import Segment

__all__ = [
    "ALPHA",
    "OPEN_BELOW",
    "BackTest",
    "Reference",
    "build",
    "nearest",
    "share_out",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

ALPHA = 0.05
"""Chance that any of a reference's bands misses its rate."""
SHRINKAGE = 200.0
"""A slot's rate is shrunk towards the overall rate with the weight of this many events."""
OPEN_BELOW = 1e-9
"""Lower edge of a band that is open below."""
_REFUSED = (
    "the rates wander more slowly than this baseline can show, so nothing is known of how far "
    "they go without a change"
)


class BackTest(msgspec.Struct, frozen=True, kw_only=True):
    """How often a reference alarmed on its own baseline; see ``detection.back_test``.

    Attributes:
        seconds: Time replayed, T.
        alarms: Alarms at thresholds of T/20 and T/5.
        allowed: How many are allowed there on average: 20 and 5.
        widening: Factor of the dispersion that it took.
    """

    seconds: float
    alarms: tuple[int, ...]
    allowed: tuple[int, ...]
    widening: float


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What is normal for one segment: a band for every indicator's rate.

    Attributes:
        baseline: Id of the baseline that it is part of.
        segment: Slice of the traffic that it was counted on.
        season: Which slots the bands know; ``none`` has one band for all times.
        zone: Time zone of the slots, with its holidays.
        indicators: The tested indicators, J of them.
        hits: Baseline events for which each held, J numbers.
        trials: Baseline events for which each was evaluated.
        rate: ``hits / trials``.
        low: Lower edge of each band over all times, in (0, 1).
        high: Upper edge.
        weights: Each indicator's share of the budget; they sum to 1.
        dispersion: Upper bound of each rate's relative standard deviation between blocks of
            ``block_ms``, beyond that of counting; 0 where it is not known.
        dispersion_within: The same for the first part of a block, by the part's length in
            ``dispersion.BLOCKS_MS``, K rows of J; empty where nothing is known of it.
        block_ms: Length of the blocks of time whose rates are independent draws, milliseconds; 0
            where nothing is known of the rate's dispersion, as without times.
        block_trials: Mean trials of a block; 0 where ``block_ms`` is 0.
        waves: Whether the rates fluctuate by more than chance.
        slot_low: Lower edges by slot, S rows of J; empty without a season.
        slot_high: Upper edges by slot.
        covered_slots: Number of slots in which the baseline has events.
        polya_urns: Divisions into cells that are bet on as well, if there are any.
        load: Name -> median and P95 of the baseline's load over its ten minutes, for a duration's
            reference on a baseline of an hour or more.
        back_test: How the reference did on its own baseline; None where that is too short, or its
            events have no times.
        remark: What the reference does not measure, for people; empty where it measures all.
        refused: Why no promise can be made on this baseline, for people; empty where it can.
        wanted_ms: Length of a baseline on which it might be made; 0 where it is.
    """

    baseline: str
    segment: Segment
    season: Season
    zone: str = UTC
    indicators: tuple[Indicator, ...]
    hits: tuple[int, ...]
    trials: tuple[int, ...]
    rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    weights: tuple[float, ...]
    dispersion: tuple[float, ...]
    dispersion_within: tuple[tuple[float, ...], ...] = ()
    block_ms: tuple[int, ...] = ()
    block_trials: tuple[float, ...] = ()
    waves: tuple[bool, ...] = ()
    slot_low: tuple[tuple[float, ...], ...] = ()
    slot_high: tuple[tuple[float, ...], ...] = ()
    covered_slots: int = 1
    polya_urns: tuple[PolyaUrn, ...] = ()
    load: dict[str, tuple[float, float]] = {}
    back_test: BackTest | None = None
    remark: str = ""
    refused: str = ""
    wanted_ms: int = 0

    def slot(self, time_ms: int) -> int:
        """Return the slot of the window that starts at ``time_ms``."""
        return 0 if self.season == "none" else slot_of(self.season, time_ms, self.zone)


def nearest(references: Mapping[str, Reference], segment: Segment) -> tuple[str, Reference] | None:
    """Return the reference of a segment or of its nearest parent, with its segment's key.

    Args:
        references: Segment key -> reference; the key ``""`` is for all traffic.
        segment: Slice of the traffic.
    """
    keys = (segment.key, *(parent.key for parent in segment.parents()), "")
    return next(((key, references[key]) for key in keys if key in references), None)


def share_out(
    indicators: Sequence[Indicator], shares: Mapping[str, float] | None = None
) -> tuple[float, ...]:
    """Divide one budget over the families, and evenly within each family.

    Args:
        indicators: The indicators that share the budget.
        shares: Family -> part; families that are not named get 1 each. Parts of families
            without an indicator fall to the others.

    Example:
        >>> from tidegauge.detection.indicators import Hits
        >>> names = [("a", "x"), ("b", "x"), ("c", "y")]
        >>> js = [Indicator(name=n, title=n, family=f, counter=Hits(n)) for n, f in names]
        >>> share_out(js, {"x": 3.0, "y": 1.0})
        (0.375, 0.375, 0.25)
    """
    sizes: dict[str, int] = {}
    for indicator in indicators:
        sizes[indicator.family] = sizes.get(indicator.family, 0) + 1
    parts = {family: (shares or {}).get(family, 1.0) for family in sizes}
    whole = sum(parts.values())
    return tuple(parts[i.family] / whole / sizes[i.family] for i in indicators)


def build(  # noqa: PLR0913 - counts, where they are from, and the choices made on them
    *,
    baseline: str,
    segment: Segment,
    indicators: Sequence[Indicator],
    hits: Counts,
    trials: Counts,
    times_ms: Counts | None = None,
    shares: Mapping[str, float] | None = None,
    alpha: float = ALPHA,
    tolerance: Floats | float = 0.0,
    season: Season | None = None,
    widening: float = 1.0,
    zone: str = UTC,
) -> Reference:
    """Build a reference from the counts of a baseline.

    Bands are Clopper-Pearson bounds. Each misses its rate with at most its share of
    ``alpha``, the same as its share of the budget, half on each side, so that all of them
    hold together with probability ``1 - alpha``. Where the events have times, the rates' own
    dispersion between blocks of time is measured: a block counts as fewer events the more its
    rate fluctuates, and the detector takes its rate for a random draw. Where the baseline spans
    two weeks (or three days), has enough events, and its rates differ by the hour of the week (or
    of the day), each such hour gets a band of its own, its rate shrunk towards the overall one.

    Args:
        baseline: Id of the baseline; may be empty until it is known.
        segment: Slice of the traffic.
        indicators: The tested indicators, J of them, at least one.
        hits: Counts by window of time, shape (B, J).
        trials: Events for which each was evaluated, shape (B, J).
        times_ms: Start of each window, shape (B,); None when the events have no times.
        shares: Family -> part of the budget, see ``share_out``.
        alpha: Chance that any band misses its rate.
        tolerance: Relative change that must not raise an alarm, one number or shape (J,): bands
            are widened by it.
        widening: Factor of the dispersion; and of the half-widths of the bands whose rates
            fluctuate by no more than chance, since a dispersion of nearly zero stays that.
        zone: Time zone of the slots.
        season: Which slots to use; None chooses those that the baseline shows.

    Raises:
        CountsError: Shapes do not match, a count is impossible, or an indicator has
            no trials.
    """
    hits, trials = np.atleast_2d(hits), np.atleast_2d(trials)
    _check(indicators, hits, trials, times_ms)
    x, n = hits.sum(axis=0), trials.sum(axis=0)
    rate = x / n
    if season is None:
        season = choose_season(hits, trials, times_ms, zone=zone)
    slots = _slots(season, times_ms, len(hits), zone)
    prior = SHRINKAGE if season != "none" else 0.0
    size = slot_count(season)
    slot_x, slot_n = _sum_by(slots, hits, size), _sum_by(slots, trials, size)
    found, block_trials = None, np.zeros_like(rate)
    if times_ms is not None:
        slot_rate = (slot_x + prior * rate) / np.maximum(slot_n + prior, 1)
        found = measure(
            hits,
            slot_rate[slots] * trials,
            trials,
            times_ms,
            [_group(indicator) for indicator in indicators],
            period_ms=period_ms(season),
        ).wider(widening)
        block_trials = _block_trials(found, trials, times_ms)
    tau = found.tau if found else np.zeros_like(rate)
    weights = share_out(indicators, shares)
    per_band = alpha * np.array(weights)
    widen = 1 + np.asarray(tolerance)

    calm = ~found.waves if found else np.ones_like(rate, np.bool_)
    wider = np.where(calm, widening, 1.0)

    def band(counts: Floats, totals: Floats, effect: Floats | float) -> tuple[Floats, Floats]:
        low, high = clopper_pearson(counts / effect, totals / effect, alpha=per_band)
        center = counts / np.maximum(totals, 1)
        low, high = center - wider * (center - low), center + wider * (high - center)
        return np.clip(low / widen, OPEN_BELOW, 1 - OPEN_BELOW), np.clip(
            high * widen, OPEN_BELOW, 1 - OPEN_BELOW
        )

    low, high = band(x.astype(float), n.astype(float), _inflation(block_trials, tau, rate))
    seasonal = season != "none"
    slot_effect = _slot_effect(found, rate, slot_n, slots, times_ms)
    slot_low, slot_high = (
        band(slot_x + prior * rate, slot_n + prior, slot_effect) if seasonal else (None, None)
    )
    lost = found is not None and bool(found.unresolved.all())
    return Reference(
        baseline=baseline,
        segment=segment,
        season=season,
        zone=zone,
        indicators=tuple(indicators),
        hits=_ints(x),
        trials=_ints(n),
        rate=_floats(rate),
        low=_floats(low),
        high=_floats(high),
        weights=weights,
        dispersion=_floats(tau),
        dispersion_within=tuple(_floats(row) for row in found.tau_within) if found else (),
        block_ms=_ints(found.block_ms) if found else (),
        block_trials=_floats(block_trials) if found else (),
        waves=tuple(bool(one) for one in found.waves) if found else (),
        slot_low=() if slot_low is None else tuple(_floats(row) for row in slot_low),
        slot_high=() if slot_high is None else tuple(_floats(row) for row in slot_high),
        covered_slots=int((slot_n.max(axis=1) > 0).sum()),
        refused=_REFUSED if lost else "",
        wanted_ms=found.wanted_ms if found and lost else 0,
    )


def _check(
    indicators: Sequence[Indicator], hits: Counts, trials: Counts, times_ms: Counts | None
) -> None:
    expected = (len(hits), len(indicators))
    if not indicators or hits.shape != expected or trials.shape != expected:
        raise CountsError(
            f"{len(indicators)} indicators need hits and trials with a column each, "
            f"got {hits.shape} and {trials.shape}"
        )
    if times_ms is not None and times_ms.shape != (len(hits),):
        raise CountsError(f"{len(hits)} windows need as many times, got {times_ms.shape}")
    if (hits < 0).any() or (hits > trials).any():
        raise CountsError("hits must lie between 0 and their trials")
    silent = np.flatnonzero(trials.sum(axis=0) == 0)
    if silent.size:
        name = indicators[int(silent[0])].name
        raise CountsError(f"indicator {name!r} has no events in the baseline: leave it out")


def _slots(season: Season, times_ms: Counts | None, windows: int, zone: str) -> Counts:
    if season == "none" or times_ms is None:
        return np.zeros(windows, np.int64)
    return np.array([slot_of(season, int(time), zone) for time in times_ms], np.int64)


def _sum_by(groups: Counts, table: Counts, size: int) -> Floats:
    sums = np.zeros((size, table.shape[1]))
    np.add.at(sums, groups, table)
    return sums


def _group(indicator: Indicator) -> str:
    """Return what an indicator's rate moves with: the cuts of one number, or its family.

    Of a family, those belong together that are shares of the same trials.
    """
    counter = indicator.counter
    return f"{indicator.family}/{counter.of}" if isinstance(counter, Hits) else counter.value


def _block_trials(found: Dispersion, trials: Counts, times_ms: Counts) -> Floats:
    """Return the mean trials of a block of each rate, shape (J,); 0 where there are no blocks."""
    lengths = {int(length) for length in found.block_ms if length}
    blocks = {length: len(np.unique(times_ms // length)) for length in lengths}
    events = trials.sum(axis=0)
    return np.array(
        [
            n / blocks[int(length)] if length else 0.0
            for n, length in zip(events.tolist(), found.block_ms, strict=True)
        ]
    )


def _slot_effect(
    found: Dispersion | None,
    rate: Floats,
    slot_trials: Floats,
    slots: Counts,
    times_ms: Counts | None,
) -> Floats | float:
    """Return the design effect within each slot, shape (S, J): its hours are the blocks."""
    if found is None or times_ms is None:
        return 1.0
    hours = np.unique(np.stack([slots, times_ms // HOUR_MS]), axis=1)[0]
    repeats = np.maximum(np.bincount(hours, minlength=len(slot_trials)), 1)[:, None]
    return _inflation(slot_trials / repeats, found.tau_hour, rate)


def _inflation(events: Floats, tau: Floats, rate: Floats) -> Floats:
    """Return by how much the variance of rates exceeds the binomial: the design effect.

    A block of m events whose rate has the relative standard deviation tau counts as m events over
    ``1 + m tau^2 p / (1 - p)``: Kish, "Survey sampling" (1965), for unequal cluster means.
    """
    return np.asarray(1 + events * tau**2 * rate / np.maximum(1 - rate, 1e-9))


def _ints(values: Counts) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
