"""One monitor on one segment: its bets, their evidence, and the change point of each bet.

The detector's own statistic sums over all possible change points, so it seldom returns to its
start and would date a change too early. The CUSUM of a bet's log-likelihood ratio,
``W <- max(0, W) + log L``, is mostly zero before a change: the window in which it last left
zero is the most likely change point (Page, "Continuous inspection schemes", Biometrika 41,
1954), and the counts since then show the size of the effect undiluted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.bets import Bets, place_bets
from tidegauge.detection.e_detector import (
    Contribution,
    Decision,
    Evidence,
    best_bet,
    judge,
    no_evidence,
    observe,
    window_log_lr,
)
from tidegauge.detection.indicators import count_all
from tidegauge.detection.polya_urn import count_cells
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.errors import MonitorStateError
from tidegauge.reports.reference_text import back_test_sentence
from tidegauge.schemas import OTHER, Segment
from tidegauge.schemas.findings import Monitor
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
    "effects_of",
    "no_change_point",
    "observe_counts",
    "observe_window",
    "pack_change_point",
    "unpack_change_point",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The change point of each bet and the counts since then, arrays of shape (J, G).

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
    """Change points as plain data: little-endian numbers, row by row."""

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
    change_point: ChangePoint, log_lr: Floats, hits: Counts, trials: Counts, start_ms: int
) -> ChangePoint:
    """Add one closed window.

    Args:
        change_point: The state before the window.
        log_lr: Each bet's log-likelihood ratio of the window, shape (J, G).
        hits: The window's events for which each indicator held, shape (J,).
        trials: The window's trials of each indicator, shape (J,).
        start_ms: Start of the window.
    """
    restarted = change_point.log_w <= 0
    return ChangePoint(
        log_w=np.where(restarted, 0.0, change_point.log_w) + log_lr,
        since_ms=np.where(restarted, start_ms, change_point.since_ms),
        hits=np.where(restarted, 0, change_point.hits) + hits[:, None],
        trials=np.where(restarted, 0, change_point.trials) + trials[:, None],
    )


def pack_change_point(change_point: ChangePoint) -> ChangePointState:
    """Write change points as plain data: ``unpack_change_point`` gives the same bits back."""
    rows, columns = change_point.log_w.shape
    return ChangePointState(
        shape=(rows, columns),
        log_w=change_point.log_w.astype("<f8").tobytes(),
        since_ms=change_point.since_ms.astype("<i8").tobytes(),
        hits=change_point.hits.astype("<i8").tobytes(),
        trials=change_point.trials.astype("<i8").tobytes(),
    )


def unpack_change_point(state: ChangePointState) -> ChangePoint:
    """Read change points from plain data.

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
        raise MonitorStateError(
            f"a change point in the monitor's snapshot is broken: {error}"
        ) from error
    return ChangePoint(log_w, *counts)


@dataclass(frozen=True, slots=True)
class Detector:
    """A test of one monitor on one segment: its reference and its bets.

    Attributes:
        monitor: The monitor.
        segment: Slice of the traffic that is tested.
        reference: Bands of normal rates, from the baseline.
        reference_key: Key of the segment that the reference was counted on.
        bets: Bets on each indicator's rise and fall.
        log_threshold: Log of its guaranteed mean time to a false alarm, in seconds.
        back_test: How the reference did on its own baseline, in words.
        borrowed: Whether the reference is a wider segment's.
    """

    monitor: Monitor
    segment: Segment
    reference: Reference
    reference_key: str
    bets: Bets
    log_threshold: float
    back_test: str
    borrowed: bool


@dataclass(frozen=True, slots=True)
class DetectorEvidence:
    """The evidence of a detector so far.

    Attributes:
        bets: Evidence of each bet.
        change_point: Change point of each bet.
        end_ms: End of the last window observed; None before the first.
        events: Events counted since the evidence began.
    """

    bets: Evidence
    change_point: ChangePoint
    end_ms: int | None = None
    events: int = 0


@dataclass(frozen=True, slots=True)
class IndicatorEffect:
    """One indicator's contribution to a decision, and its counts since the change point.

    Attributes:
        contribution: Its contribution.
        since_ms: The most likely change point, Unix milliseconds.
        hits: Events since then for which the indicator held.
        trials: Events since then.
    """

    contribution: Contribution
    since_ms: int
    hits: int
    trials: int


@dataclass(frozen=True, slots=True)
class IndicatorCounts:
    """The counts of one window.

    Attributes:
        hits: Events for which each indicator held, shape (J,).
        trials: Events for which each indicator was evaluated, shape (J,).
        cells: Events by the cells of each Polya urn, for drift.
    """

    hits: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    trials: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    cells: tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], ...] = ()

    @property
    def events(self) -> int:
        """The largest number of trials of any indicator."""
        return int(self.trials.max(initial=0))


