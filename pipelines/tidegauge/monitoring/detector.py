"""One monitor on one segment: its bets, its evidence, and what they say after a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

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
from tidegauge.detection.indicators import count_all
from tidegauge.detection.polya_urn import count_cells
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.catalog import signal_of
from tidegauge.monitoring.change_point import ChangePoint, advance, no_change_point
from tidegauge.monitoring.rate_references import tested
from tidegauge.schemas import OTHER, Segment
from tidegauge.schemas.findings import Signal
from tidegauge.schemas.sketches import Sketch

__all__ = [
    "Detector",
    "DetectorEvidence",
    "IndicatorCounts",
    "IndicatorEffect",
    "build_detector",
    "count_window",
    "effect_ratio",
    "effects_of",
    "watch",
]

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
    urns = signal_of(monitor) == "drift" and segment != OTHER
    bets = place_bets(reference, urns=urns)
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
        cells = tuple(count_cells(urn, sketch) for urn in detector.bets.urns)
        return IndicatorCounts(hits, trials, cells)
    pairs = [tested(indicator, sketch) for indicator in detector.reference.indicators]
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
    onset = advance(track.onset, log_lr, counted.hits, counted.trials, start_ms)
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
