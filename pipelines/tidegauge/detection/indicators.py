"""Indicators, whose rates the engine tests, and how a sketch counts them.

An indicator is a property that an event has or does not have. A sketch counts the events for
which it was evaluated (``n``) and those for which it held (``x``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram

__all__ = [
    "Counter",
    "Hits",
    "Indicator",
    "StratifiedTail",
    "Tail",
    "count",
    "count_all",
    "count_asked",
    "count_unseen",
    "count_windows",
]


class Hits(msgspec.Struct, frozen=True, tag_field="kind", tag="hits"):
    """A count that the worker makes, in ``Sketch.hits``.

    Attributes:
        name: Name of the count.
        of: Name of the count of its trials, also in ``Sketch.hits``; empty where the trials
            are in ``Sketch.trials``, or are all events.
    """

    name: str
    of: str = ""


class Tail(msgspec.Struct, frozen=True, tag_field="kind", tag="tail"):
    """The number of values of a histogram that lie beyond a bucket's edge.

    Attributes:
        value: Name of the number in ``Sketch.histograms``.
        bucket: Signed index of a bucket, as ``streaming.histogram.bucket_of`` gives it.
        side: ``above`` counts the values in higher buckets, ``below`` the others.
    """

    value: str
    bucket: int
    side: Literal["above", "below"]


class StratifiedTail(msgspec.Struct, frozen=True, tag_field="kind", tag="stratified"):
    """The number of values that lie beyond the edge of their own stratum.

    Each stratum has an edge of its own, chosen so that the same share of its values lies
    beyond: a change of the mix of strata alone moves no rate. Values of strata without an edge
    are no trials; ``count_unseen`` counts them.

    Attributes:
        value: Name of the number in ``Sketch.strata``.
        buckets: Stratum -> signed index of a bucket, as in ``Tail``.
        side: ``above`` counts the values in higher buckets, ``below`` the others.
    """

    value: str
    buckets: dict[str, int]
    side: Literal["above", "below"]


Counter: TypeAlias = Hits | Tail | StratifiedTail


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """A property whose rate is tested.

    Attributes:
        name: Name, such as ``cluster/17``.
        title: The same for people.
        family: Indicators of one family share a part of the budget.
        counter: Where a sketch has its counts.
    """

    name: str
    title: str
    family: str
    counter: Counter


def count(indicator: Indicator, sketch: Sketch) -> tuple[int, int]:
    """Return for how many events the indicator held, and for how many it was evaluated."""
    counter = indicator.counter
    if isinstance(counter, Hits):
        asked = (
            sketch.hits.get(counter.of, 0)
            if counter.of
            else sketch.trials.get(counter.name, sketch.events)
        )
        return sketch.hits.get(counter.name, 0), asked
    if isinstance(counter, Tail):
        values = sketch.histograms.get(counter.value)
        found = [] if values is None else [(values, counter.bucket)]
    else:
        by_stratum = sketch.strata.get(counter.value, {})
        edges = counter.buckets
        found = [(by_stratum[name], edges[name]) for name in by_stratum if name in edges]
    below = above = 0
    for values, bucket in found:
        lower, upper = histogram.split(values, bucket)
        below, above = below + lower, above + upper
    return above if counter.side == "above" else below, below + above


def count_unseen(counter: StratifiedTail, sketch: Sketch) -> tuple[int, int]:
    """Return how many values lie in strata without an edge, and how many there are in all."""
    counts = {
        stratum: histogram.count(values)
        for stratum, values in sketch.strata.get(counter.value, {}).items()
    }
    unseen = sum(n for stratum, n in counts.items() if stratum not in counter.buckets)
    return unseen, sum(counts.values())


def count_asked(indicator: Indicator, sketch: Sketch) -> tuple[int, int]:
    """Return an indicator's hits and trials in a sketch of responses.

    Errors and checks are evaluated only for the responses that the sketch lists as trials: an
    indicator that it does not list, and that names no count of its trials, has none.
    """
    counter = indicator.counter
    if isinstance(counter, Hits) and not counter.of and counter.name not in sketch.trials:
        return 0, 0
    return count(indicator, sketch)


def count_windows(
    indicators: Sequence[Indicator], sketches: Sequence[Sketch]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return hits and trials in many sketches of responses, each of shape (B, J).

    Row by row they are what ``count_asked`` counts. The strata of a number are read once for all
    indicators that count it.

    Args:
        indicators: The indicators, J of them.
        sketches: The sketches, B of them.
    """
    hits = np.zeros((len(sketches), len(indicators)), np.int64)
    trials = np.zeros_like(hits)
    read: dict[str, _StratumRows] = {}
    for j, indicator in enumerate(indicators):
        counter = indicator.counter
        if isinstance(counter, StratifiedTail):
            if counter.value not in read:
                read[counter.value] = _stratum_rows(counter.value, sketches)
            hits[:, j], trials[:, j] = read[counter.value].beyond(counter, len(sketches))
        else:
            pairs = [count_asked(indicator, sketch) for sketch in sketches]
            hits[:, j], trials[:, j] = np.array(pairs, np.int64).reshape(-1, 2).T
    return hits, trials


@dataclass(frozen=True, slots=True)
class _StratumRows:
    """The buckets of all strata of a number in many sketches, each array of shape (rows,).

    Attributes:
        names: The strata.
        sketch: Index of the sketch.
        stratum: Index of the stratum.
        bucket: The ordered bucket.
        events: Values in the bucket.
    """

    names: tuple[str, ...]
    sketch: NDArray[np.int64]
    stratum: NDArray[np.int64]
    bucket: NDArray[np.int64]
    events: NDArray[np.int64]

    def beyond(
        self, counter: StratifiedTail, sketches: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the values beyond their stratum's edge, and all with an edge, by sketch."""
        known = np.array([name in counter.buckets for name in self.names], np.bool_)
        edges = np.array([counter.buckets.get(name, 0) for name in self.names], np.int64)
        asked = np.flatnonzero(known[self.stratum])
        above = self.bucket[asked] > edges[self.stratum[asked]]
        held = asked[above if counter.side == "above" else ~above]
        counts = (
            np.bincount(self.sketch[rows], weights=self.events[rows], minlength=sketches)
            for rows in (held, asked)
        )
        hits, trials = (found.astype(np.int64) for found in counts)
        return hits, trials


def _stratum_rows(value: str, sketches: Sequence[Sketch]) -> _StratumRows:
    number: dict[str, int] = {}
    rows = [
        (row, number.setdefault(name, len(number)), bucket, events)
        for row, sketch in enumerate(sketches)
        for name, values in sketch.strata.get(value, {}).items()
        for bucket, events in histogram.buckets(values)
    ]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return _StratumRows(tuple(number), *columns)


def count_all(
    indicators: Sequence[Indicator], sketch: Sketch
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return hits and trials of all indicators, each of shape (J,).

    Those of responses are counted as by ``count_asked``, those of requests as by ``count``.
    """
    counted = count if sketch.kind == "drift" else count_asked
    pairs = [counted(indicator, sketch) for indicator in indicators]
    table = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
    return table[:, 0], table[:, 1]
