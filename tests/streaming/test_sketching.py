from __future__ import annotations

import gzip
import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streaming.lengths import LengthExtractor, request

from tidegauge.schemas import OTHER, Segment, decode, encode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.sketches import Progress, RecordPlace, Sketch
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.errors import (
    ExtractionError,
    ExtractorError,
    SnapshotError,
    SnapshotSettingsError,
    SnapshotVersionError,
)
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, ProcessingResult, Record
from tidegauge.streaming.progress import AHEAD, OVERFLOW, REFUSED_VALUES, SEGMENTS_CAPPED
from tidegauge.streaming.sketching import SketchingProcessor

PARTITION = Partition(REQUESTS.name, 0)
SETTINGS = SketchSettings(window_ms=10_000, lateness_ms=20_000, idle_ms=30_000)
NOW = 1_000_000


def processor(
    extractor: LengthExtractor | None = None,
    settings: SketchSettings = SETTINGS,
    snapshot: bytes | None = None,
) -> SketchingProcessor[RequestEvent]:
    found = SketchingProcessor(extractor or LengthExtractor(), "drift", settings)
    found.assign(PARTITION, snapshot)
    return found


def record(offset: int, value: bytes, timestamp_ms: int = 0) -> Record:
    return Record(PARTITION, offset, value, timestamp_ms=timestamp_ms)


def stream(*times_ms: int, first: int = 0) -> list[Record]:
    return [
        record(first + i, encode(request(first + i + 1, time_ms=time_ms)))
        for i, time_ms in enumerate(times_ms)
    ]


def sketches(outcome: ProcessingResult) -> list[Sketch]:
    return [found.event for found in outcome.outputs if isinstance(found.event, Sketch)]


def progress(outcome: ProcessingResult) -> Progress:
    found = [found.event for found in outcome.outputs if isinstance(found.event, Progress)]
    return found[-1]


def test_a_window_is_published_when_it_closes_followed_by_progress() -> None:
    worker = processor()
    assert worker.process(stream(101_000, 105_000), NOW) == ProcessingResult()
    outcome = worker.process(stream(130_000, first=2), NOW)
    sketch, last = (output.event for output in outcome.outputs)
    assert isinstance(sketch, Sketch)
    assert (sketch.window_start_ms, sketch.window_ms, sketch.events) == (100_000, 10_000, 2)
    assert (sketch.source.first_offset, sketch.source.last_offset) == (0, 1)
    assert sketch.hits == {"odd": 2}
    assert sketch.moments["length"].total == 42
    assert sketch.totals == {"characters": {"acme": 42}}
    assert len(sketch.exemplars["odd"]) == 2
    assert [(one.customer, one.shows) for one in sketch.sample] == [("acme", ("odd",))] * 2
    assert isinstance(last, Progress)
    assert (sketch.sequence, last.sequence) == (1, 2)
    assert (last.next_offset, last.watermark_ms) == (3, 110_000)
    assert last.tallies["gateway/1"].processed == 3
    assert last.totals == {"looked_at": 3}


def test_exemplars_say_where_their_text_lies_and_do_not_hold_it() -> None:
    worker = processor()
    records = stream(101_000, 130_000)
    asked = decode(records[0].value, RequestEvent)
    (sketch,) = sketches(worker.process(records, NOW))
    (exemplar,) = sketch.exemplars["odd"]
    assert asked.messages[0].content
    assert (exemplar.request_id, exemplar.text) == (asked.request_id, "")
    assert exemplar.source == RecordPlace(PARTITION.topic, PARTITION.index, records[0].offset)
    for held in (encode(sketch), worker.snapshot(PARTITION)):
        assert asked.messages[0].content.encode() not in held


def test_a_late_event_is_counted_in_the_next_open_window_and_marked() -> None:
    worker = processor()
    worker.process(stream(105_000, 130_000, 104_000), NOW)
    (sketch,) = sketches(worker.process(stream(140_000, first=3), NOW))
    assert (sketch.window_start_ms, sketch.events, sketch.late) == (110_000, 1, 1)


