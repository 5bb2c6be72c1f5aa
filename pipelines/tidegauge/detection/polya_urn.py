"""Bets on the cells that events fall into, without an estimated rate: Polya urns.

The space of events is divided into cells by order statistics of the baseline. A cell that holds g
of the n + 1 spacings between n baseline events has an unknown probability with a known
distribution: Dirichlet with parameters g, whatever the events are. So, over baselines and streams,
as long as nothing changes, the cells of new events are draws from an urn: cell c comes next with
probability ``u_c / U``, where ``u_c`` is the number of its spacings plus the number of events in it
so far, and U is their sum. That is exact for every size of the baseline; there is no bound that
could fail.

A bet with mixture weight s is that the urn is ``w = (1 - s) * u + s * U * t`` instead, with t a
distribution over the cells that is fixed or depends only on past windows. A window with k_c events
in cell c, in any order, multiplies the statistic by

    L = prod over c [Gamma(w_c + k_c) / Gamma(w_c)] / [Gamma(u_c + k_c) / Gamma(u_c)]

which has mean 1 given the cells before it, so that ``M <- (M + duration) * L`` keeps the
detector's guarantee. The guarantee holds for the history of this urn's cells alone, so urns are not
added up: the largest statistic is tested, each with its share of the budget.

A target t is fixed, or learnt from each cell's recent growth by empirical Bayes.

Source: Tukey, "Nonparametric estimation II: statistically equivalent blocks and tolerance
regions" (1947), for the cells; Blackwell and MacQueen, "Ferguson distributions via Polya urn
schemes" (1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from tidegauge.detection.errors import PolyaUrnError
from tidegauge.schemas.sketches import Sketch

__all__ = [
    "TOTAL",
    "PolyaUrn",
    "PolyaUrnBets",
    "PolyaUrnState",
    "count_cells",
    "fluctuation",
    "initial_state",
    "log_statistic",
    "observe_cells",
    "ready",
    "strongest",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

TOTAL = "cells"
"""Name under which a sketch's totals hold the events by cell."""
HALF_LIFE_EVENTS = 2_048.0
REFRESH_EVENTS = 100
"""A learnt target is computed again after this many events."""
GROWTH = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.5, 8.0)
"""Factors by which a cell may have become more frequent than in the baseline."""
_UNCHANGED = 0.8
_PRIOR_CELLS = 10.0
_ROUNDS = 4


