"""References from a baseline's requests, for all traffic and for its busy segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.indicators import Indicator
from tidegauge.detection.polya_urn import PolyaUrn, fluctuation
from tidegauge.detection.reference import OPEN_BELOW, Reference, build
from tidegauge.drift.baseline import BinEdges, Projection
from tidegauge.drift.partition import cells_of, fit_bin_edges, margins, shares_of_rest
from tidegauge.drift.projection import SHARES, cell_label
from tidegauge.drift.units import LeftOut, Unit, unit_at
from tidegauge.drift.vectors import assign
from tidegauge.schemas import Segment

__all__ = ["CountedRequests", "HistoricalRequest", "references"]

Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = NDArray[np.float32]

TOPIC_SHARE, NOVELTY_SHARE = 0.4, 0.2
"""Parts of the monitor's budget that the bets on Polya urns get; the bands get the rest."""
TOPIC_MIXTURE_WEIGHTS = (0.5, 0.9)
NOVELTY_MIXTURE_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of unusual requests that are bet on."""
_STRANGEST = 0.005
"""Unusual requests are expected evenly over the log of their rank, and within this top share."""

_FEWEST_OF_A_SEGMENT, _FEWEST_ASKED = 1_000, 100
"""Requests that a segment needs for its own bands, and how many must count for novelty."""
_MINUTE_MS = 60_000
_STRETCHES = 336
"""Number of stretches of a baseline's time for its fluctuation: in two weeks, one an hour."""
_ALL = Segment(model="")


@dataclass(frozen=True, slots=True)
class HistoricalRequest:
    """One past request.

    Attributes:
        text: The text that was prepared for the embedder.
        segment: Slice of the traffic, None when it is not known.
        time_ms: When it was asked, None when it is not known.
        conversation_id: Its conversation, unique over all customers; None when it is not known.
        turn: Number of the user's turn in the conversation, from 1.
    """

    text: str
    segment: Segment | None = None
    time_ms: int | None = None
    conversation_id: str | None = None
    turn: int = 1

    @property
    def unit(self) -> Unit | LeftOut:
        """What the request is counted as."""
        return unit_at(self.turn, self.conversation_id)


@dataclass(frozen=True, slots=True)
class CountedRequests:
    """Hits, trials, vectors and novelty of n requests.

    Attributes:
        tested: Indicators, J of them, the clusters first.
        hits: Whether each indicator holds, shape (n, J).
        trials: Whether each indicator is evaluated, shape (n, J).
        on_a: Whether the request shaped the projection, shape (n,).
        reduced: The requests' reduced vectors, shape (n, D).
        novelty: Novelty of each request, shape (n,).
        novelty_asked: Whether novelty is counted on the request, shape (n,).
    """

    tested: tuple[Indicator, ...]
    hits: NDArray[np.bool_]
    trials: NDArray[np.bool_]
    on_a: NDArray[np.bool_]
    reduced: Vectors
    novelty: Vectors
    novelty_asked: NDArray[np.bool_]


