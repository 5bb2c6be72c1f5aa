"""One segment's reference: its bands, its bin edges and its urns, back-tested on its own time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.back_test import Fitted, History, Outcome, back_test
from tidegauge.detection.indicators import Indicator
from tidegauge.detection.polya_urn import PolyaUrn, fluctuation
from tidegauge.detection.reference import OPEN_BELOW, Reference, build
from tidegauge.detection.season_choice import choose_season
from tidegauge.drift.baseline import BinEdges, Projection
from tidegauge.drift.partition import fit_bin_edges, shares_of_rest
from tidegauge.drift.projection import SHARES, cell_label
from tidegauge.drift.vectors import assign, cells_of, margins
from tidegauge.schemas import Segment

__all__ = ["MINUTE_MS", "CountedRequests", "segment_reference"]

Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = NDArray[np.float32]

TOPIC_SHARE, NOVELTY_SHARE = 0.4, 0.2
"""Parts of the monitor's budget that the bets on Polya urns get; the bands get the rest."""
TOPIC_MIXTURE_WEIGHTS = (0.5, 0.9)
NOVELTY_MIXTURE_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of unusual requests that are bet on."""
_STRANGEST = 0.005
"""Unusual requests are expected evenly over the log of their rank, and within this top share."""

MINUTE_MS = 60_000
_STRETCHES = 336
"""Number of stretches of a baseline's time for its fluctuation: in two weeks, one an hour."""
_ALL = Segment(model="")


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

    def of(self, rows: Counts) -> CountedRequests:
        """Return some of the requests."""
        return CountedRequests(
            tested=self.tested,
            hits=self.hits[rows],
            trials=self.trials[rows],
            on_a=self.on_a[rows],
            reduced=self.reduced[rows],
            novelty=self.novelty[rows],
            novelty_asked=self.novelty_asked[rows],
        )


def segment_reference(
    key: str,
    counted: CountedRequests,
    projection: Projection,
    times_ms: Counts | None,
    *,
    zone: str,
) -> tuple[Reference, BinEdges] | None:
    """Return a segment's reference and bin edges; None where an indicator has no trials.

    Args:
        key: The segment's key, empty for all traffic.
        counted: Hits, trials, vectors and novelty of its requests.
        projection: The projection that they were counted with.
        times_ms: The minute of each request, Unix milliseconds, shape (n,); None without times.
        zone: Time zone of the seasons' slots.
    """
    fit = _SegmentFit(key, counted, projection, times_ms, zone)
    outcome = Outcome() if times_ms is None else back_test(fit, fit.history)
    found = fit.reference(np.ones(len(counted.hits), np.bool_), outcome.widening)
    return None if found is None else (outcome.apply(found[0]), found[1])


