"""Back-test: does a baseline keep its promise on its own time, left out a quarter at a time?

Each quarter of the baseline is replayed against a reference that is fitted to the other three. An
alarm in thirty days cannot be confirmed on a few of them, but at low thresholds counts inform: with
T the time replayed, a detector whose mean time to a false alarm is at least T/20 raises at most 20
alarms on average, one at T/5 at most 5. After each alarm it starts afresh. The back-test passes
where the Poisson 95% upper bound of the number of alarms is within what is allowed.

Where it does not pass, the rates' dispersion is multiplied by a factor from a grid, and so are the
half-widths of the bands whose rates fluctuate by no more than chance: there the dispersion may be
nearly zero, and chance alone may raise two alarms where one would pass. The factor is chosen on the
first and third quarter and confirmed on the others. The first and the last quarter are extrapolated
from the rest, those between are interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.detection.reference import BackTest, Reference

__all__ = ["WIDENINGS", "Fit", "Fitted", "History", "Outcome", "back_test", "most_alarms"]

Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

WIDENINGS = (1.0, 1.5, 2.25, 3.5)
"""Factors of the dispersion, or of a calm rate's band, that are tried, the first one first."""
SHORTEST_MS = 30 * 60_000
"""A shorter baseline is not back-tested."""
_QUARTERS = 4
_ALLOWED = (20, 5)
"""Alarms that are allowed, at ever higher thresholds."""
_MOST_WINDOWS = 4_000
_MISSED = 0.05
_REFUSED = (
    "replayed against its own other parts, this baseline raises {found[0]} alarms where {most[0]} "
    "would pass, and {found[1]} at a higher threshold where {most[1]} would: its rates change in "
    "ways that it does not foresee"
)


@dataclass(frozen=True, slots=True)
class History:
    """A baseline's counts by window of time, B windows in order of time.

    Attributes:
        starts_ms: Start of each window, Unix milliseconds, shape (B,).
        hits: Counts of J indicators, shape (B, J).
        trials: Their trials, shape (B, J).
        window_ms: Length of a window, milliseconds.
        cells: Events by the cells of each Polya urn, shape (B, F) each; empty without urns.
        falls: Whether the indicators' falls are tested as well as their rises.
    """

    starts_ms: Counts
    hits: Counts
    trials: Counts
    window_ms: int
    cells: tuple[Counts, ...] = ()
    falls: bool = True

    @property
    def span_ms(self) -> int:
        """The time from the first window's start to the last one's end, milliseconds."""
        return int(self.starts_ms[-1] - self.starts_ms[0]) + self.window_ms if len(self.hits) else 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """A reference with the cells of all windows by its own bin edges.

    Attributes:
        reference: The reference.
        cells: Events by the cells of each of its urns, shape (B, F) each.
    """

    reference: Reference
    cells: tuple[Counts, ...] = ()


class Fit(Protocol):
    """Fits a reference to some of a history's windows."""

    def __call__(self, kept: Flags, widening: float) -> Fitted | None:
        """Return the reference of the windows kept, shape (B,); None where it cannot be fitted.

        Args:
            kept: Whether a window is fitted to.
            widening: Factor of the dispersion.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a back-test found.

    Attributes:
        widening: Factor of the dispersion to fit the whole history with.
        back_test: Its counts; None where the history is too short, or could not be fitted.
        refused: Why no factor passes, for people; empty where one does.
        wanted_ms: Length of a baseline that might pass; 0 where this one does.
    """

    widening: float = 1.0
    back_test: BackTest | None = None
    refused: str = ""
    wanted_ms: int = 0

    def apply(self, reference: Reference) -> Reference:
        """Return the whole history's reference with what was found."""
        refused = reference.refused or self.refused
        return msgspec.structs.replace(
            reference,
            back_test=self.back_test,
            refused=refused,
            wanted_ms=reference.wanted_ms or self.wanted_ms,
        )