def build_detector(
    monitor: Monitor,
    segment: Segment,
    reference_key: str,
    reference: Reference,
    log_threshold: float,
) -> Detector:
    """Build the detector of a monitor on a segment.

    Drift is a change in either direction, large in one indicator or small in many. The
    indicators of every other monitor are harms, and their whole budget is for a rise.
    """
    # Segments beyond the cap are counted together, though their cells are those of different
    # references.
    polya_urns = monitor.signal == "drift" and segment != OTHER
    bets = place_bets(reference, polya_urns=polya_urns, falls=monitor.signal == "drift")
    said = back_test_sentence(reference)
    borrowed = reference_key != segment.key
    return Detector(monitor, segment, reference, reference_key, bets, log_threshold, said, borrowed)


def count_window(detector: Detector, sketch: Sketch) -> IndicatorCounts:
    """Return a window's counts for the detector's indicators."""
    hits, trials = count_all(detector.reference.indicators, sketch)
    cells = tuple(count_cells(urn, sketch) for urn in detector.bets.polya_urns)
    return IndicatorCounts(hits, trials, cells)


def observe_window(
    detector: Detector,
    evidence: DetectorEvidence | None,
    counted: IndicatorCounts,
    *,
    start_ms: int,
    end_ms: int,
) -> tuple[DetectorEvidence, Decision]:
    """Add one closed window, in order of time, to a detector's evidence, and test it.

    Windows without events may be left out: they add time and no evidence.

    Raises:
        EvidenceMismatchError: The evidence belongs to another baseline.
    """
    bets = detector.bets
    if evidence is None:
        rows, columns = bets.log_weights.shape
        evidence = DetectorEvidence(no_evidence(bets), no_change_point((rows, columns)))
    quiet_ms = 0 if evidence.end_ms is None else max(0, start_ms - evidence.end_ms)
    before, after = observe_counts(
        detector, evidence.bets, counted, quiet_ms=quiet_ms, start_ms=start_ms, end_ms=end_ms
    )
    log_lr = window_log_lr(bets, before, after, duration_seconds=(end_ms - start_ms) / 1000)
    change_point = advance_change_point(
        evidence.change_point, log_lr, counted.hits, counted.trials, start_ms
    )
    # Every family of drift contributes to the decision: an alarm of novelty is explained by topics.
    drift = detector.monitor.signal == "drift"
    families = [i.family for i in detector.reference.indicators] if drift else []
    decision = judge(bets, after, log_threshold=detector.log_threshold, families=families)
    return DetectorEvidence(after, change_point, end_ms, evidence.events + counted.events), decision


def observe_counts(  # noqa: PLR0913 - a window and the quiet time before it
    detector: Detector,
    evidence: Evidence,
    counted: IndicatorCounts,
    *,
    quiet_ms: int,
    start_ms: int,
    end_ms: int,
) -> tuple[Evidence, Evidence]:
    """Add the quiet time before a closed window to the evidence of each bet, and the window.

    Returns:
        The evidence before the window, the quiet time included, and the evidence after it.
    """
    bets, before = detector.bets, evidence
    slot = detector.reference.slot(start_ms)
    if quiet_ms:
        nothing = np.zeros_like(counted.hits)
        before = observe(
            bets,
            before,
            nothing,
            nothing,
            duration_seconds=quiet_ms / 1000,
            start_ms=start_ms,
            slot=slot,
        )
    after = observe(
        bets,
        before,
        counted.hits,
        counted.trials,
        duration_seconds=(end_ms - start_ms) / 1000,
        start_ms=start_ms,
        slot=slot,
        cells=counted.cells,
    )
    return before, after


def effects_of(
    detector: Detector, evidence: DetectorEvidence, decision: Decision
) -> tuple[IndicatorEffect, ...]:
    """Return the effect of each indicator that contributes, by its strongest bet's run.

    An indicator that contributes several times, by bets of its own and by those on an urn,
    has one effect with the sum of their shares.
    """
    log_parts = detector.bets.log_weights + evidence.bets.log_m
    change_point = evidence.change_point
    found: dict[int, IndicatorEffect] = {}
    for contribution in decision.parts:
        j = contribution.indicator
        if j in found:
            share = found[j].contribution.share + contribution.share
            whole = replace(found[j].contribution, share=share)
            found[j] = replace(found[j], contribution=whole)
            continue
        g = best_bet(log_parts[j])
        found[j] = IndicatorEffect(
            contribution=contribution,
            since_ms=int(change_point.since_ms[j, g]),
            hits=int(change_point.hits[j, g]),
            trials=int(change_point.trials[j, g]),
        )
    return tuple(found.values())