def references(
    requests: Sequence[HistoricalRequest], counted: CountedRequests, projection: Projection
) -> tuple[dict[str, Reference], dict[str, BinEdges]]:
    """Return references and bin edges by segment key, ``""`` for all traffic.

    Args:
        requests: The requests, n of them; seasons need a time for each.
        counted: Their hits, trials, vectors and novelty.
        projection: The projection that they were counted with.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(requests):
        if one.segment is not None:
            for segment in (one.segment, *one.segment.parents()):
                rows_of[segment.key].append(row)
    groups = {
        key: np.array(rows) for key, rows in rows_of.items() if len(rows) >= _FEWEST_OF_A_SEGMENT
    }
    groups[""] = np.arange(len(requests))
    times = [one.time_ms for one in requests if one.time_ms is not None]
    minutes = np.array(times, np.int64) // _MINUTE_MS * _MINUTE_MS
    timed = len(times) == len(requests)
    found, bin_edges = {}, {}
    for key, rows in sorted(groups.items()):
        if key and counted.novelty_asked[rows].sum() < _FEWEST_ASKED:
            continue  # nearly all of its texts are frequent ones: a wider segment is used
        made = _reference(key, rows, counted, minutes[rows] if timed else None)
        if made is not None:
            polya_urns, bin_edges[key] = _polya_urns(
                made, counted, rows, projection, minutes[rows] if timed else None
            )
            # Urns are exact for exchangeable requests only. Where rates wander by themselves, the
            # bands, which allow for it, get the whole budget.
            calm = not any(made.waves)
            found[key] = msgspec.structs.replace(made, polya_urns=polya_urns if calm else ())
    return found, bin_edges


def _reference(
    key: str, rows: Counts, counted: CountedRequests, times_ms: Counts | None
) -> Reference | None:
    """Return the bands of some requests; None where an indicator has no trials."""
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
    )
    return msgspec.structs.replace(
        made,
        low=_open_below(made.low, counted.tested),
        slot_low=tuple(_open_below(low, counted.tested) for low in made.slot_low),
    )


def _open_below(low: tuple[float, ...], tested: Sequence[Indicator]) -> tuple[float, ...]:
    """Remove the lower edges of the bands of novelty.

    The baseline's own texts were measured without themselves; new ones are measured against
    all of them and may have a lower novelty: only a higher novelty is a change.
    """
    return tuple(
        OPEN_BELOW if indicator.family == "novelty" else edge
        for indicator, edge in zip(tested, low, strict=True)
    )


def _polya_urns(
    made: Reference,
    counted: CountedRequests,
    rows: Counts,
    projection: Projection,
    times_ms: Counts | None,
) -> tuple[tuple[PolyaUrn, ...], BinEdges]:
    """Return the urns and bin edges of a segment: each division's, and that of novelty."""
    reduced, on_a = counted.reduced[rows], counted.on_a[rows]
    polya_urns, bin_edges = [], []
    for division, centroids in enumerate(projection.divisions):
        values = margins(reduced, centroids)
        # Each cell gets the share of side A nearest to its centroid; side B determines the edges.
        wanted = np.bincount(assign(reduced[on_a], centroids), minlength=len(centroids)) + 1
        found, spacings = fit_bin_edges(values[~on_a], shares_of_rest(wanted))
        urn = PolyaUrn(
            labels=tuple(
                cell_label(projection.prefix, division, cell) for cell in range(len(centroids))
            ),
            # The clusters come first among the indicators: a cluster's number is its index.
            owners=tuple(assign(centroids, projection.centroids).tolist()),
            spacings=tuple(spacings.tolist()),
            mixture_weights=TOPIC_MIXTURE_WEIGHTS,
            share=TOPIC_SHARE / len(projection.divisions),
        )
        if times_ms is not None:
            history = _history(cells_of(values, found), len(centroids), times_ms)
            urn = msgspec.structs.replace(urn, tolerance=fluctuation(urn.spacings, history))
        polya_urns.append(urn)
        bin_edges.append(found)
    asked = rows[counted.novelty_asked[rows]]
    strange, levels = _novelty_urn(made, counted.novelty[asked], projection)
    # A Polya urn has no seasons. They change the topics' growth little, and the tolerance covers
    # that; for novelty, bands by slot are better.
    if made.season == "none":
        polya_urns.append(strange)
    return tuple(polya_urns), BinEdges(np.stack(bin_edges), levels)


def _history(cells: Counts, size: int, times_ms: Counts) -> Counts:
    """Return events by stretch of time and cell."""
    since = times_ms - times_ms.min()
    stretch = since // max(int(since.max()) // _STRETCHES + 1, _MINUTE_MS)
    history = np.zeros((int(stretch.max()) + 1, size), np.int64)
    np.add.at(history, (stretch, cells), 1)
    return history


def _novelty_urn(
    made: Reference, scores: Vectors, projection: Projection
) -> tuple[PolyaUrn, Vectors]:
    """Return the urn of the cells between the novelty levels, and their bin edges."""
    levels = np.array([float(name) for name in projection.level_names])
    wanted = np.diff(levels, prepend=0.0, append=1.0)
    values = np.broadcast_to(scores[:, None], (len(scores), len(levels)))
    bin_edges, spacings = fit_bin_edges(values, shares_of_rest(wanted * len(scores)))
    first = next(j for j, one in enumerate(made.indicators) if one.family == "novelty")
    owners = [first + max(cell - 1, 0) for cell in range(len(spacings))]
    division = len(projection.divisions)
    urn = PolyaUrn(
        labels=tuple(
            cell_label(projection.prefix, division, cell) for cell in range(len(spacings))
        ),
        owners=tuple(owners),
        spacings=tuple(spacings.tolist()),
        mixture_weights=NOVELTY_MIXTURE_WEIGHTS,
        share=NOVELTY_SHARE,
        target=tuple(_strange(spacings).tolist()),
        tolerance=min(made.dispersion[j] for j in set(owners)),
    )
    return urn, bin_edges


def _strange(spacings: Floats) -> Floats:
    """Return the expected share of unusual requests by cell: a density 1 / max(rank, top)."""
    tops = np.cumsum(spacings[::-1])[::-1] / spacings.sum()
    reached = np.where(
        tops > _STRANGEST, 1 + np.log(np.maximum(tops, _STRANGEST) / _STRANGEST), tops / _STRANGEST
    )
    return np.asarray(-np.diff(reached, append=0.0) / reached[0])
