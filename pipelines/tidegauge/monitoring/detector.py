"""One monitor on one segment: its bets, their evidence, and the change point of each bet.

The detector's own statistic sums over all possible change points, so it hardly ever starts
anew and dates a change too early. A bet's likelihood ratio summed from its last minimum,
``W <- max(0, W) + log L``, is zero until the change for the most part: where it last left
zero is the most likely change point (Page, "Continuous inspection schemes", Biometrika 41,
1954), and the counts since then show the size of the effect undiluted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.detector import (
    RATIOS,
    Bets,
    Contribution,
    Decision,
    Evidence,
    best_bet,
    judge,
    no_evidence,
    observe,
    place_bets,
)
from tidegauge.detection.indicators import count_all, count_asked
from tidegauge.detection.polya_urn import count_cells
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.catalog import signal_of
from tidegauge.monitoring.errors import MonitorStateError
from tidegauge.schemas import OTHER, Segment
from tidegauge.schemas.findings import Signal
from tidegauge.schemas.sketches import Sketch

__all__ = [
    "ChangePoint",
    "ChangePointState",
    "Detector",
    "DetectorEvidence",
    "IndicatorCounts",
    "IndicatorEffect",
    "advance_change_point",
    "build_detector",
    "count_window",
    "effect_ratio",
    "effects_of",
    "no_change_point",
    "pack_change_point",
    "unpack_change_point",
    "watch",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The run of each bet, arrays of shape (J, G).

    Attributes:
        log_w: Log-likelihood ratio since the run began.
        since_ms: Start of the run's first window, Unix milliseconds.
        hits: Events of the run for which the indicator held.
        trials: Events of the run.
    """

    log_w: Floats
    since_ms: Counts
    hits: Counts
    trials: Counts


class ChangePointState(msgspec.Struct, frozen=True, kw_only=True):
    """An onset as plain data: little-endian numbers, row by row."""

    shape: tuple[int, int]
    log_w: bytes
    since_ms: bytes
    hits: bytes
    trials: bytes


def no_change_point(shape: tuple[int, int]) -> ChangePoint:
    """Return the state before the first window."""
    nothing = np.zeros(shape, np.int64)
    return ChangePoint(np.zeros(shape), nothing, nothing, nothing)


def advance_change_point(
    onset: ChangePoint, log_lr: Floats, hits: Counts, trials: Counts, start_ms: int
) -> ChangePoint:
    """Add one closed window.

    Args:
        onset: The state before the window.
        log_lr: Each bet's log-likelihood ratio of the window, shape (J, G).
        hits: The window's events for which each indicator held, shape (J,).
        trials: The window's events asked, shape (J,).
        start_ms: Start of the window.
    """
    anew = onset.log_w <= 0
    return ChangePoint(
        log_w=np.where(anew, 0.0, onset.log_w) + log_lr,
        since_ms=np.where(anew, start_ms, onset.since_ms),
        hits=np.where(anew, 0, onset.hits) + hits[:, None],
        trials=np.where(anew, 0, onset.trials) + trials[:, None],
    )


def pack_change_point(onset: ChangePoint) -> ChangePointState:
    """Write an onset: ``unpack_change_point`` gives the same bits back."""
    rows, columns = onset.log_w.shape
    return ChangePointState(
        shape=(rows, columns),
        log_w=onset.log_w.astype("<f8").tobytes(),
        since_ms=onset.since_ms.astype("<i8").tobytes(),
        hits=onset.hits.astype("<i8").tobytes(),
        trials=onset.trials.astype("<i8").tobytes(),
    )


def unpack_change_point(state: ChangePointState) -> ChangePoint:
    """Read an onset back.

    Raises:
        MonitorStateError: The numbers do not fill the shape.
    """
    try:
        counts = [
            np.frombuffer(data, "<i8").reshape(state.shape).astype(np.int64)
            for data in (state.since_ms, state.hits, state.trials)
        ]
        log_w = np.frombuffer(state.log_w, "<f8").reshape(state.shape).astype(np.float64)
    except ValueError as error:
        raise MonitorStateError(f"an onset in the monitor's snapshot is broken: {error}") from error
    return ChangePoint(log_w, *counts)


_NOTABLE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Detector:
    """What is tested and by which bets; fixed by the baseline.

    Attributes:
        monitor: Name of the monitor.
        segment: Slice of the traffic that is tested.
        reference: What is normal.
        reference_key: Key of the segment that the reference was counted on.
        bets: The engine's bets.
        log_threshold: Log of the mean time to a false alarm that it owes, in seconds.
    """

    monitor: str
    segment: Segment
    reference: Reference
    reference_key: str
    bets: Bets
    log_threshold: float

    @property
    def signal(self) -> Signal:
        """The monitor's signal."""
        return signal_of(self.monitor)

    @property
    def borrowed(self) -> bool:
        """Whether the reference is a wider segment's."""
        return self.reference_key != self.segment.key


@dataclass(frozen=True, slots=True)
class DetectorEvidence:
    """A detector's state.

    Attributes:
        evidence: The engine's state.
        onset: Since when each bet has been winning.
        end_ms: End of the last window observed; None before the first.
        events: Events asked since the evidence began.
    """

    evidence: Evidence
    onset: ChangePoint
    end_ms: int | None = None
    events: int = 0