def test_a_copy_is_dropped_and_counted() -> None:
    worker = processor()
    first = stream(101_000)
    copy = record(1, first[0].value)
    worker.process([*first, copy], NOW)
    again = record(2, first[0].value)
    outcome = worker.process([again, *stream(130_000, first=3)], NOW)
    assert sketches(outcome)[0].events == 1
    tally = progress(outcome).tallies["gateway/1"]
    assert (tally.processed, tally.repeated, tally.last_sequence) == (2, 2, 4)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xfa", "malformed_json"),
        (b"\xef\xbb\xbf" + encode(request(1, time_ms=1)), "not_utf8"),
        (encode(request(1, time_ms=1)).decode().encode("utf-16"), "not_utf8"),
        (encode(request(1, time_ms=1)).decode().encode("utf-16-be"), "not_utf8"),
        (b"{'type': 'tidegauge.request', 'sequence': None}", "not_json"),
        (b'{"type": "tidegauge.request", "customer": "\xff"}', "malformed_json"),
        (b'{"x": ' + b"[" * 100_000, "malformed_json"),
        (b"[1]", "several_events"),
        (encode(request(1, time_ms=1)) + b"\n" + encode(request(2, time_ms=1)), "several_events"),
        (b"\x00\x00\x00\x00\x2a{}", "schema_registry"),
        (b"\x03\x00" + bytes(range(16)) + b"{}", "schema_registry"),
        (
            b'{"schema": {"type": "struct"}, "payload": ' + encode(request(1, time_ms=1)) + b"}",
            "connect_envelope",
        ),
        (b64encode(encode(request(1, time_ms=1))), "encoded_twice"),
        (gzip.compress(encode(request(1, time_ms=1)), mtime=0), "compressed"),
        (msgspec.json.encode(encode(request(1, time_ms=1)).decode()), "encoded_twice"),
        (
            b'{"specversion": "1.0", "type": "tidegauge.request", "id": "1", "source": "x",'
            b' "data": ' + encode(request(1, time_ms=1)) + b"}",
            "structured_cloud_event",
        ),
        (b'{"specversion": "1.0", "type": "com.example.other"}', "structured_cloud_event"),
        (encode(request(1, time_ms=1)).replace(b'"time_ms":1', b'"time_ms":NaN'), "not_a_number"),
        (
            encode(request(1, time_ms=1)).replace(b'"time_ms":1', b'"time_ms":-Infinity'),
            "not_a_number",
        ),
        (encode(request(1, time_ms=1_764_495_775)), "time_unit"),
        (encode(request(1, time_ms=1_764_495_775_000_000)), "time_unit"),
        (b"{}", "unknown_type"),
        (b'{"type": "tidegauge.request"}', "invalid_field"),
        (b'{"type": "tidegauge.request", "schema_version": 9}', "unknown_schema_version"),
        (
            encode(msgspec.structs.replace(request(1, time_ms=1), sequence=2**63)),
            "invalid_field",
        ),
        (encode(request(1, time_ms=2**62)), "time_unit"),
        (encode(request(1, time_ms=-5)), "invalid_field"),
    ],
)
def test_a_poison_record_becomes_a_dead_letter_and_the_rest_goes_on(
    value: bytes, reason: str
) -> None:
    worker = processor()
    outcome = worker.process([record(0, value), *stream(101_000, 130_000, first=1)], NOW)
    assert [found.reason for found in outcome.rejections] == [reason]
    assert outcome.rejections[0].record.value == value
    assert sketches(outcome)[0].events == 1
    assert sum(tally.dead_lettered for tally in progress(outcome).tallies.values()) == 1
    worker.snapshot(PARTITION)


def test_a_dead_letter_counts_for_its_producer_and_only_once() -> None:
    worker = processor()
    broken = b'{"type": "tidegauge.request", "producer_id": "gateway/1", "sequence": 7}'
    outcome = worker.process([record(0, broken), record(1, broken)], NOW)
    assert len(outcome.rejections) == 1
    tally = progress(worker.tick(NOW)).tallies["gateway/1"]
    assert (tally.dead_lettered, tally.repeated, tally.last_sequence) == (1, 1, 7)


def test_silence_closes_windows_and_is_reported() -> None:
    worker = processor()
    worker.process(stream(101_000), NOW)
    worker.caught_up(PARTITION, 150_000)
    assert progress(worker.tick(150_000)).watermark_ms == 80_000
    worker.caught_up(PARTITION, 180_000)
    outcome = worker.tick(180_000)
    assert [sketch.window_start_ms for sketch in sketches(outcome)] == [100_000]
    assert progress(outcome).watermark_ms == 160_000


