"""What became of each producer's events in one partition, and which sequences were seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidegauge.schemas.sketches import Tally

__all__ = [
    "MOST_PRODUCERS",
    "UNKNOWN_PRODUCER",
    "Activity",
    "Sequences",
    "Tallies",
    "TallyAccumulator",
]

UNKNOWN_PRODUCER = ""
"""The ledger's producer id for records whose producer is not, or no longer, known."""

MOST_PRODUCERS = 512
"""Producers with a tally of their own in one partition: those heard last."""

_RECENT = 128
_DEAD = 256
_REST_MS = 3_600_000
"""Time after which the last events of a producer that sends none are forgotten."""


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """A producer's tally, and the sequences that tell copies from new events.

    Attributes:
        tally: The counts.
        active_ms: Greatest event time of its events.
        recent: Sequence -> digest of the event, of the last events.
        complete: Whether ``recent`` has all events of the producer.
        dead: Sequences of the last events that were put aside.
    """

    tally: Tally
    active_ms: int
    recent: dict[int, int] = {}
    complete: bool = False
    dead: tuple[int, ...] = ()


class Sequences:
    """The sequences of one producer's events in one partition that were seen.

    A producer counts its events from 1, and sends some of the last ones again after a crash.
    So a sequence beyond the highest one is new, and a lower one usually a copy. It is no copy
    if it is known not to be among the last events, or if its event is later than all before:
    then the producer has started again under its name, or somebody else uses the name, such
    as with a sequence of 2^62 to hide the rest.

    Attributes:
        last: The highest sequence seen.
        active_ms: Greatest event time of the events.
    """

    __slots__ = ("_complete", "_dead", "_recent", "active_ms", "last")

    def __init__(self, start: Activity | None = None) -> None:
        self.last = start.tally.last_sequence if start else 0
        self.active_ms = start.active_ms if start else 0
        self._recent = dict(start.recent) if start else {}
        self._complete = start.complete if start else True
        self._dead = dict.fromkeys(start.dead) if start else {}

    def copy(self) -> Sequences:
        """Return a copy to go on from."""
        found = Sequences()
        found.last, found.active_ms = self.last, self.active_ms
        found._recent, found._dead = dict(self._recent), dict(self._dead)
        found._complete = self._complete
        return found

    def has(self, sequence: int, digest: int | None, time_ms: int = 0) -> bool:
        """Return whether an event was seen before.

        Args:
            sequence: Its sequence.
            digest: Hash of its request id; None for an event that cannot be read.
            time_ms: Its event time.
        """
        if sequence > self.last:
            return False
        if sequence in self._dead:
            return digest is None  # a copy that can be read was not processed
        if sequence in self._recent:
            return digest is None or digest == self._recent[sequence]
        if self._complete or sequence > min(self._recent, default=self.last):
            return False
        return time_ms <= self.active_ms

    def knows(self, sequence: int) -> bool:
        """Return whether a sequence is one of the last events, and not only passed."""
        return sequence in self._recent or sequence in self._dead

    def add(self, sequence: int, digest: int | None, time_ms: int = 0) -> None:
        """Add an event; one without a digest was put aside."""
        self.active_ms = max(self.active_ms, time_ms)
        new = sequence > self.last
        if new:
            self.last = sequence
        if digest is None:
            self._dead[sequence] = None
            if len(self._dead) > _DEAD:
                del self._dead[next(iter(self._dead))]
            return
        if not new:
            self._dead.pop(sequence, None)
            self._recent.pop(sequence, None)
        self._recent[sequence] = digest
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
            self._complete = False

    def rest(self) -> None:
        """Forget the last events: from now on the time alone tells copies."""
        if self._recent:
            self._recent.clear()
            self._complete = False

    def activity(self, tally: Tally) -> Activity:
        """Return the sequences as plain data, with a tally."""
        return Activity(
            tally=tally,
            active_ms=self.active_ms,
            recent=dict(self._recent),
            complete=self._complete,
            dead=tuple(self._dead),
        )