@dataclass(frozen=True, slots=True)
class IndicatorEffect:
    """What one part of a decision amounts to since it began.

    Attributes:
        part: The part.
        since_ms: Most likely beginning of the change, Unix milliseconds.
        hits: Events since then for which the indicator held.
        trials: Events since then.
    """

    part: Contribution
    since_ms: int
    hits: int
    trials: int


@dataclass(frozen=True, slots=True)
class IndicatorCounts:
    """A window's counts.

    Attributes:
        hits: Events for which each indicator held, shape (J,).
        trials: Events of which it was asked, shape (J,).
        cells: Events by each urn's cells, for drift.
    """

    hits: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    trials: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    cells: tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], ...] = ()

    @property
    def events(self) -> int:
        """Events of which the most asked indicator was asked."""
        return int(self.trials.max(initial=0))


def build_detector(
    monitor: str, segment: Segment, reference_key: str, reference: Reference, log_threshold: float
) -> Detector:
    """Place a monitor's bets.

    Drift is a change in either direction, of one indicator or of many a little; for every
    other monitor the indicators are harms, and the whole budget goes to their rise.
    """
    # What is counted together beyond the cap was divided into cells by different references.
    polya_urns = signal_of(monitor) == "drift" and segment != OTHER
    bets = place_bets(reference, polya_urns=polya_urns)
    if signal_of(monitor) != "drift":
        weights = np.full_like(bets.log_weights, -np.inf)
        whole = np.logaddexp.reduce(bets.log_weights, axis=1, keepdims=True)
        weights[:, : len(RATIOS)] = whole - np.log(len(RATIOS))
        bets = replace(bets, log_weights=weights)
    return Detector(monitor, segment, reference, reference_key, bets, log_threshold)


def count_window(detector: Detector, sketch: Sketch) -> IndicatorCounts:
    """Return a window's counts for the detector's indicators."""
    if sketch.kind == "drift":
        hits, trials = count_all(detector.reference.indicators, sketch)
        cells = tuple(count_cells(urn, sketch) for urn in detector.bets.polya_urns)
        return IndicatorCounts(hits, trials, cells)
    pairs = [count_asked(indicator, sketch) for indicator in detector.reference.indicators]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return IndicatorCounts(table[:, 0], table[:, 1])


def watch(
    detector: Detector,
    track: DetectorEvidence | None,
    counted: IndicatorCounts,
    *,
    start_ms: int,
    end_ms: int,
) -> tuple[DetectorEvidence, Decision]:
    """Observe one closed window, in order of time, and judge.

    Windows without events need not be shown: the time since the last window passes first,
    and brings no evidence.

    Raises:
        EvidenceMismatchError: The track belongs to another baseline.
    """
    bets = detector.bets
    if track is None:
        rows, columns = bets.log_weights.shape
        track = DetectorEvidence(no_evidence(bets), no_change_point((rows, columns)))
    evidence = track.evidence
    slot = detector.reference.slot(start_ms)
    quiet_ms = 0 if track.end_ms is None else max(0, start_ms - track.end_ms)
    if quiet_ms:
        nothing = np.zeros_like(counted.hits)
        evidence = observe(
            bets, evidence, nothing, nothing, duration_seconds=quiet_ms / 1000, slot=slot
        )
    seconds = (end_ms - start_ms) / 1000
    after = observe(
        bets,
        evidence,
        counted.hits,
        counted.trials,
        duration_seconds=seconds,
        slot=slot,
        cells=counted.cells,
    )
    log_lr = after.log_m - np.logaddexp(evidence.log_m, np.log(seconds))
    onset = advance_change_point(track.onset, log_lr, counted.hits, counted.trials, start_ms)
    # All of a drift's families are named: strangeness alarms, but topics explain.
    drift = detector.signal == "drift"
    families = [i.family for i in detector.reference.indicators] if drift else []
    decision = judge(bets, after, log_threshold=detector.log_threshold, families=families)
    return DetectorEvidence(after, onset, end_ms, track.events + counted.events), decision


def effects_of(
    detector: Detector, track: DetectorEvidence, decision: Decision
) -> tuple[IndicatorEffect, ...]:
    """Return what each part of a decision amounts to, by its strongest bet's run.

    An indicator that has several parts, by bets of its own and by an urn's, is named
    once, with the sum of their shares.
    """
    log_parts = detector.bets.log_weights + track.evidence.log_m
    onset = track.onset
    found: dict[int, IndicatorEffect] = {}
    for part in decision.parts:
        j = part.indicator
        if j in found:
            share = found[j].part.share + part.share
            found[j] = replace(found[j], part=replace(found[j].part, share=share))
            continue
        g = best_bet(log_parts[j])
        found[j] = IndicatorEffect(
            part=part,
            since_ms=int(onset.since_ms[j, g]),
            hits=int(onset.hits[j, g]),
            trials=int(onset.trials[j, g]),
        )
    return tuple(found.values())


def effect_ratio(detector: Detector, effects: Sequence[IndicatorEffect]) -> float:
    """Return how many times a rate lies beyond its band: the largest of the notable parts."""
    ratios = [
        _ratio(detector.reference, effect)
        for effect in effects
        if effect.part.share >= _NOTABLE_SHARE and effect.trials
    ]
    return max(ratios, default=1.0)


def _ratio(reference: Reference, effect: IndicatorEffect) -> float:
    rate, j = effect.hits / effect.trials, effect.part.indicator
    if effect.part.rises:
        return rate / reference.high[j]
    return reference.low[j] / max(rate, 1 / (2 * effect.trials))
