"""Exchanges as rows of plain columns, for a report that compares two ranges of time.

A row holds numbers and short categories only: no prompt, no answer, no text of a client. So a
report can be kept and shared where the events themselves may not be.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import Literal

from tidegauge.reports.text import category
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.exchange import Capture, Message, ResponseEvent
from tidegauge.schemas.hashing import hash_64

__all__ = ["Column", "Row", "Sample", "Tables", "described", "distance", "tables"]

Row = dict[str, float | str]
"""Column -> value; a column without a known value is absent."""

_NUMBERS = (
    "latency_ms",
    "time_to_first_token_ms",
    "inter_token_mean_ms",
    "queue_ms",
    "prompt_characters",
    "output_characters",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "attempts",
    "messages",
    "temperature",
    "novelty",
)
_CATEGORIES = (
    "model",
    "version",
    "route",
    "customer",
    "language",
    "cluster",
    "error",
    "status",
    "finish_reason",
    "failed_checks",
    "upstream",
    "served_model",
    "streamed",
)
MAX_COLUMNS = 30
"""Number of columns that Evidently renders in a second or two; scores are left out first."""

MAX_VALUES = 20
"""Largest number of categories of a column; further ones are counted as ``other``."""

_LARGEST = 1e100
_RANKS = 2**64


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and the type of its values."""

    name: str
    kind: Literal["number", "category"]


@dataclass(frozen=True, slots=True)
class Tables:
    """The same columns of both ranges.

    Attributes:
        columns: At most ``MAX_COLUMNS``, each with a value on both sides; those that differ most
            come first.
        reference: Rows of the reference range; a value for each column, None if not known.
        current: Rows of the current range.
        left_out: Columns without a value on one of the sides, or beyond the limit.
        constant: Columns left out since each row of both sides has the same value.
        distances: How far the sides of each column lie apart, from 0 to 1: see ``distance``.
    """

    columns: tuple[Column, ...]
    reference: tuple[tuple[float | str | None, ...], ...]
    current: tuple[tuple[float | str | None, ...], ...]
    left_out: tuple[str, ...]
    constant: tuple[str, ...] = ()
    distances: tuple[float, ...] = ()


def described(
    event: ResponseEvent,
    language: Callable[[Sequence[Message], Capture], str | None] | None = None,
) -> Row:
    """Return a response event as a row.

    Args:
        event: The response.
        language: Returns the language of a conversation, None if not known.
    """
    usage, pace = event.usage, event.inter_token
    numbers: dict[str, float | None] = {
        "latency_ms": event.latency_ms,
        "time_to_first_token_ms": event.time_to_first_token_ms,
        "inter_token_mean_ms": pace.mean_ms if pace else None,
        "queue_ms": event.queue_ms,
        "prompt_characters": event.prompt_characters,
        "output_characters": event.output_characters,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cost_usd": event.cost_usd,
        "attempts": event.attempts,
        "messages": len(event.messages) or None,
        "temperature": event.sampling.temperature,
    }
    failed = sorted(name for name, outcome in event.checks.items() if outcome == "failed")
    categories: dict[str, str | None] = {
        "model": event.segment.model,
        "version": event.segment.version,
        "route": event.segment.route,
        "customer": event.customer,
        "language": language(event.messages, event.capture) if language else None,
        "error": event.error.value if event.error else "none",
        "status": str(event.status),
        "finish_reason": event.finish_reason,
        "failed_checks": (" and ".join(failed) or "none") if event.checks else None,
        "upstream": event.upstream,
        "served_model": event.served_model,
        "streamed": "yes" if event.stream else "no",
    }
    row: Row = {name: float(value) for name, value in numbers.items() if value is not None}
    row.update({name: category(value) for name, value in categories.items() if value})
    return row