def back_test(fit: Fit, history: History) -> Outcome:
    """Choose the smallest factor of the dispersion with which a history keeps its promise.

    Args:
        fit: Fits references to the history.
        history: The history.
    """
    if history.span_ms < SHORTEST_MS:
        return Outcome()
    quarter = np.minimum(
        (history.starts_ms - history.starts_ms[0]) * _QUARTERS // history.span_ms, _QUARTERS - 1
    )
    found = Outcome()
    for widening in WIDENINGS:
        counts = [
            _alarms(fit, history, quarter == number, quarter != number, widening)
            for number in range(_QUARTERS)
        ]
        known = [one for one in counts if one is not None]
        if len(known) < _QUARTERS:
            return Outcome()
        alarms = np.array(known)
        total = tuple(int(one) for one in alarms.sum(axis=0))
        counted = BackTest(
            seconds=history.span_ms / 1000, alarms=total, allowed=_ALLOWED, widening=widening
        )
        if _passes(alarms):
            return Outcome(widening, counted)
        most = [most_alarms(allowed) for allowed in _ALLOWED]
        reason = _REFUSED.format(found=total, most=most)
        found = Outcome(1.0, counted, reason, 2 * history.span_ms)
    return found


def most_alarms(allowed: int) -> int:
    """Return the largest number of alarms whose 95% upper bound is within what is allowed.

    Example:
        >>> most_alarms(20), most_alarms(5)
        (12, 1)
    """
    found = -1
    while chdtri(2 * (found + 2), _MISSED) / 2 <= allowed:
        found += 1
    return found


def _passes(alarms: Counts) -> bool:
    """Return whether a factor passes on the quarters that choose it, and on those that confirm it.

    Args:
        alarms: Alarms by quarter and threshold, shape (4, 2).
    """
    halves = (alarms[::2].sum(axis=0), alarms[1::2].sum(axis=0))
    together = all(
        count <= most_alarms(allowed)
        for count, allowed in zip(alarms.sum(axis=0), _ALLOWED, strict=True)
    )
    return together and all(half[0] <= _ALLOWED[0] // 2 for half in halves)


def _alarms(
    fit: Fit, history: History, replayed: Flags, kept: Flags, widening: float
) -> tuple[int, ...] | None:
    """Return the alarms of a quarter at each threshold; None where nothing can be fitted."""
    fitted = fit(kept, widening)
    if fitted is None or not replayed.any():
        return None
    reference = fitted.reference
    windows = _coarser(replace(history, cells=fitted.cells), replayed)
    seconds = history.span_ms / 1000
    longest = max(reference.block_ms, default=0) / 1000
    counts = [0] * len(_ALLOWED)
    for place, allowed in enumerate(_ALLOWED):
        counts[place] = _replay(reference, windows, float(np.log(seconds / allowed + longest)))
        if not counts[place]:
            break  # what never reaches a threshold reaches no higher one
    return tuple(counts)


def _coarser(history: History, replayed: Flags) -> History:
    """Return some of a history's windows, joined where they are many."""
    most = _MOST_WINDOWS // _QUARTERS
    starts = history.starts_ms[replayed]
    span = int(starts[-1] - starts[0]) + history.window_ms
    length = history.window_ms * max(1, -(-span // (most * history.window_ms)))
    numbers, first = np.unique((starts - starts[0]) // length, return_index=True)
    return History(
        starts_ms=starts[0] + numbers * length,
        hits=np.add.reduceat(history.hits[replayed], first, axis=0),
        trials=np.add.reduceat(history.trials[replayed], first, axis=0),
        window_ms=length,
        cells=tuple(np.add.reduceat(cells[replayed], first, axis=0) for cells in history.cells),
        falls=history.falls,
    )


def _replay(reference: Reference, history: History, log_threshold: float) -> int:
    """Count the alarms of a reference on a history, starting afresh after each."""
    bets = place_bets(reference, polya_urns=bool(history.cells), falls=history.falls)
    evidence, alarms = no_evidence(bets), 0
    seconds = history.window_ms / 1000
    used = history.cells[: len(bets.polya_urns)]
    for row, start in enumerate(history.starts_ms.tolist()):
        evidence = observe(
            bets,
            evidence,
            history.hits[row],
            history.trials[row],
            duration_seconds=seconds,
            start_ms=start,
            slot=reference.slot(start),
            cells=[cells[row] for cells in used],
        )
        if judge(bets, evidence, log_threshold=log_threshold, most=0).alarm:
            evidence, alarms = no_evidence(bets), alarms + 1
    return alarms