class TallyAccumulator:
    """Counts one producer's events in one partition in place; ``tally()`` is its value.

    Attributes:
        sequences: The sequences seen.
    """

    __slots__ = ("_dead_lettered", "_processed", "_repeated", "sequences")

    def __init__(self, start: Activity | None = None) -> None:
        tally = start.tally if start else Tally()
        self._processed = tally.processed
        self._dead_lettered = tally.dead_lettered
        self._repeated = tally.repeated
        self.sequences = Sequences(start)

    def count_processed(self, sequence: int, digest: int, time_ms: int) -> bool:
        """Count a processed event; return whether its producer had passed its sequence before."""
        self._processed += 1
        passed = sequence <= self.sequences.last
        self.sequences.add(sequence, digest, time_ms)
        return passed

    def count_dead_letter(self, sequence: int) -> None:
        """Count a dead letter; a sequence of 0 means that it is unknown."""
        self._dead_lettered += 1
        if sequence:
            self.sequences.add(sequence, None)

    def count_repeated(self) -> None:
        """Count a copy."""
        self._repeated += 1

    def absorb(self, other: TallyAccumulator) -> None:
        """Add the counts of a producer that is forgotten."""
        self._processed += other._processed
        self._dead_lettered += other._dead_lettered
        self._repeated += other._repeated

    def tally(self) -> Tally:
        """Return the counts."""
        return Tally(
            processed=self._processed,
            dead_lettered=self._dead_lettered,
            repeated=self._repeated,
            last_sequence=self.sequences.last,
        )

    def activity(self) -> Activity:
        """Return the whole state as plain data."""
        return self.sequences.activity(self.tally())


class Tallies:
    """The tallies of one partition's producers.

    Beyond ``most`` the one that was heard least recently is forgotten: its counts go
    to ``UNKNOWN_PRODUCER``, and events that it sends again are no longer recognised.

    Args:
        start: Producer id -> state to go on from.
        most: Producers with a tally of their own; ``MOST_PRODUCERS`` if None.
    """

    def __init__(
        self, start: Mapping[str, Activity] | None = None, most: int | None = None
    ) -> None:
        self._most = most or MOST_PRODUCERS
        self._found = {name: TallyAccumulator(found) for name, found in (start or {}).items()}
        self._heard: tuple[str, TallyAccumulator] | None = None
        self.forgotten = 0
        """Producers forgotten since the start."""

    def sequences(self, producer_id: str) -> Sequences:
        """Return a copy of what was seen of a producer."""
        found = self._found.get(producer_id)
        return found.sequences.copy() if found else Sequences()

    def of(self, producer_id: str) -> TallyAccumulator:
        """Return a producer's tally, a new one where there is none."""
        if self._heard is not None and self._heard[0] == producer_id:
            return self._heard[1]
        found = self._found.pop(producer_id, None) or TallyAccumulator()
        self._found[producer_id] = found  # the last one is the one heard last
        self._heard = producer_id, found
        if len(self._found) > self._most:
            self._forget()
        return found

    def _forget(self) -> None:
        self._heard = None
        oldest = next(name for name in self._found if name != UNKNOWN_PRODUCER)
        unknown = self._found.get(UNKNOWN_PRODUCER)
        if unknown is None:
            unknown = self._found[UNKNOWN_PRODUCER] = TallyAccumulator()
        unknown.absorb(self._found.pop(oldest))
        self.forgotten += 1

    def retire(self, until_ms: int, closed_ms: int) -> None:
        """Drop producers whose last event is older than a time.

        Args:
            until_ms: The time.
            closed_ms: The watermark: producers without an event for a while are at rest.
        """
        for found in self._found.values():
            if found.sequences.active_ms < closed_ms - _REST_MS:
                found.sequences.rest()
        self._heard = None
        self._found = {
            name: found
            for name, found in self._found.items()
            if not 0 < found.sequences.active_ms < until_ms
        }

    def items(self) -> Iterator[tuple[str, TallyAccumulator]]:
        """Yield the producers and their tallies by name."""
        yield from sorted(self._found.items())

    def heard(self) -> Iterable[tuple[str, TallyAccumulator]]:
        """Return the producers and their tallies, the one heard last at the end."""
        return self._found.items()
