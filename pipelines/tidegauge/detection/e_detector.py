"""An always-valid alarm on many rates at once: the window e-detector.

In a window of time, indicator j held for ``x`` of ``n`` events. While the chance of each
event stays inside its band, given everything before it, the mean time to an alarm at
threshold A is at least A seconds, however often the statistic is checked, whatever the
dependence between events that the band allows; and the chance of an alarm by time t is at most t/A.

Rates that wander by themselves are no evidence either: where the baseline's rates were found to
differ between blocks of time, the rate of a block is a random draw (``detection.bets``). The
detector's time then passes a block at a time.

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

from tidegauge.detection.bets import RATIOS, Bets, block_log_lr
from tidegauge.detection.errors import EngineError, EvidenceMismatchError
from tidegauge.detection.evidence import Block, Evidence, initial_blocks, pack, unpack
from tidegauge.detection.polya_urn import (
    PolyaUrnState,
    initial_state,
    log_statistic,
    observe_cells,
    strongest,
)

__all__ = [
    "Contribution",
    "Decision",
    "Evidence",
    "best_bet",
    "judge",
    "no_evidence",
    "observe",
    "pack",
    "unpack",
    "window_log_lr",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_OF_EACH_FAMILY = 2
_unwarned = np.errstate(invalid="ignore")
"""Suppresses NumPy's warnings; ``Decision.not_finite`` reports invalid statistics instead."""


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
        passed_ms = start_ms + int(duration_seconds * 1000) - block.number * bets.block_ms
        begun[drawn], log_lr[drawn] = (
            block.log_begun,
            block_log_lr(bets, np.arange(drawn.size), block.hits, block.expected, passed_ms),
        )
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
    if not fresh.any():
        block = Block(number, before.hits + hits, before.expected + expected, before.log_begun)
        return block, fresh
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
        most: How many parts to name, the strongest first; 0 where only the statistic is asked for.
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
    if largest == -np.inf or not most:
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
    broken = ~(log_statistics < np.inf)  # as NaN is below nothing
    return np.where(broken, -np.inf, log_statistics), int(np.count_nonzero(broken))


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
