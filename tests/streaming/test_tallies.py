"""Copies, producers that start again, forged sequences, and floods of producers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from tests.streaming.lengths import LengthExtractor, request

from tidegauge.schemas import encode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.sketches import Progress, Tally
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming import tallies
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.progress import AHEAD, BEGUN_AGAIN, PRODUCERS_CAPPED, RENUMBERED
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.streaming.tallies import UNKNOWN_PRODUCER, Activity

PARTITION = Partition(REQUESTS.name, 0)
NOW = 10_000_000


class Stream:
    """A worker's partition: appends events, and tells what became of them."""

    def __init__(self, batch: int = 7) -> None:
        self.now_ms = NOW
        self.settings = SketchSettings()
        self.batch = batch
        self.extractor = LengthExtractor()
        self.offset = 0
        self._start(None)

    def _start(self, snapshot: bytes | None) -> None:
        self.worker = SketchingProcessor(self.extractor, "drift", self.settings)
        self.worker.assign(PARTITION, snapshot)

    def restart(self) -> None:
        self._start(self.worker.snapshot(PARTITION))

    def send(self, *events: RequestEvent, producer_time: bool = False) -> None:
        self.send_values(map(encode, events), producer_time=producer_time)

    def send_values(self, values: Iterable[bytes], *, producer_time: bool = False) -> None:
        records = []
        for value in values:
            record = Record(PARTITION, self.offset, value, producer_time=producer_time)
            records.append(record)
            self.offset += 1
        for start in range(0, len(records), self.batch):
            self.worker.process(records[start : start + self.batch], self.now_ms)

    def progress(self) -> Progress:
        for output in self.worker.tick(self.now_ms + 3_600_000).outputs:
            if isinstance(output.event, Progress):
                return output.event
        raise AssertionError("no progress")


def run(name: str, sequences: Iterable[int], start_ms: int) -> list[RequestEvent]:
    """Return the events of one run of a producer, a second apart."""
    return [
        msgspec.structs.replace(
            request(sequence, time_ms=start_ms + 1_000 * sequence),
            request_id=f"{name}-{sequence}",
        )
        for sequence in sequences
    ]


