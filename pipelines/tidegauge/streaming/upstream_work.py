"""The work of upstreams by minute: sums of amounts, and the times at which they were busy.

Amounts are merged by adding, times by OR. Both are exact, so the result does not depend on the
number of gateways and workers, nor on the order of their events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tidegauge.schemas.measures import OTHER_LABEL
from tidegauge.schemas.segments import cut
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    SLOT_MS,
    CostLine,
    UpstreamMinute,
    WorkAmounts,
    WorkRow,
)

__all__ = ["SLOTS", "MinuteOfWork", "RowKey", "WorkAccumulator", "WorkPiece"]

SLOTS: Final = MINUTE_MS // SLOT_MS
"""Slots of a minute."""

_BYTES: Final = SLOTS // 8
_MOST_UPSTREAMS: Final = 256
_MOST_ROWS: Final = 4_096
_LARGEST: Final = 2**62
_ROWS_OF_AN_EVENT: Final = 2_000

RowKey: TypeAlias = tuple[str, str, CostLine, str]
"""Segment's key, customer, line, id of the client key."""


class WorkPiece(NamedTuple):
    """One exchange's part in one minute.

    Attributes:
        upstream: Label of the upstream.
        start_ms: Start of the minute, Unix milliseconds.
        busy: The slots in which it was in flight, as the bits of a number.
        decoding: The slots from its first token to its last.
        customer: Whose it is.
        line: Why it is paid for.
        work: Its amounts.
        key_id: Id of its client key; empty where it is not known.
        segment: Key of its segment; empty for that of the event that tells of it.
    """

    upstream: str
    start_ms: int
    busy: int
    decoding: int
    customer: str
    line: CostLine
    work: WorkAmounts
    key_id: str = ""
    segment: str = ""


class MinuteOfWork:
    """One upstream's minute while it is added up.

    Attributes:
        busy: The busy slots, as the bits of a number.
        decoding: The slots in which an answer was being generated.
        rows: Segment, customer, line and client key -> amounts, in the order of ``WorkAmounts``.
    """

    __slots__ = ("busy", "decoding", "rows")

    def __init__(self) -> None:
        self.busy = 0
        self.decoding = 0
        self.rows: dict[RowKey, list[int]] = {}

    def add(self, key: RowKey, work: WorkAmounts) -> bool:
        """Add amounts; return whether they can be."""
        amounts = msgspec.structs.astuple(work)
        if not all(0 <= amount <= _LARGEST for amount in amounts):
            return False
        found = self.rows.get(key)
        if found is None:
            if len(self.rows) >= _MOST_ROWS:
                key = (key[0], OTHER_LABEL, key[2], "")
            self.rows[key] = list(map(int.__add__, self.rows.get(key, [0] * len(amounts)), amounts))
        else:
            for place, amount in enumerate(amounts):
                found[place] += amount
        return True

    def total(self) -> WorkAmounts:
        """Return the sum of all rows."""
        return WorkAmounts(*map(sum, zip(*self.rows.values(), strict=True)))


class WorkAccumulator:
    """Adds up work by upstream and minute.

    Attributes:
        minutes: (upstream, start of the minute) -> its work.
    """

    def __init__(self, minutes: Iterable[UpstreamMinute] = ()) -> None:
        self.minutes: dict[tuple[str, int], MinuteOfWork] = {}
        self._upstreams: set[str] = set()
        for minute in minutes:
            self.merge(minute)

    def add(self, segment: str, pieces: Iterable[WorkPiece]) -> int:
        """Add an exchange's pieces; return the number of those whose amounts cannot be."""
        refused = 0
        for piece in pieces:
            minute = self._minute(piece.upstream, piece.start_ms)
            minute.busy |= piece.busy
            minute.decoding |= piece.decoding
            key = (piece.segment or segment, cut(piece.customer), piece.line, cut(piece.key_id))
            refused += not minute.add(key, piece.work)
        return refused

    def merge(self, found: UpstreamMinute) -> None:
        """Add what another worker saw of a minute."""
        minute = self._minute(found.upstream, found.start_ms)
        minute.busy |= int.from_bytes(found.busy[:_BYTES], "little")
        minute.decoding |= int.from_bytes(found.decoding[:_BYTES], "little")
        for row in found.rows:
            minute.add((row.segment, row.customer, row.line, row.key_id), row.work)

    def forget(self, before_ms: int) -> None:
        """Forget the minutes before a time, and the upstreams that have no others."""
        for key in [key for key in self.minutes if key[1] < before_ms]:
            del self.minutes[key]
        self._upstreams = {upstream for upstream, _ in self.minutes}

    def between(self, start_ms: int, end_ms: int) -> dict[tuple[str, int], MinuteOfWork]:
        """Return the minutes of a range, which begins with a whole one, as in ``minutes``."""
        return {
            key: self.minutes[key]
            for upstream in self._upstreams
            for start in range(start_ms, end_ms, MINUTE_MS)
            if (key := (upstream, start)) in self.minutes
        }

    def take(self) -> Iterator[tuple[UpstreamMinute, ...]]:
        """Yield everything in parts of the length of an event, and begin anew."""
        part: list[UpstreamMinute] = []
        rows = 0
        for minute in self.value():
            if part and rows + len(minute.rows) > _ROWS_OF_AN_EVENT:
                yield tuple(part)
                part, rows = [], 0
            part.append(minute)
            rows += len(minute.rows)
        if part:
            yield tuple(part)
        self.minutes.clear()
        self._upstreams.clear()

    def value(self) -> tuple[UpstreamMinute, ...]:
        """Return everything, in order."""
        return tuple(
            UpstreamMinute(
                upstream,
                start_ms,
                minute.busy.to_bytes(_BYTES, "little").rstrip(b"\0"),
                minute.decoding.to_bytes(_BYTES, "little").rstrip(b"\0"),
                tuple(_row(key, minute.rows[key]) for key in sorted(minute.rows)),
            )
            for (upstream, start_ms), minute in sorted(self.minutes.items())
        )

    def _minute(self, upstream: str, start_ms: int) -> MinuteOfWork:
        if upstream not in self._upstreams:
            upstream = cut(upstream)
            if len(self._upstreams) >= _MOST_UPSTREAMS:
                upstream = OTHER_LABEL
            self._upstreams.add(upstream)
        key = (upstream, start_ms // MINUTE_MS * MINUTE_MS)
        found = self.minutes.get(key)
        if found is None:
            found = self.minutes[key] = MinuteOfWork()
        return found


def _row(key: RowKey, amounts: list[int]) -> WorkRow:
    segment, customer, line, key_id = key
    return WorkRow(segment, customer, line, WorkAmounts(*amounts), key_id)
