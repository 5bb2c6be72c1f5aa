"""An always-valid alarm on many rates at once: the window e-detector.

In a window of time, indicator j held for ``x`` of ``n`` events. While the chance of each
event stays inside its band, given everything before it, the mean time to an alarm at
threshold A is at least A seconds, however often the statistic is checked, whatever the
dependence between events that the band allows; and the chance of an alarm by time t is at most t/A.

Rates that wander by themselves are no evidence either. Where the baseline's rates were found to
differ between blocks of time, the rate of a block is a random draw: the band's edge times a gamma
variable of mean 1 and standard deviation tau. With e the events that the edge leads one to expect
in the block so far, and k = 1 / tau^2, the likelihood ratio of a rate r times as high is

    L = c^x * ((e + k) / (r e + k))^k,   c = r (e + k) / (r e + k)

the ratio of two negative binomials. It bounds the evidence that a block can give, however many
events it has, and has a mean of at most 1 for every rate in the band whose dispersion is at most
the gamma's in convex order, since c^x is convex in the rate and the binomial's moments are at most
the Poisson's. The detector's time then passes a block at a time.

Bets on Polya urns (``detection.polya_urn``) give the same guarantee, each for the history of its
own cells. They share the budget, and the largest weighted statistic is tested: the chance of an
alarm by time t is still at most t/A.

Source: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential
change detection" (2023), in the form of Shiryaev and Roberts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.errors import EngineError, EvidenceMismatchError
from tidegauge.detection.evidence import Block, Evidence, initial_blocks, pack, unpack
from tidegauge.detection.polya_urn import (
    PolyaUrnBets,
    PolyaUrnState,
    initial_state,
    log_statistic,
    observe_cells,
    ready,
    strongest,
)
from tidegauge.detection.reference import OPEN_BELOW, Reference

__all__ = [
    "RATIOS",
    "Bets",
    "Contribution",
    "Decision",
    "Evidence",
    "best_bet",
    "judge",
    "no_evidence",
    "observe",
    "pack",
    "place_bets",
    "unpack",
    "window_log_lr",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

RATIOS = (1.3, 1.7, 2.5, 4.0, 8.0)
"""Effect sizes that are bet on: the factors by which a rate rises or falls."""
_OF_EACH_FAMILY = 2
_LEAST_TAU = 1e-3
_unwarned = np.errstate(invalid="ignore")
"""Suppresses NumPy's warnings; ``Decision.not_finite`` reports invalid statistics instead."""


