from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from tests.streaming.lengths import LengthExtractor, Received, encoded_request, request
from tests.streaming.memory_log import MemoryLog, MemoryLoop

from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.topics import DEAD_LETTERS, REQUESTS, SKETCHES, STATE
from tidegauge.streaming.checkpoints import (
    EncodedRecord,
    LastRecord,
    LatestSnapshots,
    TopicIdentity,
)
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.errors import DeadLetterRateError
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.progress import RECORDS_EXPIRED, TOPIC_REMADE
from tidegauge.streaming.sketching import SketchingProcessor

GROUP = "drift"
EVENTS = 30


class Killed(BaseException):
    """The process is gone: nothing may catch this."""


class FragileLog(MemoryLog):
    """A log whose client dies at its n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None

    def append(
        self, encoded: EncodedRecord, *, timestamp_ms: int = 0, partition: int | None = None
    ) -> None:
        self._spend()
        super().append(encoded, timestamp_ms=timestamp_ms, partition=partition)

    def append_all(
        self, encoded_records: Iterable[EncodedRecord], offsets: Mapping[Partition, int], group: str
    ) -> None:
        self._spend()
        left, self.writes_left = self.writes_left, None
        super().append_all(encoded_records, offsets, group)
        self.writes_left = left

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        self._spend()
        super().commit(group, offsets)

    def _spend(self) -> None:
        if self.writes_left is None:
            return
        if not self.writes_left:
            raise Killed
        self.writes_left -= 1


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def loop(log: MemoryLog, clock: Clock, *, transactions: bool, member: str = "one") -> MemoryLoop:
    settings = SketchSettings(window_ms=100, lateness_ms=100, idle_ms=300, progress_ms=200)
    processor: SketchingProcessor[RequestEvent] = SketchingProcessor(
        LengthExtractor(), GROUP, settings
    )
    return MemoryLoop(
        log,
        GROUP,
        [REQUESTS],
        processor,
        now_ms=clock,
        member=member,
        transactions=transactions,
    )


def publish(log: MemoryLog, first: int, number: int, now_ms: int) -> None:
    for sequence in range(first, first + number):
        log.append(encoded_request(request(sequence, time_ms=now_ms + sequence)))


def run_to_the_end(log: FragileLog, clock: Clock, *, transactions: bool, fuse: int | None) -> None:
    """Publish and process in turns, dying once at a given write, then going on."""
    runner = loop(log, clock, transactions=transactions)
    published, deaths = 0, 0
    while published < EVENTS or clock.now_ms < 2_500:
        if published < EVENTS:
            publish(log, published + 1, 5, clock.now_ms)
            published += 5
        log.writes_left = fuse if not deaths else None
        try:
            runner.step()
        except Killed:
            deaths += 1
            log.leave(GROUP, "one")
            runner = loop(log, clock, transactions=transactions)
        else:
            fuse = log.writes_left
        log.writes_left = None
        clock.now_ms += 97
    runner.close()


def once(transactions: bool) -> Counter[tuple[str, int]]:  # noqa: FBT001 - one case or the other
    log, clock = FragileLog(), Clock()
    run_to_the_end(log, clock, transactions=transactions, fuse=None)
    return Received(log.records(SKETCHES)).events()


@pytest.mark.parametrize("fuse", range(70))
def test_killed_at_any_write_without_transactions_every_event_counts_once(fuse: int) -> None:
    log, clock = FragileLog(), Clock()
    run_to_the_end(log, clock, transactions=False, fuse=fuse)
    received = Received(log.records(SKETCHES))
    assert sum(received.events().values()) == EVENTS
    assert received.processed() == {"gateway/1": EVENTS}
    content: dict[str, bytes] = {}
    for record in log.records(SKETCHES):
        event = dict(record.headers)["ce_id"]
        assert content.setdefault(event.decode(), record.value) == record.value


@pytest.mark.parametrize("fuse", range(0, 30, 3))
def test_killed_with_transactions_nothing_is_there_twice(fuse: int) -> None:
    log, clock = FragileLog(), Clock()
    run_to_the_end(log, clock, transactions=True, fuse=fuse)
    received = Received(log.records(SKETCHES))
    assert received.repeats == 0
    assert sum(received.events().values()) == EVENTS


def test_both_ways_to_commit_count_the_same() -> None:
    assert once(transactions=True) == once(transactions=False)
    assert sum(once(transactions=True).values()) == EVENTS


@pytest.mark.parametrize("transactions", [True, False])
def test_members_that_come_and_go_count_each_event_once(*, transactions: bool) -> None:
    log, clock = MemoryLog(), Clock()
    members = {"a": loop(log, clock, transactions=transactions, member="a")}
    published = 0
    for turn in range(60):
        if published < EVENTS:
            publish(log, published + 1, 5, clock.now_ms)
            published += 5
        if turn in {3, 7, 11}:
            name = f"m{turn}"
            members[name] = loop(log, clock, transactions=transactions, member=name)
        if turn in {5, 14, 20}:
            members.pop(next(iter(members))).close()
        for member in members.values():
            member.step()
        clock.now_ms += 97
    for member in members.values():
        member.close()
    received = Received(log.records(SKETCHES))
    assert sum(received.events().values()) == EVENTS
    assert received.processed() == {"gateway/1": EVENTS}
    assert received.repeats == 0


def test_a_poison_record_becomes_a_dead_letter_whole() -> None:
    log, clock = MemoryLog(), Clock()
    poison = EncodedRecord(topic=REQUESTS.name, key=b"k", value=b"{", headers=(("h", b"1"),))
    log.append(poison)
    loop(log, clock, transactions=True).step()
    (record,) = log.records(DEAD_LETTERS)
    assert b'"reason":"malformed_json"' in record.value


def test_too_many_dead_letters_stop_the_worker_with_nothing_committed() -> None:
    log, clock = MemoryLog(), Clock()
    for number in range(20):
        log.append(EncodedRecord(topic=REQUESTS.name, key=b"k%d" % number, value=b"{"))
    processor: SketchingProcessor[RequestEvent] = SketchingProcessor(LengthExtractor(), GROUP)
    strict = CommitPolicy(rejected_ratio=0.5, rejected_least=10)
    runner = MemoryLoop(log, GROUP, [REQUESTS], processor, now_ms=clock, policy=strict)
    with pytest.raises(DeadLetterRateError, match=r"20 of the last 20 records .* limit of 50%"):
        runner.step()
    assert log.records(DEAD_LETTERS) == []
    assert log.committed(GROUP, Partition(REQUESTS.name, 0)) is None


def progress_totals(log: MemoryLog) -> Counter[str]:
    found: Counter[str] = Counter()
    for progress in Received(log.records(SKETCHES)).progress.values():
        found.update(progress.totals)
    return found


def follow(log: MemoryLog) -> None:
    """Process what the log holds, and hand over."""
    loop = MemoryLoop(
        log,
        GROUP,
        [REQUESTS],
        SketchingProcessor(LengthExtractor(), GROUP),
        now_ms=lambda: 1_000_000,
    )
    while loop.step():
        pass
    loop.step()
    loop.close()


def publish_to_first(log: MemoryLog, producer_id: str, sequences: Iterable[int]) -> None:
    for sequence in sequences:
        event = request(sequence, time_ms=900_000 + sequence, producer_id=producer_id)
        log.append(encoded_request(event), partition=0)


def test_records_that_expired_unread_are_counted() -> None:
    log = MemoryLog()
    publish_to_first(log, "gateway/1", range(1, 6))
    follow(log)
    publish_to_first(log, "gateway/1", range(6, 31))
    log.expire(Partition(REQUESTS.name, 0), 20)
    follow(log)
    assert progress_totals(log)[RECORDS_EXPIRED] == 15
    assert Received(log.records(SKETCHES)).processed()["gateway/1"] == 15


def test_a_group_that_begins_late_has_missed_nothing() -> None:
    log = MemoryLog()
    publish_to_first(log, "gateway/1", range(1, 6))
    log.expire(Partition(REQUESTS.name, 0), 3)
    follow(log)
    assert RECORDS_EXPIRED not in progress_totals(log)


@pytest.mark.parametrize("again", [3, 60])
def test_a_topic_that_was_made_again_is_read_from_its_start(again: int) -> None:
    log = MemoryLog()
    publish_to_first(log, "gateway/1", range(1, 31))
    follow(log)
    log.remake(REQUESTS.name)
    publish_to_first(log, "gateway/2", range(1, again + 1))
    follow(log)
    assert progress_totals(log)[TOPIC_REMADE] == len(log.partitions(REQUESTS.name))
    assert Received(log.records(SKETCHES)).processed()["gateway/2"] == again


def test_a_checkpoint_keeps_what_tells_its_topic_from_another() -> None:
    log = MemoryLog()
    publish_to_first(log, "gateway/1", range(1, 4))
    follow(log)
    snapshots = LatestSnapshots()
    for record in log.records(STATE):
        snapshots.take(record.key, record.value)
    found = snapshots.checkpoint(f"{GROUP}/{REQUESTS.name}-0")
    assert found is not None
    (last,) = log.read(Partition(REQUESTS.name, 0), 2)
    assert found.topic == TopicIdentity(log.topic_id(REQUESTS.name), LastRecord.of(last))
    assert LastRecord.of(last) != LastRecord.of(replace(last, value=b"{}"))
