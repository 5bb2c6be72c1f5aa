"""Exchanges as rows of plain columns, for a report that compares two ranges of time.

A row holds numbers and short categories only: no prompt, no answer, no text of a client. So a
report can be kept and shared where the events themselves may not be.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from tidegauge.reports.distance import by_chance, distance
from tidegauge.reports.embedding_map import PlacedRequest
from tidegauge.reports.text import category
from tidegauge.reports.text_statistics import text_statistics
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.exchange import Capture, Message, ResponseEvent, last_user_message
from tidegauge.schemas.hashing import hash_64

__all__ = ["Column", "Row", "Sample", "Tables", "described", "tables"]

Row = dict[str, float | str]
"""Column -> value; a column without a known value is absent."""

Cells = tuple[float | str | None, ...]
"""A column's values, row by row; None where a row has none."""

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
    "prompt_words",
    "prompt_sentences",
    "prompt_non_letters_ratio",
    "output_words",
    "output_sentences",
    "output_non_letters_ratio",
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
MAX_COLUMNS = 36
"""Number of columns that Evidently renders in some seconds; scores are left out first."""

MAP_REQUESTS = 2_000
"""Requests of a sample whose vectors are kept for a map."""

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
        columns: At most ``MAX_COLUMNS``, each with a value on both sides; those that differ by
            most beyond chance come first.
        reference: The columns' cells in the reference range.
        current: Their cells in the current range.
        rows: Rows of the reference range, and of the current one.
        left_out: Columns without a value on one of the sides, or beyond the limit.
        constant: Columns left out since each row of both sides has the same value.
        distances: How far the sides of each column lie apart, from 0 to 1: see ``distance``.
        by_chance: How far two samples of the same traffic may lie apart: see ``by_chance``.
    """

    columns: tuple[Column, ...]
    reference: tuple[Cells, ...]
    current: tuple[Cells, ...]
    rows: tuple[int, int]
    left_out: tuple[str, ...]
    constant: tuple[str, ...] = ()
    distances: tuple[float, ...] = ()
    by_chance: tuple[float, ...] = ()


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
    if event.capture != "none":
        asked, said = last_user_message(event.messages), event.output
        for name, found in (("prompt", text_statistics(asked)), ("output", text_statistics(said))):
            if found is not None:
                numbers[f"{name}_words"] = found.words
                numbers[f"{name}_sentences"] = found.sentences
                numbers[f"{name}_non_letters_ratio"] = found.non_letters_ratio
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
        self._mapped: frozenset[str] = frozenset()
        self._placed: dict[str, PlacedRequest] = {}
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
        """Add where a kept exchange's request lies; ignore other exchanges.

        All exchanges have to be offered before.

        Args:
            event: The drift worker's event.
            titles: Cluster -> its title, for those that have one.
        """
        row = self._rows.get(event.request_id)
        if row is not None:
            title = (titles or {}).get(event.cluster)
            row["cluster"] = category(f"{event.cluster} {title}" if title else str(event.cluster))
            row["novelty"] = event.novelty
            if not self._mapped:
                lowest = heapq.nlargest(MAP_REQUESTS, self._kept)
                self._mapped = frozenset(request_id for _, request_id in lowest)
            if event.vector and event.request_id in self._mapped:
                topic = str(row["cluster"])
                self._placed[event.request_id] = PlacedRequest(event.embedder, topic, event.vector)

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

    @property
    def placed(self) -> tuple[PlacedRequest, ...]:
        """The vectors of some kept exchanges' requests, in the order of their ids."""
        return tuple(self._placed[name] for name in sorted(self._placed))


def _known(cells: Cells) -> list[float | str]:
    return [value for value in cells if value is not None]


def _can_be_drawn(values: Iterable[float | str]) -> bool:
    """Return whether sums and squares of a column's numbers are numbers, too."""
    return all(
        isinstance(value, str) or (isfinite(value) and abs(value) < _LARGEST) for value in values
    )


def _without_rare(one: Cells, other: Cells) -> tuple[Cells, Cells]:
    """Return both sides of a column of categories, the rare ones under one name."""
    counts = Counter(value for value in (*one, *other) if value is not None)
    if len(counts) <= MAX_VALUES:
        return one, other
    ordered = sorted(counts, key=lambda value: (-counts[value], str(value)))
    kept: dict[float | str | None, float | str | None] = {value: value for value in ordered}
    kept.update(dict.fromkeys(ordered[MAX_VALUES:], "other"))
    return tuple(kept.get(value) for value in one), tuple(kept.get(value) for value in other)


def tables(reference: Sequence[Row], current: Sequence[Row]) -> Tables:
    """Return both ranges over the columns that can be compared.

    A column without any value in one of the ranges, or with a number beyond all measure, cannot
    be compared and is named in ``left_out``; a column with a single value is named in ``constant``.
    """
    named = (*_NUMBERS, *_CATEGORIES)
    seen = {name for rows in (reference, current) for row in rows for name in row}
    compared: list[tuple[float, float, Column, Cells, Cells]] = []
    constant = []
    for name in (*(n for n in named if n in seen), *sorted(seen - set(named))):
        one = tuple(row.get(name) for row in reference)
        other = tuple(row.get(name) for row in current)
        known = _known(one), _known(other)
        if not all(known):
            continue
        if len({*one, *other}) == 1:
            constant.append(name)
        elif len(compared) < MAX_COLUMNS and all(map(_can_be_drawn, known)):
            apart, chance = distance(*known), by_chance(*known, tests=MAX_COLUMNS)
            if name in _CATEGORIES:
                one, other = _without_rare(one, other)
            column = Column(name, "category" if name in _CATEGORIES else "number")
            compared.append((apart, chance, column, one, other))
    compared.sort(key=lambda item: item[1] - item[0])
    columns = tuple(column for _, _, column, _, _ in compared)
    return Tables(
        columns=columns,
        distances=tuple(apart for apart, *_ in compared),
        by_chance=tuple(chance for _, chance, *_ in compared),
        reference=tuple(one for *_, one, _ in compared),
        current=tuple(other for *_, other in compared),
        rows=(len(reference), len(current)),
        left_out=tuple(sorted(seen - {column.name for column in columns} - set(constant))),
        constant=tuple(sorted(constant)),
    )