@dataclass(frozen=True, slots=True)
class Bets:
    """The bets on each indicator, fixed by the reference.

    Each indicator has G = 2 x len(RATIOS) bets: first the rises, then the falls.

    Attributes:
        log_hit: What an event for which the indicator holds adds to the log of a bet's
            statistic, shape (S, J, G); S slots. It is ``log(changed / unchanged)``: the rate under
            the alternative over the band's edge nearest to it.
        log_miss: What any other event adds, ``log((1 - changed) / (1 - unchanged))``.
        log_weights: Log of each bet's share of the budget, shape (J, G).
        baseline: Id of the baseline that the bands came from.
        drawn: Index of each indicator whose rate is a random draw in every block of time, R of
            them.
        block_ms: Length of their blocks, milliseconds, shape (R,).
        edges: Upper and lower edge of their bands, shape (S, R, 2).
        log_ratio: Log of the factor by which each bet's rate differs from the edge, shape (R, G).
        shape: The gamma variable's shape, ``1 / tau^2``, shape (R, 1).
        polya_urns: The bets on divisions into cells.
    """

    log_hit: Floats
    log_miss: Floats
    log_weights: Floats
    baseline: str
    drawn: Counts
    block_ms: Counts
    edges: Floats
    log_ratio: Floats
    shape: Floats
    polya_urns: tuple[PolyaUrnBets, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """One indicator's part in a decision.

    Attributes:
        indicator: Its index in the reference.
        share: Its part of the statistic, in [0, 1].
        rises: Whether its best bet is that the rate rises.
        seconds_ago: How long before the end of the last window that bet's run began: the
            estimated start of the change.
        hits: Events of the run for which the indicator held.
        trials: Events of the run.
    """

    indicator: int
    share: float
    rises: bool
    seconds_ago: float
    hits: int
    trials: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of comparing the evidence with the threshold.

    Attributes:
        log_statistic: Log of the weighted sum over the bets on bands, or of an urn's weighted
            statistic where that is larger; never NaN or positive infinity.
        log_threshold: Log of the mean time to a false alarm, in seconds.
        parts: The indicators that contribute most, the largest first.
        not_finite: Number of indicators and urns whose statistic is NaN or positive infinity.
            They are left out of ``log_statistic``, which may therefore be too low.
    """

    log_statistic: float
    log_threshold: float
    parts: tuple[Contribution, ...]
    not_finite: int = 0

    @property
    def alarm(self) -> bool:
        """Whether the evidence has reached the threshold."""
        return self.log_statistic >= self.log_threshold


def place_bets(reference: Reference, *, polya_urns: bool = False, falls: bool = True) -> Bets:
    """Bet on each indicator's rise above, and fall below, its band.

    Args:
        reference: The bands.
        polya_urns: Whether to bet on the reference's Polya urns as well.
        falls: Whether to bet on falls; without, the rises get the whole share.
    """
    urn_bets = tuple(ready(urn) for urn in reference.polya_urns) if polya_urns else ()
    low = np.array(reference.slot_low or (reference.low,))
    high = np.array(reference.slot_high or (reference.high,))
    ratios = np.array(RATIOS)
    rise = np.minimum(high[..., None] * ratios, (1 + high[..., None]) / 2)
    fall = low[..., None] / ratios
    sides = 2 * len(RATIOS)
    edges = np.stack([high, low], axis=-1)
    weights = np.array(reference.weights)[:, None] / sides
    weights = weights * (1 - sum(urn.share for urn in urn_bets))
    log_weights = np.log(np.repeat(weights, sides, axis=1))
    # No rate falls below a band that is open below: the rises get the whole share.
    open_below = (low.max(axis=0) <= OPEN_BELOW) | (not falls)
    log_weights[open_below, : len(RATIOS)] += np.log(2)
    log_weights[open_below, len(RATIOS) :] = -np.inf
    changed = np.concatenate([rise, fall], axis=-1)
    unchanged = np.repeat(edges, len(RATIOS), axis=-1)
    log_hit = np.log(changed / unchanged)
    tau = np.array(reference.dispersion)
    blocks = np.array(reference.block_ms or np.zeros(len(tau)), np.int64)
    drawn = np.flatnonzero((blocks > 0) & (tau > 0))
    return Bets(
        log_hit=log_hit,
        log_miss=np.log1p(-changed) - np.log1p(-unchanged),
        log_weights=log_weights,
        baseline=reference.baseline,
        drawn=drawn,
        block_ms=blocks[drawn],
        edges=edges[:, drawn],
        # Of all slots the smallest change: in every slot it is a change at most as large.
        log_ratio=np.sign(log_hit[0, drawn]) * np.abs(log_hit[:, drawn]).min(axis=0),
        shape=1 / np.maximum(tau[drawn], _LEAST_TAU)[:, None] ** 2,
        polya_urns=urn_bets,
    )


def no_evidence(bets: Bets) -> Evidence:
    """Return the state before the first window."""
    shape = bets.log_weights.shape
    return Evidence(
        log_m=np.full(shape, -np.inf),
        since_seconds=np.zeros(shape),
        hits=np.zeros(shape, np.int64),
        trials=np.zeros(shape, np.int64),
        elapsed_seconds=0.0,
        baseline=bets.baseline,
        block=initial_blocks(len(bets.drawn), shape[1]),
        polya_urns=tuple(initial_state(urn) for urn in bets.polya_urns),
    )


@_unwarned
def observe(  # noqa: PLR0913 - one step of the recursion, each argument a term of it
    bets: Bets,
    evidence: Evidence,
    hits: Counts,
    trials: Counts,
    *,
    duration_seconds: float,
    start_ms: int = 0,
    slot: int | None = None,
    cells: Sequence[Counts] = (),
) -> Evidence:
    """Add one closed window to the evidence: ``M <- (M + duration) * L``.

    For an indicator with blocks of time, M is that of the block's begin, the duration is the
    block's, and L is of all its windows so far.

    Args:
        bets: The bets.
        evidence: The state before the window.
        hits: Events of the window for which each indicator held, shape (J,).
        trials: Events for which each was evaluated, shape (J,); with none, only the window's
            duration is added.
        duration_seconds: The window's length, fixed before its events are seen.
        start_ms: Start of the window, Unix milliseconds; not needed without blocks of time.
        slot: The window's slot, ``Reference.slot(start)``; not needed without seasons.
        cells: Events of the window by cell, shape (F,) for each urn; empty for no events.

    Raises:
        EvidenceMismatchError: The evidence was gathered against another baseline.
        EngineError: The counts do not fit the bets, or the slot is missing.
    """
    if evidence.baseline != bets.baseline:
        raise EvidenceMismatchError(wanted=bets.baseline, found=evidence.baseline)
    _check(bets, hits, trials, slot)
    x, n = hits[:, None], trials[:, None]
    log_duration = np.log(duration_seconds)
    begun = np.logaddexp(evidence.log_m, log_duration)
    log_lr = x * bets.log_hit[slot or 0] + (n - x) * bets.log_miss[slot or 0]
    restarts = evidence.log_m < log_duration
    block, drawn = evidence.block, bets.drawn
    if drawn.size:
        edges = bets.edges[slot or 0]
        block, fresh = _advance(bets, evidence, hits[drawn], trials[drawn, None] * edges, start_ms)
        begun[drawn], log_lr[drawn] = block.log_begun, _log_block_lr(bets, block)
        restarts[drawn] &= fresh[:, None]
    return Evidence(
        log_m=begun + log_lr,
        since_seconds=np.where(restarts, evidence.elapsed_seconds, evidence.since_seconds),
        hits=np.where(restarts, 0, evidence.hits) + x,
        trials=np.where(restarts, 0, evidence.trials) + n,
        elapsed_seconds=evidence.elapsed_seconds + duration_seconds,
        baseline=evidence.baseline,
        block=block,
        polya_urns=_observe_cells(bets, evidence, cells, duration_seconds),
    )


def window_log_lr(
    bets: Bets, before: Evidence, after: Evidence, *, duration_seconds: float
) -> Floats:
    """Return what the last window added to the log of each bet's likelihood ratio, shape (J, G).

    Args:
        bets: The bets.
        before: The evidence before the window.
        after: The evidence that ``observe`` returned.
        duration_seconds: The window's length.
    """
    log_lr = after.log_m - np.logaddexp(before.log_m, np.log(duration_seconds))
    drawn = bets.drawn
    if drawn.size:
        within = after.block.number == before.block.number
        earlier = np.zeros((len(drawn), log_lr.shape[1]))
        earlier[within] = before.log_m[drawn][within] - before.block.log_begun[within]
        log_lr[drawn] = after.log_m[drawn] - after.block.log_begun - earlier
    return np.asarray(log_lr)


def _advance(
    bets: Bets, evidence: Evidence, hits: Counts, expected: Floats, start_ms: int
) -> tuple[Block, NDArray[np.bool_]]:
    """Return the blocks with a window added, and which of them it begins, shape (R,)."""
    before = evidence.block
    number = start_ms // bets.block_ms
    fresh = number != before.number
    # Blocks without a window have passed as well; a clock that steps back adds no time.
    passed = np.where(before.number >= 0, np.maximum(number - before.number, 1), 1)
    log_duration = np.log(passed * bets.block_ms / 1000)[:, None]
    log_m = evidence.log_m[bets.drawn]
    return Block(
        number=number,
        hits=np.where(fresh, 0, before.hits) + hits,
        expected=np.where(fresh[:, None], 0.0, before.expected) + expected,
        log_begun=np.where(fresh[:, None], np.logaddexp(log_m, log_duration), before.log_begun),
    ), fresh


def _log_block_lr(bets: Bets, block: Block) -> Floats:
    """Return log L of the current blocks, shape (R, G)."""
    x, k, log_r = block.hits[:, None], bets.shape, bets.log_ratio
    e = np.repeat(block.expected, len(RATIOS), axis=1)
    shrunk = np.log(e + k) - np.log(np.exp(log_r) * e + k)
    return np.asarray(x * log_r + (x + k) * shrunk)


@_unwarned
def judge(
    bets: Bets,
    evidence: Evidence,
    *,
    log_threshold: float,
    most: int = 5,
    families: Sequence[str] = (),
) -> Decision:
    """Compare the evidence with the threshold; the evidence does not change.

    Args:
        bets: The bets.
        evidence: The state to judge.
        log_threshold: Log of this detector's mean time to a false alarm, in seconds:
            ``log(A / share)``.
        most: How many parts to name, the strongest first.
        families: Family of each indicator: the two strongest parts of each family are always
            named. Otherwise one family could fill the list, because evidence grows
            exponentially, and hide others that explain as much.

    Raises:
        EvidenceMismatchError: The evidence was gathered against another baseline.
    """
    if evidence.baseline != bets.baseline:
        raise EvidenceMismatchError(wanted=bets.baseline, found=evidence.baseline)
    log_parts = bets.log_weights + evidence.log_m
    by_indicator, broken_bands = _usable(np.logaddexp.reduce(log_parts, axis=1))
    log_bands = np.logaddexp.reduce(by_indicator)
    pairs = zip(bets.polya_urns, evidence.polya_urns, strict=True)
    log_urns, broken_polya_urns = _usable(np.array([log_statistic(*pair) for pair in pairs]))
    not_finite = broken_bands + broken_polya_urns
    largest = float(max(log_bands, *log_urns, -np.inf))
    if largest == -np.inf:
        return Decision(largest, log_threshold, (), not_finite)
    total = np.logaddexp.reduce([log_bands, *log_urns])
    parts = []
    if log_urns.max(initial=-np.inf) > -np.inf:
        best = int(np.argmax(log_urns))
        owner, hits, trials, since = strongest(bets.polya_urns[best], evidence.polya_urns[best])
        parts.append(
            Contribution(
                indicator=owner,
                share=float(np.exp(log_urns[best] - total)),
                rises=True,
                seconds_ago=evidence.elapsed_seconds - since,
                hits=hits,
                trials=trials,
            )
        )
    for j in _named(by_indicator, most, families):
        g = best_bet(log_parts[j])
        parts.append(
            Contribution(
                indicator=int(j),
                share=float(np.exp(by_indicator[j] - total)),
                rises=g < len(RATIOS),
                seconds_ago=float(evidence.elapsed_seconds - evidence.since_seconds[j, g]),
                hits=int(evidence.hits[j, g]),
                trials=int(evidence.trials[j, g]),
            )
        )
    parts.sort(key=lambda part: -part.share)
    return Decision(largest, log_threshold, tuple(parts), not_finite)


def best_bet(log_parts: Floats) -> int:
    """Return the index of the largest finite number, 0 where there is none."""
    return int(np.argmax(_usable(log_parts)[0]))


def _usable(log_statistics: Floats) -> tuple[Floats, int]:
    """Replace NaN and infinity by minus infinity; return the result and how many there were."""
    broken = np.isnan(log_statistics) | np.isposinf(log_statistics)
    return np.where(broken, -np.inf, log_statistics), int(broken.sum())


def _named(by_indicator: Floats, most: int, families: Sequence[str]) -> Iterator[int]:
    """Yield the strongest indicators, then the two strongest of each family if not among them."""
    order = [int(j) for j in np.argsort(-by_indicator, kind="stable")]
    yield from (j for j in order[:most] if by_indicator[j] > -np.inf)
    named = Counter(families[j] for j in order[:most]) if families else Counter[str]()
    for j in order[most:] if families else ():
        if named[families[j]] < _OF_EACH_FAMILY and by_indicator[j] > -np.inf:
            named[families[j]] += 1
            yield j


def _observe_cells(
    bets: Bets, evidence: Evidence, cells: Sequence[Counts], duration_seconds: float
) -> tuple[PolyaUrnState, ...]:
    counts = cells or [np.zeros_like(state.seen) for state in evidence.polya_urns]
    return tuple(
        observe_cells(
            urn,
            state,
            hits,
            duration_seconds=duration_seconds,
            elapsed_seconds=evidence.elapsed_seconds,
        )
        for urn, state, hits in zip(bets.polya_urns, evidence.polya_urns, counts, strict=True)
    )


def _check(bets: Bets, hits: Counts, trials: Counts, slot: int | None) -> None:
    slots, indicators, _ = bets.log_hit.shape
    if hits.shape != (indicators,) or trials.shape != (indicators,):
        raise EngineError(
            f"the bets are on {indicators} indicators, got hits of shape {hits.shape} "
            f"and trials of shape {trials.shape}"
        )
    if slot is None and slots > 1:
        raise EngineError(f"the reference has {slots} slots: say which one the window is in")