class Sample:
    """Keeps the exchanges with the lowest hashes of their ids: the same ones on every run.

    Args:
        limit: Exchanges to keep.
        language: See ``described``.

    Attributes:
        seen: Exchanges offered.
    """

    def __init__(
        self,
        limit: int,
        language: Callable[[Sequence[Message], Capture], str | None] | None = None,
    ) -> None:
        self._limit = limit
        self._language = language
        self._kept: list[tuple[int, str]] = []
        self._rows: dict[str, Row] = {}
        self.seen = 0

    def add(self, event: ResponseEvent) -> None:
        """Offer an exchange; a copy of one already kept changes nothing."""
        if event.request_id in self._rows:
            return
        self.seen += 1
        rank = _RANKS - hash_64(event.request_id)
        entry = (rank, event.request_id)
        if len(self._kept) < self._limit:
            heapq.heappush(self._kept, entry)
        elif entry > self._kept[0]:
            _, gone = heapq.heapreplace(self._kept, entry)
            del self._rows[gone]
        else:
            return
        self._rows[event.request_id] = described(event, self._language)

    def place(self, event: EmbeddingEvent, titles: Mapping[int, str] | None = None) -> None:
        """Add the cluster and novelty of a kept exchange's request; ignore other exchanges.

        Args:
            event: The drift worker's event.
            titles: Cluster -> its title, for those that have one.
        """
        row = self._rows.get(event.request_id)
        if row is not None:
            title = (titles or {}).get(event.cluster)
            row["cluster"] = category(f"{event.cluster} {title}" if title else str(event.cluster))
            row["novelty"] = event.novelty

    def judge(self, event: JudgmentEvent) -> None:
        """Add a judge's scores of a kept exchange; ignore other exchanges."""
        row = self._rows.get(event.request_id)
        if row is not None:
            for name, value in event.scores.items():
                mark = "" if event.qualified else " (unqualified)"
                row[category(f"{event.judge} {name}{mark}")] = value

    @property
    def rows(self) -> tuple[Row, ...]:
        """The kept exchanges' rows, in the order of their ids."""
        return tuple(self._rows[name] for name in sorted(self._rows))


def _values(rows: Iterable[Row], name: str) -> list[float | str]:
    return [row[name] for row in rows if name in row]


def _frequent(reference: Sequence[Row], current: Sequence[Row], name: str) -> frozenset[str]:
    counts = Counter(str(value) for rows in (reference, current) for value in _values(rows, name))
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    return frozenset(ordered[:MAX_VALUES])


def _can_be_drawn(rows: Iterable[Row], name: str) -> bool:
    """Return whether sums and squares of a column's numbers are numbers, too."""
    return all(
        isinstance(value, str) or (isfinite(value) and abs(value) < _LARGEST)
        for value in _values(rows, name)
    )


def distance(one: Sequence[float | str], other: Sequence[float | str]) -> float:
    """Return how far two samples lie apart, from 0 to 1.

    Of numbers it is the Kolmogorov-Smirnov distance, the largest difference of their
    distribution functions; of categories the total variation, half the sum of the differences of
    their shares. Both say which part of the rows would have to change, and do not depend on units.

    Example:
        >>> distance([1.0, 2.0], [2.0, 3.0]), distance(["a", "b"], ["a", "a"])
        (0.5, 0.5)
    """
    shares = [
        {value: number / len(side) for value, number in Counter(side).items()}
        for side in (one, other)
    ]
    values = shares[0].keys() | shares[1].keys()
    differences = {value: shares[0].get(value, 0.0) - shares[1].get(value, 0.0) for value in values}
    if any(isinstance(value, str) for value in values):
        return sum(abs(difference) for difference in differences.values()) / 2
    ordered = (differences[value] for value in sorted(values, key=float))
    return max(abs(total) for total in accumulate(ordered))


def tables(reference: Sequence[Row], current: Sequence[Row]) -> Tables:
    """Return both ranges over the columns that can be compared.

    A column without any value in one of the ranges, or with a number beyond all measure, cannot
    be compared and is named in ``left_out``; a column with a single value is named in ``constant``.
    """
    named = (*_NUMBERS, *_CATEGORIES)
    scores = sorted({name for row in (*reference, *current) for name in row} - set(named))
    present = [
        name for name in (*named, *scores) if _values(reference, name) and _values(current, name)
    ]
    constant = {
        name
        for name in present
        if len({*_values(reference, name), *_values(current, name)}) == 1
        and all(name in row for row in (*reference, *current))
    }
    chosen = [
        name
        for name in present
        if name not in constant and _can_be_drawn((*reference, *current), name)
    ][:MAX_COLUMNS]
    seen = {name for row in (*reference, *current) for name in row}
    columns = tuple(
        Column(name, "category" if name in _CATEGORIES else "number") for name in chosen
    )
    frequent = {
        column.name: _frequent(reference, current, column.name)
        for column in columns
        if column.kind == "category"
    }

    def cell(row: Row, column: Column) -> float | str | None:
        value = row.get(column.name)
        if isinstance(value, str) and value not in frequent[column.name]:
            return "other"
        return value

    apart = {
        column.name: distance(_values(reference, column.name), _values(current, column.name))
        for column in columns
    }
    columns = tuple(sorted(columns, key=lambda column: -apart[column.name]))
    return Tables(
        columns=columns,
        distances=tuple(apart[column.name] for column in columns),
        reference=tuple(tuple(cell(row, column) for column in columns) for row in reference),
        current=tuple(tuple(cell(row, column) for column in columns) for row in current),
        left_out=tuple(sorted(seen - set(chosen) - constant)),
        constant=tuple(sorted(constant)),
    )
