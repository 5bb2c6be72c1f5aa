"""When did it begin? The change point of each bet, beside the statistic that alarms.

The detector's own statistic sums over all possible beginnings, so it hardly ever starts
anew and dates a change too early. A bet's likelihood ratio summed from its last minimum,
``W <- max(0, W) + log L``, is zero until the change for the most part: where it last left
zero is the most likely beginning (Page, "Continuous inspection schemes", Biometrika 41,
1954), and the counts since then show the size of the effect undiluted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.monitoring.errors import MonitorStateError

__all__ = ["ChangePoint", "ChangePointState", "advance", "no_change_point", "pack", "unpack"]

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


def advance(
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


def pack(onset: ChangePoint) -> ChangePointState:
    """Write an onset: ``unpack`` gives the same bits back."""
    rows, columns = onset.log_w.shape
    return ChangePointState(
        shape=(rows, columns),
        log_w=onset.log_w.astype("<f8").tobytes(),
        since_ms=onset.since_ms.astype("<i8").tobytes(),
        hits=onset.hits.astype("<i8").tobytes(),
        trials=onset.trials.astype("<i8").tobytes(),
    )


def unpack(state: ChangePointState) -> ChangePoint:
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
