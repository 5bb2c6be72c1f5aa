"""The worker contract, on every log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event
from typing import Protocol

import pytest
from tests.streaming.lengths import LengthExtractor, Received, encoded_request, request

from tidegauge.schemas import DecodeReason, decode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.topics import DEAD_LETTERS, REQUESTS, SKETCHES
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.errors import DeadLetterRateError, SnapshotSettingsError
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Record


class Member(Protocol):
    def stop(self) -> None: ...
    def ended(self) -> BaseException: ...


class Log(Protocol):
    group: str
    gateway: str

    def publish(self, encoded_records: Sequence[EncodedRecord]) -> None: ...
    def records(self, topic: object) -> list[Record]: ...
    def committed(self) -> dict[Partition, int]: ...
    def start(
        self,
        extractor: LengthExtractor | None = None,
        *,
        settings: SketchSettings = ...,
        policy: CommitPolicy | None = None,
    ) -> Member: ...
    def received(self) -> Received: ...
    def counted(self) -> int: ...
    def wait(self, condition: object) -> None: ...


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def events(log: Log, first: int, number: int) -> list[EncodedRecord]:
    start = now_ms()
    segment = Segment(model=log.gateway)
    return [
        encoded_request(request(sequence, time_ms=start, producer_id=log.gateway, segment=segment))
        for sequence in range(first, first + number)
    ]


def processed(log: Log) -> int:
    return log.received().processed()[log.gateway]


def letters(log: Log) -> list[DeadLetter]:
    found = [decode(record.value, DeadLetter) for record in log.records(DEAD_LETTERS)]
    return [letter for letter in found if letter.group == log.group]


def test_each_event_is_counted_once_and_offsets_follow(log: Log) -> None:
    log.publish(events(log, 1, 300))
    member = log.start()
    log.wait(lambda: log.counted() == 300 and processed(log) == 300)
    member.stop()
    assert log.received().repeats == 0
    ends = {record.partition: record.offset + 1 for record in log.records(REQUESTS)}
    committed = log.committed()
    assert {found: committed.get(found) for found in ends} == ends


def test_a_worker_goes_on_from_where_the_last_one_stopped(log: Log) -> None:
    log.publish(events(log, 1, 50))
    first = log.start()
    log.wait(lambda: processed(log) == 50)
    first.stop()
    log.publish([*events(log, 51, 50), *events(log, 1, 50)])
    extractor = LengthExtractor()
    log.start(extractor)
    log.wait(lambda: log.counted() == 100 and processed(log) == 100)
    assert log.received().repeats == 0
    repeated = sum(
        progress.tallies[log.gateway].repeated
        for progress in log.received().progress.values()
        if log.gateway in progress.tallies
    )
    assert repeated == 50
    mine = [request_id for request_id in extractor.measured if request_id.startswith(log.gateway)]
    assert sorted(mine) == sorted(f"{log.gateway}-{sequence}" for sequence in range(51, 101))


def test_a_poison_record_becomes_a_dead_letter_with_its_reason_and_blocks_nothing(log: Log) -> None:
    poison = EncodedRecord(
        topic=REQUESTS.name,
        key=log.gateway.encode(),
        value=b'{"type": "tidegauge.request", "sequence": "seven"}',
        headers=(("origin", b"test"),),
    )
    log.publish([poison, *events(log, 1, 20)])
    log.start()
    log.wait(lambda: log.counted() == 20)
    (letter,) = [letter for letter in letters(log) if letter.key == poison.key]
    assert letter.value == poison.value
    assert letter.reason == DecodeReason.INVALID_FIELD
    assert letter.headers == poison.headers


def test_too_many_dead_letters_stop_the_worker_with_nothing_committed(log: Log) -> None:
    log.publish(
        [
            EncodedRecord(
                topic=REQUESTS.name, key=b"%s%d" % (log.gateway.encode(), number), value=b"{"
            )
            for number in range(800)
        ]
    )
    member = log.start(policy=CommitPolicy(interval_ms=60_000, rejected_ratio=0.2))
    error = member.ended()
    assert isinstance(error, DeadLetterRateError)
    assert "Nothing of this batch was committed" in str(error)
    assert letters(log) == []
    poison: dict[Partition, int] = {}
    for record in log.records(REQUESTS):
        if record.key is not None and record.key.startswith(log.gateway.encode()):
            poison.setdefault(record.partition, record.offset)
    committed = log.committed()
    assert all(committed.get(found, 0) <= offset for found, offset in poison.items())
    log.members.clear()  # type: ignore[attr-defined]  # it ended as it should


def test_what_an_extractor_needs_may_be_away_and_nothing_is_lost(log: Log) -> None:
    back, asked = Event(), Event()

    def judge(_events: Sequence[RequestEvent]) -> None:
        asked.set()
        if not back.is_set():
            raise ConnectionError("the judge is away")

    log.publish(events(log, 1, 40))
    log.start(LengthExtractor(judge))
    assert asked.wait(30)
    assert processed(log) == 0
    back.set()
    log.wait(lambda: log.counted() == 40)


def test_members_that_come_and_go_hand_over_their_partitions(log: Log) -> None:
    log.publish(events(log, 1, 100))
    first = log.start()
    log.wait(lambda: processed(log) == 100)
    extractor = LengthExtractor()
    second = log.start(extractor)
    published = 100

    def second_works() -> bool:
        nonlocal published
        log.publish(events(log, published + 1, 20))
        published += 20
        return bool(extractor.measured)

    log.wait(second_works)
    first.stop()
    log.publish(events(log, published + 1, 100))
    published += 100
    log.wait(lambda: log.counted() == published and processed(log) == published)
    second.stop()
    assert log.received().repeats == 0


def test_a_quiet_partition_still_reports_and_time_goes_on(log: Log) -> None:
    log.start()
    started = now_ms()
    names = {f"{log.group}/{Partition(REQUESTS.name, index)}" for index in range(4)}

    def all_moved_on() -> bool:
        progress = log.received().progress
        return set(progress) == names and all(
            found.watermark_ms > started for found in progress.values()
        )

    log.wait(all_moved_on)


def test_state_of_other_settings_is_refused(log: Log) -> None:
    log.publish(events(log, 1, 10))
    member = log.start()
    log.wait(lambda: processed(log) == 10)
    member.stop()
    other = log.start(settings=SketchSettings(window_ms=1_000))
    error = other.ended()
    assert isinstance(error, SnapshotSettingsError)
    assert "set window_ms back to 500" in str(error)
    log.members.clear()  # type: ignore[attr-defined]  # it ended as it should


@pytest.mark.parametrize("number", [2_000])
def test_outputs_are_in_order_of_their_numbers(log: Log, number: int) -> None:
    log.publish(events(log, 1, number))
    log.start()
    log.wait(lambda: processed(log) == number)
    prefix = f"{log.group}/"
    seen: dict[str, int] = {}
    for record in log.records(SKETCHES):
        event_id = dict(record.headers)["ce_id"].decode()
        if event_id.startswith(prefix):
            owner, _, sequence = event_id.rpartition("/")
            assert int(sequence) == seen.get(owner, 0) + 1
            seen[owner] = int(sequence)
    assert len(seen) == 4
