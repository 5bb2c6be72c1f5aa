"""How requests differ from an older drift baseline: the topics and novelty that moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.projection import hit_table, indicators, project
from tidegauge.drift.units import Unit
from tidegauge.reports.formatting import percent

__all__ = ["MovedRate", "moved_rates", "moved_sentences"]

Vectors: TypeAlias = NDArray[np.float32]

_LEAST = 0.005
_MOST_SENTENCES = 12
_TOLD = ("clusters", "novelty")


@dataclass(frozen=True, slots=True)
class MovedRate:
    """A rate of openings that lies outside of an older baseline's band.

    Attributes:
        title: The indicator, for people.
        before: Its rate in the older baseline.
        now: Its rate among the requests.
    """

    title: str
    before: float
    now: float

    @property
    def sentence(self) -> str:
        """The same in words."""
        return f"{self.title}: {percent(self.before)} of openings became {percent(self.now)}"


def moved_rates(
    older: DriftBaseline, requests: Sequence[HistoricalRequest], vectors: Vectors
) -> tuple[MovedRate, ...]:
    """Return the topics and novelty levels that left an older baseline's bands, largest first.

    The requests are projected as the older baseline projects them: its own topics are counted.

    Args:
        older: The older baseline, of the same embedder.
        requests: Requests, n of them.
        vectors: Their unit vectors, shape (n, d).

    Raises:
        VectorsError: The vectors have another dimension than the baseline's.
    """
    rows = [row for row, one in enumerate(requests) if one.unit is Unit.OPENING]
    if not rows:
        return ()
    known = older.openings
    reference, texts = known.references[""], [requests[row].text for row in rows]
    projected = project(known.projection, texts, vectors[rows])
    counted = indicators(known.projection, known.clusters)
    shares = hit_table(known.projection, texts, projected, counted).mean(axis=0)
    rates = dict(zip((one.name for one in counted), shares.tolist(), strict=True))
    found = []
    for j, indicator in enumerate(reference.indicators):
        before, now = reference.rate[j], rates[indicator.name]
        stays = reference.low[j] <= now <= reference.high[j]
        if indicator.family in _TOLD and not stays and abs(now - before) >= _LEAST:
            found.append(MovedRate(indicator.title, before, now))
    return tuple(sorted(found, key=lambda one: -abs(one.now - one.before)))


def moved_sentences(found: Sequence[MovedRate]) -> tuple[str, ...]:
    """Return the largest moves in words, or that there is none worth naming."""
    said = [one.sentence for one in found[:_MOST_SENTENCES]]
    if len(found) > _MOST_SENTENCES:
        said.append(f"{len(found) - _MOST_SENTENCES} more rates moved as well")
    return tuple(said or ["no topic moved by as much as an alarm would need"])