class PolyaUrn(msgspec.Struct, frozen=True, kw_only=True):
    """One division into F cells, and the bets on it.

    Attributes:
        labels: The cells' names in a sketch's totals.
        owners: Index of the indicator that each cell is reported as.
        spacings: How many of the baseline's spacings each cell holds.
        mixture_weights: One bet for each, in (0, 1); they divide the share evenly.
        share: Part of the detector's budget.
        target: Distribution over the cells that is bet on, F numbers that sum to 1; empty to
            learn it.
        tolerance: Relative excess over the baseline's rates that is not evidence, since rates
            fluctuate by themselves.
    """

    labels: tuple[str, ...]
    owners: tuple[int, ...]
    spacings: tuple[float, ...]
    mixture_weights: tuple[float, ...]
    share: float
    target: tuple[float, ...] = ()
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that would make the statistic NaN or infinite.

        Raises:
            PolyaUrnError: A cell holds no positive, finite number of spacings, or the target or the
                tolerance is not finite.
        """
        for label, spacing in zip(self.labels, self.spacings, strict=True):
            if not 0 < spacing < math.inf:
                raise PolyaUrnError(
                    f"cell {label} holds {spacing} spacings, which must be above 0 and finite: "
                    "build the baseline again"
                )
        if not all(map(math.isfinite, (*self.target, self.tolerance))):
            raise PolyaUrnError(
                f"the urn of cell {self.labels[0]} has a target or a tolerance that is not "
                "finite: build the baseline again"
            )


@dataclass(frozen=True, slots=True)
class PolyaUrnBets:
    """A ``PolyaUrn`` as arrays.

    Attributes:
        labels: The cells' names in a sketch's totals.
        owners: Index of each cell's indicator, shape (F,).
        spacings: The baseline's spacings by cell, shape (F,).
        mixture_weights: One bet for each, shape (S,).
        share: Part of the detector's budget.
        target: Distribution over the cells that is bet on, shape (F,); None to learn it.
        tolerance: Relative excess over the baseline's rates that is not evidence.
    """

    labels: tuple[str, ...]
    owners: Counts
    spacings: Floats
    mixture_weights: Floats
    share: float
    target: Floats | None
    tolerance: float


@dataclass(frozen=True, slots=True)
class PolyaUrnState:
    """The state of one urn's bets.

    Attributes:
        log_m: Log of each bet's statistic, shape (S,).
        since_seconds: When each bet's current run began, shape (S,).
        seen: Events by cell, shape (F,).
        run: Events by cell in the current run of the last mixture weight's bet, shape (F,).
        recent: Past events by cell, exponentially discounted, shape (F,).
        growth: Estimated factor by which each cell has become more frequent, shape (F,).
        unpriced: Events since the growth was estimated.
    """

    log_m: Floats
    since_seconds: Floats
    seen: Counts
    run: Counts
    recent: Floats
    growth: Floats
    unpriced: int


def ready(urn: PolyaUrn) -> PolyaUrnBets:
    """Return a Polya urn as arrays."""
    return PolyaUrnBets(
        labels=urn.labels,
        owners=np.array(urn.owners, np.int64),
        spacings=np.array(urn.spacings),
        mixture_weights=np.array(urn.mixture_weights),
        share=urn.share,
        target=np.array(urn.target) if urn.target else None,
        tolerance=urn.tolerance,
    )


def count_cells(bets: PolyaUrnBets, sketch: Sketch) -> Counts:
    """Return a sketch's events by cell, shape (F,)."""
    found = sketch.totals.get(TOTAL, {})
    return np.array([found.get(label, 0) for label in bets.labels], np.int64)


def initial_state(bets: PolyaUrnBets) -> PolyaUrnState:
    """Return the state before the first window."""
    nothing = np.zeros(len(bets.spacings), np.int64)
    return PolyaUrnState(
        log_m=np.full(len(bets.mixture_weights), -np.inf),
        since_seconds=np.zeros(len(bets.mixture_weights)),
        seen=nothing,
        run=nothing,
        recent=np.zeros(len(bets.spacings)),
        growth=np.ones(len(bets.spacings)),
        unpriced=0,
    )


def observe_cells(
    bets: PolyaUrnBets,
    state: PolyaUrnState,
    hits: Counts,
    *,
    duration_seconds: float,
    elapsed_seconds: float,
) -> PolyaUrnState:
    """Add one closed window to the state.

    Args:
        bets: The bets on the urn.
        state: The state before the window, which alone determines the target.
        hits: Events of the window by cell, shape (F,).
        duration_seconds: The window's length.
        elapsed_seconds: Time observed before the window.
    """
    events = int(hits.sum())
    log_duration = np.log(duration_seconds)
    restarts = state.log_m < log_duration
    moved = PolyaUrnState(
        log_m=np.logaddexp(state.log_m, log_duration) + _log_gains(bets, state, hits),
        since_seconds=np.where(restarts, elapsed_seconds, state.since_seconds),
        seen=state.seen + hits,
        run=(0 if restarts[-1] else state.run) + hits,
        recent=state.recent * 0.5 ** (events / HALF_LIFE_EVENTS) + hits,
        growth=state.growth,
        unpriced=state.unpriced + events,
    )
    if bets.target is not None or moved.unpriced < REFRESH_EVENTS:
        return moved
    usual = bets.spacings / bets.spacings.sum()
    return replace(moved, growth=_growth(moved.recent, usual), unpriced=0)


def log_statistic(bets: PolyaUrnBets, state: PolyaUrnState) -> float:
    """Return the log of the mean statistic over the mixture weights, times the urn's share."""
    share = np.log(bets.share) - np.log(len(bets.mixture_weights))
    return float(np.logaddexp.reduce(state.log_m) + share)


