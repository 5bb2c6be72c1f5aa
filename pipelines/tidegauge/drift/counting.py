"""References from a baseline's requests, for all traffic and for its busy segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.reference import Reference
from tidegauge.drift.baseline import BinEdges, Projection
from tidegauge.drift.segment_reference import MINUTE_MS, CountedRequests, segment_reference
from tidegauge.drift.units import NotCounted, Unit, unit_at
from tidegauge.schemas import Segment

__all__ = ["CountedRequests", "HistoricalRequest", "references"]

Counts: TypeAlias = NDArray[np.int64]

_FEWEST_OF_A_SEGMENT, _FEWEST_ASKED = 1_000, 100
"""Requests that a segment needs for its own bands, and how many must count for novelty."""


@dataclass(frozen=True, slots=True)
class HistoricalRequest:
    """One past request.

    Attributes:
        text: The text that was prepared for the embedder.
        segment: Slice of the traffic, None when it is not known.
        time_ms: When it was asked, None when it is not known.
        conversation_id: Its conversation, unique over all customers; None when it is not known.
        turn: Number of the user's turn in the conversation, from 1.
        request_id: Its id, empty when it is not known.
    """

    text: str
    segment: Segment | None = None
    time_ms: int | None = None
    conversation_id: str | None = None
    turn: int = 1
    request_id: str = ""

    @property
    def unit(self) -> Unit | NotCounted:
        """What the request is counted as."""
        return unit_at(self.turn, self.conversation_id)


def references(
    requests: Sequence[HistoricalRequest],
    counted: CountedRequests,
    projection: Projection,
    *,
    zone: str,
) -> tuple[dict[str, Reference], dict[str, BinEdges]]:
    """Return references and bin edges by segment key, ``""`` for all traffic.

    Args:
        requests: The requests, n of them; seasons need a time for each.
        counted: Their hits, trials, vectors and novelty.
        projection: The projection that they were counted with.
        zone: Time zone of the seasons' slots.
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
    minutes = np.array(times, np.int64) // MINUTE_MS * MINUTE_MS
    timed = len(times) == len(requests)
    found, bin_edges = {}, {}
    for key, rows in sorted(groups.items()):
        if key and counted.novelty_asked[rows].sum() < _FEWEST_ASKED:
            continue  # nearly all of its texts are frequent ones: a wider segment is used
        made = segment_reference(
            key, counted.of(rows), projection, minutes[rows] if timed else None, zone=zone
        )
        if made is not None:
            found[key], bin_edges[key] = made
    return found, bin_edges
