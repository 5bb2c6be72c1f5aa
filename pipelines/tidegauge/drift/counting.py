"""Counting a baseline's requests into bands, for all traffic and for its busy segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.baseline import Lens
from tidegauge.drift.sighting import SHARES
from tidegauge.drift.sphere import assign
from tidegauge.engine.adaptive import Cells, fluctuation, ready
from tidegauge.engine.indicators import Indicator
from tidegauge.engine.reference import OPEN_BELOW, Reference, build
from tidegauge.schemas import Segment

__all__ = ["Counted", "Past", "references"]

Counts: TypeAlias = NDArray[np.int64]

ALPHA = 0.025
"""Chance that any band misses its rate, and again that any bound of the adaptive bets does."""
CELL_SHARE = 0.4
"""Part of the monitor's budget that the adaptive bets get."""

_FEWEST_OF_A_SEGMENT = 1_000
_MINUTE_MS = 60_000
_STRETCHES = 336
"""Into so many a baseline's time is cut to see how it fluctuates: an hour in two weeks."""
_ALL = Segment(model="")


@dataclass(frozen=True, slots=True)
class Past:
    """One request of before.

    Attributes:
        text: As it was prepared for the embedder.
        segment: Slice of the traffic, None when it is not known.
        time_ms: When it was asked, None when it is not known.
    """

    text: str
    segment: Segment | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What holds for each of n requests.

    Attributes:
        tested: Indicators, J of them, the clusters first.
        hits: Whether each holds, shape (n, J).
        trials: Whether the request is asked, shape (n, J).
        on_a: Whether the request shaped the lens, shape (n,).
        cells: Its cell in each division, shape (n, M).
    """

    tested: tuple[Indicator, ...]
    hits: NDArray[np.bool_]
    trials: NDArray[np.bool_]
    on_a: NDArray[np.bool_]
    cells: Counts


def references(past: Sequence[Past], counted: Counted, lens: Lens) -> dict[str, Reference]:
    """Return bands by segment key, ``""`` for all traffic.

    Args:
        past: The requests, n of them; seasons are seen where each has a time.
        counted: What holds for them.
        lens: How they were looked at.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(past):
        if one.segment is not None:
            for segment in (one.segment, *one.segment.parents()):
                rows_of[segment.key].append(row)
    groups = {
        key: np.array(rows) for key, rows in rows_of.items() if len(rows) >= _FEWEST_OF_A_SEGMENT
    }
    groups[""] = np.arange(len(past))
    times = [one.time_ms for one in past if one.time_ms is not None]
    minutes = np.array(times, np.int64) // _MINUTE_MS * _MINUTE_MS
    timed = len(times) == len(past)
    found = {}
    for key, rows in sorted(groups.items()):
        made = _reference(key, rows, counted, minutes[rows] if timed else None)
        if made is not None:
            cells = _cells(counted, rows, lens, minutes[rows] if timed else None)
            found[key] = msgspec.structs.replace(made, cells=cells)
    return found


def _reference(
    key: str, rows: Counts, counted: Counted, times_ms: Counts | None
) -> Reference | None:
    """Return the bands of some requests; None where an indicator was never asked."""
    starts, stretch = (
        (None, np.zeros(len(rows), np.int64))
        if times_ms is None
        else np.unique(times_ms, return_inverse=True)
    )
    shape = (int(stretch.max()) + 1, len(counted.tested))
    asked, held = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(asked, stretch, counted.trials[rows])
    np.add.at(held, stretch, counted.hits[rows] & counted.trials[rows])
    if (asked.sum(axis=0) == 0).any():
        return None
    made = build(
        baseline="",
        segment=Segment.from_key(key) if key else _ALL,
        indicators=counted.tested,
        hits=held,
        trials=asked,
        times_ms=starts,
        shares=SHARES,
        alpha=ALPHA,
    )
    return msgspec.structs.replace(
        made,
        low=_open_below(made.low, counted.tested),
        slot_low=tuple(_open_below(low, counted.tested) for low in made.slot_low),
    )


def _open_below(low: tuple[float, ...], tested: Sequence[Indicator]) -> tuple[float, ...]:
    """Open the bands of novelty below.

    The baseline's own texts were measured without themselves, new ones are measured against
    all of them and may seem less strange: only more strangeness is a change.
    """
    return tuple(
        OPEN_BELOW if indicator.family == "novelty" else edge
        for indicator, edge in zip(tested, low, strict=True)
    )


def _cells(counted: Counted, rows: Counts, lens: Lens, times_ms: Counts | None) -> Cells:
    """Count the cells: rates of side A set the prices, counts of side B bound them."""
    cells, on_a = counted.cells[rows], counted.on_a[rows]
    divisions, size, dimension = lens.divisions.shape
    labels = tuple(str(index) for index in range(divisions * size))
    prior = np.bincount(cells[on_a].ravel(), minlength=len(labels)).reshape(divisions, size) + 0.5
    made = Cells(
        divisions=divisions,
        labels=labels,
        # The clusters come first among the indicators: a cluster's number is its index.
        owners=tuple(assign(lens.divisions.reshape(-1, dimension), lens.centroids).tolist()),
        prior=tuple((prior / prior.sum(axis=1, keepdims=True)).ravel().tolist()),
        counts=tuple(np.bincount(cells[~on_a].ravel(), minlength=len(labels)).tolist()),
        share=CELL_SHARE,
        alpha=ALPHA,
    )
    if times_ms is None:
        return made
    since = times_ms - times_ms.min()
    stretch = since // max(int(since.max()) // _STRETCHES + 1, _MINUTE_MS)
    history = np.zeros((int(stretch.max()) + 1, divisions * size), np.int64)
    np.add.at(history, (stretch[:, None], cells), 1)
    return msgspec.structs.replace(
        made, tolerance=fluctuation(ready(made), history.reshape(-1, divisions, size))
    )