def strongest(bets: PolyaUrnBets, state: PolyaUrnState) -> tuple[int, int, int, float]:
    """Return the indicator that has grown most, with its counts.

    Returns:
        The indicator whose cells have grown most in ``PolyaUrnState.run``; its events and all
        events there; when the best bet's run began, on the detector's clock.
    """
    run, owners = state.run, bets.owners
    events = int(run.sum())
    excess = np.bincount(owners, weights=run - events * bets.spacings / bets.spacings.sum())
    owner = int(np.argmax(excess))
    since = state.since_seconds[int(np.argmax(state.log_m))]
    return owner, int(run[owners == owner].sum()), events, float(since)


def fluctuation(spacings: Sequence[float], history: Counts) -> float:
    """Return three relative standard deviations of the learnt bets' gains without a change.

    The baseline's own events are bet on as if they were new: in each stretch of time, cells are
    weighted by their growth in the stretches before it, and the mean weight is compared with
    that of the baseline's rates, beyond what chance explains.

    Args:
        spacings: The baseline's spacings by cell, F numbers.
        history: Events by stretch of time and cell, shape (T, F).
    """
    usual = np.array(spacings) / sum(spacings)
    recent, excess, weight = np.zeros(len(usual)), 0.0, 0.0
    for hits in history:
        events = int(hits.sum())
        if events and recent.sum() >= REFRESH_EVENTS:
            prices = _growth(recent, usual)
            expected = float(usual @ prices)
            chance = (float(usual @ prices**2) - expected**2) / events
            found = float(hits @ prices) / events
            excess += events * ((found / expected - 1) ** 2 - chance / expected**2)
            weight += events
        recent = recent * 0.5 ** (events / HALF_LIFE_EVENTS) + hits
    return 3.0 * float(np.sqrt(max(excess / weight, 0.0))) if weight else 0.0


def _log_gains(bets: PolyaUrnBets, state: PolyaUrnState, hits: Counts) -> Floats:
    """Return log L of each mixture weight, shape (S,)."""
    urn = bets.spacings + state.seen
    target = bets.target
    if target is None:
        grown = urn * state.growth
        target = grown / grown.sum()
    drawn = np.flatnonzero(hits)
    k, u, mixture_weights = hits[drawn], urn[drawn], bets.mixture_weights[:, None]
    w = (1 - mixture_weights) * u + mixture_weights * (urn.sum() * target[drawn])
    gains = (gammaln(w + k) - gammaln(w)).sum(axis=1) - (gammaln(u + k) - gammaln(u)).sum()
    # A rate that is higher by the tolerance alone yields this gain: it is no evidence.
    return np.asarray(gains - k.sum() * np.log1p(bets.mixture_weights * bets.tolerance))


def _growth(recent: Floats, usual: Floats) -> Floats:
    """Return the expected growth of each cell, for Poisson counts with most rates unchanged.

    The distribution of growth over the cells is estimated from all of them by a few rounds of
    expectation-maximisation.

    Args:
        recent: Past events by cell, shape (F,).
        usual: The baseline's rates, shape (F,).

    Source: Robbins, "An empirical Bayes approach to statistics" (1956); Kiefer and
    Wolfowitz (1956) for the mixture.
    """
    growth = np.array(GROWTH)
    expected = recent.sum() * usual
    log_like = recent[:, None] * np.log(growth) - expected[:, None] * (growth - 1)
    like = np.exp(log_like - log_like.max(axis=1, keepdims=True))
    assumed = np.where(growth == 1, _UNCHANGED, (1 - _UNCHANGED) / (len(growth) - 1))
    common = assumed
    for _ in range(_ROUNDS):
        chance = like * common
        chance /= chance.sum(axis=1, keepdims=True)
        common = (chance.sum(axis=0) + _PRIOR_CELLS * assumed) / (len(recent) + _PRIOR_CELLS)
    chance = like * common
    return np.asarray((chance @ growth) / chance.sum(axis=1))