def test_a_partition_without_traffic_reports_progress_at_its_pace() -> None:
    worker = processor()
    assert progress(worker.tick(NOW)).sequence == 1
    assert worker.tick(NOW + 9_999).outputs == ()
    assert progress(worker.tick(NOW + 10_000)).sequence == 2


def test_time_passing_while_records_wait_closes_nothing() -> None:
    worker = processor()
    worker.process(stream(101_000), NOW)
    assert sketches(worker.tick(NOW + 600_000)) == []


def test_an_event_from_the_future_does_not_close_the_present() -> None:
    worker = processor()
    now = 200_000
    ahead = encode(request(1, time_ms=now + 86_400_000))
    worker.process([record(0, ahead, now)], now)
    fine = encode(request(2, time_ms=now + 50_000))
    worker.process([record(1, fine, now + 50_000)], now + 50_000)
    last = progress(worker.tick(now + 50_000))
    assert last.watermark_ms == 240_000
    assert last.totals[AHEAD] == 1


def test_segments_beyond_the_cap_are_counted_as_other() -> None:
    worker = processor(settings=SketchSettings(segment_limit=1))
    events = [
        request(1, time_ms=101_000),
        request(2, time_ms=101_000, segment=Segment(model="n")),
        request(3, time_ms=130_000),
    ]
    outcome = worker.process([record(i, encode(event)) for i, event in enumerate(events)], NOW)
    assert [sketch.segment for sketch in sketches(outcome)] == [events[0].segment, OTHER]
    assert progress(outcome).totals[OVERFLOW] == 1
    assert SEGMENTS_CAPPED in progress(outcome).notices


class OddExtractor(LengthExtractor):
    def measure(self, events: Sequence[tuple[Origin, RequestEvent]]) -> Sequence[Measurement]:
        return [
            Measurement(
                trials=("checked",) if event.sequence == 1 else (),
                values={"x": value},
                totals={"sum": {"acme": 2**62}},
                baseline=f"b{event.sequence}",
            )
            for (_, event), value in zip(events, [math.nan, math.inf, 1e200, 1.0], strict=False)
        ]


def test_numbers_that_cannot_be_added_up_are_left_out_and_counted() -> None:
    worker = processor(OddExtractor())
    outcome = worker.process(stream(101_000, 101_000, 101_000, 130_000), NOW)
    assert all(sketch.moments == {} for sketch in sketches(outcome))
    assert all(sketch.sample == () for sketch in sketches(outcome))
    assert progress(outcome).totals[REFUSED_VALUES] == 3
    for output in outcome.outputs:
        assert decode(encode(output.event), type(output.event)) == output.event


def test_two_baselines_in_a_window_are_two_sketches() -> None:
    worker = processor(OddExtractor())
    found = sketches(worker.process(stream(101_000, 102_000, 103_000, 130_000), NOW))
    assert [sketch.baseline for sketch in found] == ["b1", "b2", "b3"]


def test_what_is_not_looked_at_always_says_so_in_every_sketch() -> None:
    worker = processor(OddExtractor())
    found = sketches(worker.process(stream(101_000, 102_000, 130_000), NOW))
    assert [sketch.trials for sketch in found] == [{"checked": 1}, {"checked": 0}]


def test_an_extractor_that_fails_changes_nothing() -> None:
    away = True

    def judge(_events: Sequence[RequestEvent]) -> None:
        if away:
            raise ConnectionError("the judge is away")

    worker = processor(LengthExtractor(judge))
    records = stream(101_000, 130_000)
    before = worker.snapshot(PARTITION)
    with pytest.raises(ExtractionError, match="the judge is away"):
        worker.process(records, NOW)
    assert worker.snapshot(PARTITION) == before
    away = False
    assert sketches(worker.process(records, NOW))[0].events == 1


def test_an_extractor_that_returns_too_few_results_is_named() -> None:
    class Short(LengthExtractor):
        def measure(self, events: Sequence[tuple[Origin, RequestEvent]]) -> Sequence[Measurement]:
            return super().measure(events)[:-1]

    with pytest.raises(ExtractorError, match="returned 1 results for 2 events"):
        processor(Short()).process(stream(1_000, 2_000), NOW)


def test_records_before_the_snapshot_are_not_counted_again() -> None:
    worker = processor()
    records = stream(101_000, 102_000)
    worker.process(records, NOW)
    worker.process(records, NOW)
    (sketch,) = sketches(worker.process(stream(130_000, first=2), NOW))
    assert sketch.events == 2