@pytest.mark.parametrize("batch", [1, 7, 1_000])
@pytest.mark.parametrize("count", [10, 50, 400])
def test_events_that_are_sent_again_are_counted_once(count: int, batch: int) -> None:
    stream = Stream(batch)
    events = run("a", range(1, count + 1), 1_000_000)
    stream.send(*events)
    stream.restart()
    stream.send(*events[count // 3 :], *events[-5:])
    stream.send(*run("a", range(count + 1, count + 4), 1_000_000))
    found = stream.progress()
    assert found.tallies["gateway/1"].processed == count + 3
    assert found.tallies["gateway/1"].repeated == count - count // 3 + 5
    assert not found.totals.keys() & {RENUMBERED, BEGUN_AGAIN}


@pytest.mark.parametrize("batch", [1, 7, 1_000])
@pytest.mark.parametrize(
    ("before", "same_times"), [(5, False), (50, False), (400, False), (5, True), (50, True)]
)
def test_a_producer_that_starts_again_under_its_name_loses_nothing_and_is_told(
    before: int, batch: int, *, same_times: bool
) -> None:
    stream = Stream(batch)
    stream.send(*run("a", range(1, before + 1), 1_000_000))
    stream.restart()
    again = run("b", range(1, 51), 1_000_000 if same_times else 3_000_000)
    stream.send(*again, *again[-10:])
    found = stream.progress()
    assert found.tallies["gateway/1"].processed == before + 50
    assert found.tallies["gateway/1"].repeated == 10
    assert found.totals[RENUMBERED] == min(before, 50)


@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_a_producer_that_starts_again_with_a_clock_behind_is_told(batch: int) -> None:
    """Its events cannot be told from copies of those that are no longer remembered."""
    stream = Stream(batch)
    stream.send(*run("a", range(1, 401), 1_000_000))
    stream.send(*run("b", range(1, 51), 1_000_000))
    found = stream.progress()
    assert found.tallies["gateway/1"].repeated == 50
    assert found.totals[BEGUN_AGAIN] == 1


@pytest.mark.parametrize("batch", [1, 7, 1_000])
@pytest.mark.parametrize("time_ms", [1_000_500, 4_070_908_800_000])
def test_a_forged_sequence_hides_nothing(batch: int, time_ms: int) -> None:
    stream = Stream(batch)
    events = run("a", range(1, 201), 1_000_000)
    forged = msgspec.structs.replace(request(2**62, time_ms=time_ms), request_id="forged")
    stream.send(*events[:100], forged, *events[100:], *events[150:], producer_time=True)
    stream.now_ms = 30_000_000
    stream.send(*run("b", range(1, 11), 20_000_000), producer_time=True)
    tally = stream.progress().tallies["gateway/1"]
    assert (tally.processed, tally.repeated) == (211, 50)


def test_an_event_from_2099_moves_no_watermark_where_records_have_their_producers_times() -> None:
    stream = Stream()
    stream.send(request(1, time_ms=NOW - 5_000), producer_time=True)
    ahead = Record(
        PARTITION,
        stream.offset,
        encode(request(2, time_ms=4_070_908_800_000)),
        timestamp_ms=4_070_908_800_000,
        producer_time=True,
    )
    stream.worker.process([ahead], NOW)
    progress = stream.progress()
    assert progress.watermark_ms <= NOW + stream.settings.ahead_ms
    assert progress.totals[AHEAD] == 1


def test_a_flood_of_producers_grows_nothing_and_hides_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tallies, "MOST_PRODUCERS", 16)
    stream = Stream(batch=500)
    mine = run("a", range(1, 101), 1_000_000)
    for number, event in enumerate(mine):
        flood = [
            request(1, time_ms=1_000_000, producer_id=f"flood-{number}-{i}") for i in range(20)
        ]
        stream.send(*flood[:10], event, *flood[10:])
    stream.restart()
    stream.send(*mine[-10:])
    found = stream.progress()
    assert len(found.tallies) <= 17
    assert found.tallies["gateway/1"].processed + found.tallies["gateway/1"].repeated >= 10
    assert sum(tally.processed for tally in found.tallies.values()) >= 2_100
    assert found.tallies[UNKNOWN_PRODUCER].processed > 2_000
    assert len(stream.worker.snapshot(PARTITION)) < 64_000


def test_a_flood_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_PRODUCERS", 16)
    stream = Stream()
    stream.send(*(request(1, time_ms=1_000, producer_id=f"p{i}") for i in range(17)))
    assert PRODUCERS_CAPPED in stream.progress().notices


def test_a_dead_letter_that_is_sent_again_and_can_be_read_is_processed() -> None:
    stream = Stream()
    events = run("a", range(1, 101), 1_000_000)
    broken = b'{"type": "tidegauge.request", "producer_id": "gateway/1", "sequence": 10}'
    stream.send(*events[:9])
    stream.send_values([broken, broken])
    stream.send(*events[10:])
    stream.restart()
    stream.send(events[9], events[9])
    tally = stream.progress().tallies["gateway/1"]
    assert (tally.processed, tally.dead_lettered, tally.repeated) == (100, 1, 2)


def test_of_a_producer_at_rest_only_the_time_tells_copies() -> None:
    stream = Stream()
    mine = run("a", range(1, 101), 1_000_000)
    stream.send(*mine)
    stream.send(request(1, time_ms=9_000_000, producer_id="gateway/2"))
    stream.progress()
    snapshot = stream.worker.snapshot(PARTITION)
    stream.restart()
    stream.send(*mine[-3:], *run("b", range(1, 4), 9_000_000))
    tally = stream.progress().tallies["gateway/1"]
    assert (tally.processed, tally.repeated) == (103, 3)
    assert len(snapshot) < 2_000


def test_a_state_from_before_sequences_were_kept_still_drops_copies() -> None:
    tally = msgspec.convert({"processed": 5, "last_sequence": 5}, Tally)
    found = tallies.Sequences(Activity(tally=tally, active_ms=5_000))
    assert found.has(3, 1, 3_000)
    assert not found.has(3, 1, 6_000)
    assert not found.has(6, 1, 6_000)
