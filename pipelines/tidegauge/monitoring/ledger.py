"""The ledger: every request served ends in exactly one accounted state.

    served   = captured + dropped
    captured = waiting to be shipped + in flight + processed + dead-lettered + expired
    sampled  = judged + skipped

The left-hand sides come from the producers' heartbeats, the right-hand sides from the
workers' progress. Events in flight are no imbalance: an event is missing only if the workers
have passed the time at which its producer counted it as shipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.measures import JUDGED, SAMPLED
from tidegauge.schemas.sketches import Progress, SketchKind
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.streaming.progress import BEGUN_AGAIN, RECORDS_EXPIRED, RENUMBERED, TOPIC_REMADE
from tidegauge.streaming.tallies import UNKNOWN_PRODUCER

__all__ = [
    "READS",
    "CaptureAccount",
    "DeliveryAccount",
    "JudgeAccount",
    "Ledger",
    "MissedRecords",
    "ProducerCounts",
    "Producers",
    "ProducersState",
    "account",
]

READS: Mapping[SketchKind, str] = {
    "drift": REQUESTS.name,
    "vitals": RESPONSES.name,
    "quality": RESPONSES.name,
}
"""Which topic each kind of worker reads."""

_SKIPPED = "skipped/"


class ProducerCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The newest heartbeat of a producer, and one that has had time to settle.

    Attributes:
        latest: The newest heartbeat.
        settling: An older heartbeat, whose events should have arrived by now; the newest one
            if there is no older one.
    """

    latest: Heartbeat
    settling: Heartbeat


class CaptureAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One producer's account: requests served against response events captured or dropped.

    Attributes:
        producer_id: One run of one gateway.
        time_ms: Time of its newest heartbeat.
        served: Requests answered.
        captured: Response events in its outbox.
        dropped: Response events that could not be captured, by reason.
        unaccounted: Requests served, and neither captured nor dropped in the time allowed.
        final: Whether the run has ended.
        refused: Requests refused before they became exchanges, which have no events.
    """

    producer_id: str
    time_ms: int
    served: int
    captured: int
    dropped: dict[str, int]
    unaccounted: int
    final: bool
    refused: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every request is accounted for."""
        return self.unaccounted == 0


class DeliveryAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one topic and kind of worker: events captured against events processed.

    Attributes:
        topic: The topic.
        kind: The worker.
        captured: Events in the outboxes since their producers began.
        shipped: Events acknowledged by the broker.
        processed: Events processed, each counted once.
        dead_lettered: Events dead-lettered with a reason.
        repeated: Duplicates, dropped.
        unannounced: Processed events of producers without a known heartbeat.
        missing: Events that should have arrived, and were neither processed nor dead-lettered.
        expired: Records that the log deleted before the workers read them.
        remade: Times that the topic was found deleted and created again, over its partitions.
        renumbered: Events under sequences that their producer had passed: it started again
            under its name, or two producers share one.
        begun_again: Times that a producer began again at sequence 1 with events that are no
            later than its last one: they are dropped as copies.
    """

    topic: str
    kind: SketchKind
    captured: int
    shipped: int
    processed: int
    dead_lettered: int
    repeated: int
    unannounced: int
    missing: int
    expired: int = 0
    remade: int = 0
    renumbered: int = 0
    begun_again: int = 0

    @property
    def waiting(self) -> int:
        """Events captured and not yet acknowledged by the broker."""
        return max(0, self.captured - self.shipped)

    @property
    def in_flight(self) -> int:
        """Events captured and not yet processed, dead-lettered or expired, nor missing."""
        arrived = self.processed - self.unannounced + self.dead_lettered + self.expired
        return max(0, self.captured - arrived - self.missing)

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing."""
        return self.missing == 0


class JudgeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of the judges' sample: answers drawn against answers judged or skipped."""

    sampled: int
    judged: int
    skipped: dict[str, int]

    @property
    def unaccounted(self) -> int:
        """Answers drawn, and neither judged nor skipped; negative if some were counted twice."""
        return self.sampled - self.judged - sum(self.skipped.values())

    @property
    def balanced(self) -> bool:
        """Whether the sample adds up."""
        return self.unaccounted == 0


class MissedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor itself has missed of a topic that it reads.

    Attributes:
        topic: The topic.
        expired: Records that the log deleted before the monitor read them.
        remade: Times that the topic was found deleted and created again.
    """

    topic: str
    expired: int = 0
    remade: int = 0

    def __add__(self, other: MissedRecords) -> MissedRecords:
        """Return both together, of one topic."""
        return MissedRecords(
            topic=self.topic,
            expired=self.expired + other.expired,
            remade=self.remade + other.remade,
        )


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The account of every request and event.

    Attributes:
        captures: One account for each producer, newest last.
        deliveries: One account for each topic and kind of worker.
        judging: The account of the judges' sample.
        missed: What the monitor itself has missed, by topic.
    """

    captures: tuple[CaptureAccount, ...]
    deliveries: tuple[DeliveryAccount, ...]
    judging: JudgeAccount
    missed: tuple[MissedRecords, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether every account adds up, apart from events in flight."""
        return (
            all(line.balanced for line in self.captures)
            and all(line.balanced for line in self.deliveries)
            and self.judging.balanced
        )

    @property
    def in_flight(self) -> int:
        """The largest number of events in flight to any kind of worker."""
        return max((line.in_flight for line in self.deliveries), default=0)

    @property
    def settled(self) -> bool:
        """Whether the ledger balances with no event in flight."""
        return self.balanced and self.in_flight == 0


def account(
    producers: Iterable[ProducerCounts],
    progress: Iterable[Progress],
    partitions: Mapping[str, int],
    *,
    settle_ms: int,
    missed: Iterable[MissedRecords] = (),
) -> Ledger:
    """Return the ledger.

    Args:
        producers: The heartbeats of each producer.
        progress: The newest progress of each worker's partition.
        partitions: Topic -> number of partitions: while fewer of a kind of worker have
            reported, no event is missing.
        settle_ms: Time after a heartbeat that workers' reports must have reached before its
            events count as missing, milliseconds.
        missed: What the monitor itself has missed, by topic.
    """
    known = tuple(producers)
    reports = tuple(progress)
    return Ledger(
        captures=tuple(_capture(counts) for counts in known),
        deliveries=tuple(
            _delivery(
                kind,
                known,
                [report for report in reports if report.kind == kind],
                partitions=partitions.get(topic, 1),
                settle_ms=settle_ms,
            )
            for kind, topic in READS.items()
        ),
        judging=_judging([report for report in reports if report.kind == "quality"]),
        missed=tuple(missed),
    )


def _capture(counts: ProducerCounts) -> CaptureAccount:
    latest = counts.latest
    captured = latest.captured.get(RESPONSES.name, 0)
    dropped = latest.dropped.get(RESPONSES.name, {})
    accounted = captured + sum(dropped.values())
    # A request is served a moment before its event is appended, so only the requests served at
    # an older heartbeat must have been captured by now.
    owed = latest.served if latest.final else counts.settling.served
    if counts.settling is latest and not latest.final:
        owed = 0
    return CaptureAccount(
        producer_id=latest.producer_id,
        time_ms=latest.time_ms,
        served=latest.served,
        captured=captured,
        dropped=dict(dropped),
        unaccounted=max(0, owed - accounted),
        final=latest.final,
        refused=latest.refused,
    )


def _delivery(
    kind: SketchKind,
    producers: tuple[ProducerCounts, ...],
    reports: list[Progress],
    *,
    partitions: int,
    settle_ms: int,
) -> DeliveryAccount:
    topic = READS[kind]
    names = {counts.latest.producer_id for counts in producers}
    tallies = [(name, tally) for report in reports for name, tally in report.tallies.items()]
    arrived = dict.fromkeys(names, 0)
    for name, tally in tallies:
        if name in arrived:
            arrived[name] += tally.processed + tally.dead_lettered
    complete = len(reports) >= partitions
    reached_ms = min((report.watermark_ms for report in reports), default=0) if complete else 0
    reported_ms = min((report.time_ms for report in reports), default=0) if complete else 0
    missing = 0
    for counts in producers:
        due = _due(counts, reached_ms=reached_ms, reported_ms=reported_ms - settle_ms)
        if due is not None:
            shipped = due.shipped.get(topic, 0)
            missing += max(0, shipped - arrived[due.producer_id])
    expired = _total(reports, RECORDS_EXPIRED)
    # Records that cannot be read do not name their producer, nor do those that expired; and of
    # too many producers the counts are added up.
    unattributed = sum(tally.dead_lettered for name, tally in tallies if name not in names)
    unattributed += sum(tally.processed for name, tally in tallies if name == UNKNOWN_PRODUCER)
    return DeliveryAccount(
        topic=topic,
        kind=kind,
        captured=sum(counts.latest.captured.get(topic, 0) for counts in producers),
        shipped=sum(counts.latest.shipped.get(topic, 0) for counts in producers),
        processed=sum(tally.processed for _, tally in tallies),
        dead_lettered=sum(tally.dead_lettered for _, tally in tallies),
        repeated=sum(tally.repeated for _, tally in tallies),
        unannounced=sum(tally.processed for name, tally in tallies if name not in names),
        missing=max(0, missing - unattributed - expired),
        expired=expired,
        remade=_total(reports, TOPIC_REMADE),
        renumbered=_total(reports, RENUMBERED),
        begun_again=_total(reports, BEGUN_AGAIN),
    )


def _total(reports: Iterable[Progress], name: str) -> int:
    return sum(report.totals.get(name, 0) for report in reports)


def _due(counts: ProducerCounts, *, reached_ms: int, reported_ms: int) -> Heartbeat | None:
    """Return the newest heartbeat whose shipped events must have been processed by now."""
    for heartbeat in (counts.latest, counts.settling):
        if heartbeat.time_ms <= min(reached_ms, reported_ms):
            return heartbeat
    return None


def _judging(reports: list[Progress]) -> JudgeAccount:
    totals: dict[str, int] = {}
    for report in reports:
        for name, number in report.totals.items():
            totals[name] = totals.get(name, 0) + number
    return JudgeAccount(
        sampled=totals.get(SAMPLED, 0),
        judged=totals.get(JUDGED, 0),
        skipped={
            name.removeprefix(_SKIPPED): number
            for name, number in sorted(totals.items())
            if name.startswith(_SKIPPED)
        },
    )


_MOST_PRODUCERS = 256


class _Heartbeats(msgspec.Struct, frozen=True, kw_only=True):
    latest: Heartbeat
    next_settling: Heartbeat
    settling: Heartbeat


class ProducersState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``Producers`` as plain data."""

    producers: tuple[_Heartbeats, ...]


class Producers:
    """The heartbeats of the producers that have reported most recently.

    Args:
        settle_ms: Age from which a heartbeat's counts should have arrived, milliseconds.
        state: The state to resume from.
    """

    def __init__(self, settle_ms: int, state: ProducersState | None = None) -> None:
        self._settle_ms = settle_ms
        self._producers = {h.latest.producer_id: h for h in (state.producers if state else ())}

    def add(self, heartbeat: Heartbeat) -> None:
        """Store a heartbeat; one older than the newest is ignored."""
        before = self._producers.get(heartbeat.producer_id)
        if before is None:
            heartbeats = _Heartbeats(latest=heartbeat, next_settling=heartbeat, settling=heartbeat)
        elif heartbeat.time_ms < before.latest.time_ms:
            return
        elif heartbeat.time_ms - before.next_settling.time_ms >= self._settle_ms:
            # The heartbeat that was settling has settled; the newest one settles next.
            heartbeats = _Heartbeats(
                latest=heartbeat, next_settling=heartbeat, settling=before.next_settling
            )
        else:
            heartbeats = _Heartbeats(
                latest=heartbeat, next_settling=before.next_settling, settling=before.settling
            )
        self._producers[heartbeat.producer_id] = heartbeats
        if len(self._producers) > _MOST_PRODUCERS:
            oldest = min(
                self._producers.values(), key=lambda h: (h.latest.time_ms, h.latest.producer_id)
            )
            del self._producers[oldest.latest.producer_id]

    def counts(self) -> tuple[ProducerCounts, ...]:
        """Return the heartbeats of every producer, the most recent producer last."""
        ordered = sorted(
            self._producers.values(), key=lambda h: (h.latest.time_ms, h.latest.producer_id)
        )
        return tuple(ProducerCounts(latest=h.latest, settling=h.settling) for h in ordered)

    def state(self) -> ProducersState:
        """Return the state as plain data."""
        return ProducersState(
            producers=tuple(self._producers[name] for name in sorted(self._producers))
        )