class _SegmentFit:
    """Fits references to some of a segment's minutes.

    Args:
        key: The segment's key.
        counted: Its n requests.
        projection: The projection that they were counted with.
        times_ms: The minute of each request; None without times.
        zone: Time zone of the seasons' slots.
    """

    def __init__(
        self,
        key: str,
        counted: CountedRequests,
        projection: Projection,
        times_ms: Counts | None,
        zone: str,
    ) -> None:
        self._zone = zone
        self._segment = Segment.from_key(key) if key else _ALL
        self._counted = counted
        self._projection = projection
        self._times_ms = times_ms
        none = np.zeros(len(counted.hits), np.int64)
        minutes = none if times_ms is None else times_ms
        self._starts, self._minute = np.unique(minutes, return_inverse=True)
        held = counted.hits & counted.trials
        self._hits, self._trials = self._by_minute(held), self._by_minute(counted.trials)
        starts = None if times_ms is None else self._starts
        self._season = choose_season(self._hits, self._trials, starts, zone=zone)
        self._margins = [margins(counted.reduced, one) for one in projection.divisions]
        self._nearest = [assign(counted.reduced, one) for one in projection.divisions]
        # The clusters come first among the indicators: a cluster's number is its index.
        self._owners = [
            tuple(assign(one, projection.centroids).tolist()) for one in projection.divisions
        ]

    @property
    def history(self) -> History:
        """The counts by minute."""
        return History(self._starts, self._hits, self._trials, MINUTE_MS)

    def __call__(self, kept: Flags, widening: float) -> Fitted | None:
        """Fit a reference to some minutes, and count the cells of all minutes by its bin edges."""
        found = self.reference(kept[self._minute], widening)
        if found is None:
            return None
        made, edges = found
        counted = self._counted
        replayed = [~counted.on_a] * len(self._margins) + [counted.novelty_asked]
        novelty = _beyond(counted.novelty, len(edges.levels))
        values = [*self._margins, novelty]
        borders = [*edges.topics, edges.levels]
        cells = []
        for urn, value, border, flags in zip(
            made.polya_urns, values, borders, replayed, strict=False
        ):
            table = np.zeros((len(kept), len(urn.spacings)), np.int64)
            np.add.at(table, (self._minute[flags], cells_of(value[flags], border)), 1)
            cells.append(table)
        return Fitted(made, tuple(cells))

    def reference(self, rows: Flags, widening: float) -> tuple[Reference, BinEdges] | None:
        """Fit a reference and bin edges to some requests; None where an indicator has no trials.

        Args:
            rows: Whether a request is fitted to, shape (n,).
            widening: Factor of the rates' dispersion.
        """
        minutes = np.unique(self._minute[rows])
        trials = self._trials[minutes]
        if not rows.any() or (trials.sum(axis=0) == 0).any():
            return None
        tested = self._counted.tested
        made = build(
            baseline="",
            segment=self._segment,
            indicators=tested,
            hits=self._hits[minutes],
            trials=trials,
            times_ms=None if self._times_ms is None else self._starts[minutes],
            shares=SHARES,
            season=self._season,
            widening=widening,
            zone=self._zone,
        )
        made = msgspec.structs.replace(
            made,
            low=_open_below(made.low, tested),
            slot_low=tuple(_open_below(low, tested) for low in made.slot_low),
        )
        # Urns are exact for exchangeable requests only. Where rates wander by themselves, the
        # bands, which allow for it, get the whole budget.
        calm = not any(made.waves) and widening == 1.0
        polya_urns, bin_edges = self._polya_urns(made, rows, measured=calm)
        return msgspec.structs.replace(made, polya_urns=polya_urns if calm else ()), bin_edges

    def _by_minute(self, flags: Flags) -> Counts:
        table = np.zeros((int(self._minute.max()) + 1, flags.shape[1]), np.int64)
        np.add.at(table, self._minute, flags)
        return table

    def _polya_urns(
        self, made: Reference, rows: Flags, *, measured: bool
    ) -> tuple[tuple[PolyaUrn, ...], BinEdges]:
        """Return the urns and bin edges of some requests: each division's, and that of novelty.

        Args:
            made: The requests' bands.
            rows: Which requests, shape (n,).
            measured: Whether to measure the urns' tolerance, which takes longest.
        """
        counted, projection = self._counted, self._projection
        on_a, on_b = counted.on_a & rows, ~counted.on_a & rows
        polya_urns, bin_edges = [], []
        for division, centroids in enumerate(projection.divisions):
            values = self._margins[division]
            # Each cell gets the share of side A nearest to its centroid; side B determines the
            # edges.
            wanted = np.bincount(self._nearest[division][on_a], minlength=len(centroids)) + 1
            found, spacings = fit_bin_edges(values[on_b], shares_of_rest(wanted))
            urn = PolyaUrn(
                labels=tuple(
                    cell_label(projection.prefix, division, cell) for cell in range(len(centroids))
                ),
                owners=self._owners[division],
                spacings=tuple(spacings.tolist()),
                mixture_weights=TOPIC_MIXTURE_WEIGHTS,
                share=TOPIC_SHARE / len(projection.divisions),
            )
            if self._times_ms is not None and measured:
                cells = cells_of(values[rows], found)
                history = _history(cells, len(centroids), self._times_ms[rows])
                urn = msgspec.structs.replace(urn, tolerance=fluctuation(urn.spacings, history))
            polya_urns.append(urn)
            bin_edges.append(found)
        asked = counted.novelty_asked & rows
        strange, levels = _novelty_urn(made, counted.novelty[asked], projection)
        # A Polya urn has no seasons. They change the topics' growth little, and the tolerance
        # covers that; for novelty, bands by slot are better.
        if made.season == "none":
            polya_urns.append(strange)
        return tuple(polya_urns), BinEdges(np.stack(bin_edges), levels)


def _open_below(low: tuple[float, ...], tested: Sequence[Indicator]) -> tuple[float, ...]:
    """Remove the lower edges of the bands of novelty.

    The baseline's own texts were measured without themselves; new ones are measured against
    all of them and may have a lower novelty: only a higher novelty is a change.
    """
    return tuple(
        OPEN_BELOW if indicator.family == "novelty" else edge
        for indicator, edge in zip(tested, low, strict=True)
    )


def _history(cells: Counts, size: int, times_ms: Counts) -> Counts:
    """Return events by stretch of time and cell."""
    since = times_ms - times_ms.min()
    stretch = since // max(int(since.max()) // _STRETCHES + 1, MINUTE_MS)
    history = np.zeros((int(stretch.max()) + 1, size), np.int64)
    np.add.at(history, (stretch, cells), 1)
    return history


def _novelty_urn(
    made: Reference, scores: Vectors, projection: Projection
) -> tuple[PolyaUrn, Vectors]:
    """Return the urn of the cells between the novelty levels, and their bin edges."""
    levels = np.array([float(name) for name in projection.level_names])
    wanted = np.diff(levels, prepend=0.0, append=1.0)
    bin_edges, spacings = fit_bin_edges(
        _beyond(scores, len(levels)), shares_of_rest(wanted * len(scores))
    )
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


def _beyond(scores: Vectors, levels: int) -> Vectors:
    """Return the values that the novelty's bin edges cut: the score once for each level."""
    return np.broadcast_to(scores[:, None], (len(scores), levels))
