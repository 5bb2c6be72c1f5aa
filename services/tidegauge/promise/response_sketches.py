"""Sketches of simulated responses, made from arrays instead of event by event.

They hold what the monitors of rates and their baselines read, and lead to the same references and
alarms as those that the vitals worker makes of the responses' events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Histogram, Moments, Sketch, SourceRange
from tidegauge.schemas.strata import LOADS, OUTPUTS, PROMPTS, UNKNOWN, LoadStratum
from tidegauge.schemas.topics import RESPONSES
from tidegauge.simulation.service import Exchanges
from tidegauge.streaming import histogram
from tidegauge.vitals.stratification import at_typical_length

__all__ = ["response_sketches"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_PRODUCER = f"promise/{RESPONSES.name}-0"


def response_sketches(
    found: Exchanges, *, start_ms: int, segment: Segment, window_ms: int
) -> list[Sketch]:
    """Return the sketches of exchanges, in order of time.

    Args:
        found: The exchanges, all of one segment.
        start_ms: Start of the traffic, Unix milliseconds.
        segment: The segment.
        window_ms: Length of a window.
    """
    if not len(found.seconds):
        return []
    number = (start_ms + (found.seconds * 1000).astype(np.int64)) // window_ms
    first = np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1])
    ends = [*first[1:].tolist(), len(number)]
    complete = np.flatnonzero(~found.failed)
    histograms, strata = _buckets(found, complete)
    every = _moments({measures.IN_FLIGHT: found.in_flight}, first)
    tokens = {
        measures.INPUT_TOKENS: found.prompt_tokens[complete],
        measures.OUTPUT_TOKENS: found.output_tokens[complete],
    }
    answered = np.searchsorted(complete, [*first.tolist(), len(number)])
    whole = np.flatnonzero(np.diff(answered))
    of_answers = dict(zip(whole.tolist(), _moments(tokens, answered[whole]), strict=True))
    made = []
    for row, (start, end) in enumerate(zip(first.tolist(), ends, strict=True)):
        part = slice(int(answered[row]), int(answered[row + 1]))
        errors = end - start - (part.stop - part.start)
        made.append(
            Sketch(
                kind="vitals",
                producer_id=_PRODUCER,
                sequence=row + 1,
                segment=segment,
                window_start_ms=int(number[start]) * window_ms,
                window_ms=window_ms,
                source=SourceRange(
                    topic=RESPONSES.name, partition=0, first_offset=start, last_offset=end - 1
                ),
                events=end - start,
                hits={measures.ERROR: errors} if errors else {},
                trials={measures.ERROR: end - start},
                moments=every[row] | of_answers.get(row, {}),
                histograms=_histograms(histograms, part),
                strata=_by_stratum(strata, part),
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class _Stratified:
    """A duration's bucket in each of n answers, and the name of its stratum."""

    buckets: list[int]
    names: list[str]


def _buckets(
    found: Exchanges, complete: Counts
) -> tuple[Mapping[str, list[int]], Mapping[str, _Stratified]]:
    """Return the bucket of each number of the complete answers, whole and by stratum."""
    latency, first = found.latency_ms[complete], found.first_token_ms[complete]
    output = found.output_tokens[complete]
    load = np.searchsorted(LOADS, found.in_flight[complete])
    prompt = np.searchsorted(PROMPTS, found.prompt_tokens[complete])
    length = np.searchsorted(OUTPUTS, output)
    converted = np.array(
        [
            at_typical_length(*row)
            for row in zip(
                latency.tolist(), first.tolist(), output.tolist(), length.tolist(), strict=True
            )
        ]
    )
    rows = [*zip(load.tolist(), prompt.tolist(), length.tolist(), strict=True)]
    name_of = {
        row: (
            LoadStratum(row[0], row[1], UNKNOWN, UNKNOWN).name,
            LoadStratum(row[0], row[1], row[2], 1).name,
        )
        for row in set(rows)
    }
    by_first = histogram.indices(first.tolist())
    # What costs nothing lies below every edge, as the least cost that is told apart from it does.
    cost = np.maximum(found.cost_usd[complete], histogram.SMALLEST)
    histograms = {
        measures.COST_USD: histogram.indices(cost.tolist()),
        measures.LATENCY_MS: histogram.indices(latency.tolist()),
        measures.TIME_TO_FIRST_TOKEN_MS: by_first,
    }
    strata = {
        measures.LATENCY_MS: _Stratified(
            histogram.indices(converted.tolist()), [name_of[row][1] for row in rows]
        ),
        measures.TIME_TO_FIRST_TOKEN_MS: _Stratified(by_first, [name_of[row][0] for row in rows]),
    }
    return histograms, strata


def _histograms(values: Mapping[str, list[int]], part: slice) -> dict[str, Histogram]:
    if part.start == part.stop:
        return {}
    return {name: _counted(buckets[part]) for name, buckets in values.items()}


def _by_stratum(values: Mapping[str, _Stratified], part: slice) -> dict[str, dict[str, Histogram]]:
    if part.start == part.stop:
        return {}
    found = {}
    for value, each in values.items():
        buckets: dict[str, list[int]] = {}
        for name, bucket in zip(each.names[part], each.buckets[part], strict=True):
            buckets.setdefault(name, []).append(bucket)
        found[value] = {name: _counted(own) for name, own in sorted(buckets.items())}
    return found


def _counted(buckets: list[int]) -> Histogram:
    positive = dict(sorted(Counter(buckets).items()))
    return Histogram(accuracy=histogram.ACCURACY, positive=positive)


def _moments(values: Mapping[str, Counts], first: Counts) -> list[dict[str, Moments]]:
    """Return the moments of whole numbers in each run of rows.

    Args:
        values: Name -> its numbers, shape (n,).
        first: First row of each run, ascending, shape (runs,).
    """
    found: list[dict[str, Moments]] = [{} for _ in first]
    if not len(first):
        return found
    lengths = np.diff([*first.tolist(), len(next(iter(values.values())))])
    for name, numbers in values.items():
        real = numbers.astype(np.float64)
        columns = (
            lengths,
            np.add.reduceat(real, first),
            np.add.reduceat(real**2, first),
            np.minimum.reduceat(real, first),
            np.maximum.reduceat(real, first),
        )
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for own, (n, total, squares, least, most) in zip(found, rows, strict=True):
            own[name] = Moments(n=n, total=total, squares=squares, least=least, most=most)
    return found