times = st.lists(st.integers(1, 120_000), min_size=1, max_size=40)


@given(times, st.lists(st.integers(0, 40), max_size=5))
def test_neither_batches_nor_restarts_change_what_is_counted(
    times_ms: list[int], cuts: list[int]
) -> None:
    records = stream(*times_ms, 1_000_000)
    at_once = sketches(processor().process(records, NOW))
    worker, found = processor(), []
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    for start, end in pairwise(edges):
        found += sketches(worker.process(records[start:end], NOW))
        worker = processor(snapshot=worker.snapshot(PARTITION))
    assert [msgspec.structs.replace(sketch, sequence=0) for sketch in found] == [
        msgspec.structs.replace(sketch, sequence=0) for sketch in at_once
    ]


@given(times)
def test_a_restored_state_is_the_state(times_ms: list[int]) -> None:
    worker = processor()
    worker.process(stream(*times_ms), NOW)
    snapshot = worker.snapshot(PARTITION)
    assert processor(snapshot=snapshot).snapshot(PARTITION) == snapshot


@given(times, st.integers(1, 4))
def test_any_partitioning_counts_the_same_events(times_ms: list[int], number: int) -> None:
    events = [request(i + 1, time_ms=time_ms) for i, time_ms in enumerate(times_ms)]
    spread = SketchSettings(window_ms=200_000, lateness_ms=200_000)
    worker = SketchingProcessor(LengthExtractor(), "drift", spread)
    found = []
    for index in range(number):
        partition = Partition(REQUESTS.name, index)
        worker.assign(partition, None)
        mine = [*events[index::number], request(10_000, time_ms=500_000)]
        records = [Record(partition, i, encode(event)) for i, event in enumerate(mine)]
        found += sketches(worker.process(records, NOW))
    assert sum(sketch.events for sketch in found) == len(times_ms)
    assert sum(sketch.moments["length"].n for sketch in found) == len(times_ms)


def test_a_producer_long_gone_is_forgotten() -> None:
    worker = processor(settings=SketchSettings(retire_ms=50_000))
    worker.process([record(0, encode(request(1, time_ms=101_000, producer_id="old")))], NOW)
    later = [record(1, encode(request(1, time_ms=900_000, producer_id="new")))]
    assert set(progress(worker.process(later, NOW)).tallies) == {"new"}


def test_a_snapshot_of_other_settings_is_refused() -> None:
    snapshot = processor().snapshot(PARTITION)
    with pytest.raises(SnapshotSettingsError, match="window_ms = 10000, now it is 5000"):
        processor(settings=SketchSettings(window_ms=5_000), snapshot=snapshot)


def test_a_snapshot_of_another_owner_is_refused() -> None:
    worker = SketchingProcessor(LengthExtractor(), "other", SETTINGS)
    with pytest.raises(SnapshotSettingsError, match="owner = drift/requests"):
        worker.assign(PARTITION, processor().snapshot(PARTITION))


def test_a_snapshot_of_another_version_is_refused() -> None:
    state = msgspec.msgpack.decode(processor().snapshot(PARTITION))
    for version in (1, 3):
        other = msgspec.msgpack.encode({**state, "version": version})
        with pytest.raises(SnapshotVersionError, match=f"version {version}, this release reads 2"):
            processor(snapshot=other)


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        processor(snapshot=b"\xc1nonsense")


def test_a_revoked_partition_is_forgotten() -> None:
    worker = processor()
    worker.process(stream(101_000), NOW)
    worker.revoke(PARTITION)
    worker.assign(PARTITION, None)
    assert progress(worker.tick(NOW)).tallies == {}


def test_a_tombstone_is_passed_over_and_is_no_dead_letter() -> None:
    worker = processor()
    records = stream(101_000)
    tombstone = replace(records[0], offset=1, value=b"", key=b"request-1")
    assert tombstone.is_tombstone
    outcome = worker.process([*records, tombstone], NOW)
    assert outcome.rejections == ()
    found = progress(worker.process(stream(130_000, first=3), NOW))
    assert (found.next_offset, found.tallies["gateway/1"].repeated) == (4, 0)
    alone = processor()
    assert alone.process([tombstone], NOW).rejections == ()
    assert progress(alone.tick(NOW)).next_offset == 2
