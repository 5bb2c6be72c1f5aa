"""Frames become records, compact ones several; what cannot be made is counted, not lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tidegauge.capture.batch import Batch, BatchBuilder
from tidegauge.capture.counters import Counts
from tidegauge.capture.cursor import OutboxCursor
from tidegauge.capture.frame import CompactFormat, Expanded, ExpandFormat, ExpandFormats
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.runs import NOWHERE, list_runs, load_position
from tidegauge.capture.settings import CaptureSettings
from tidegauge.capture.shipper import Shipper
from tidegauge.capture.testing import (
    COMPACT,
    EXPAND,
    record_compact,
    record_exchange,
    request,
    response,
)
from tidegauge.schemas import decode
from tidegauge.schemas.exchange import Heartbeat, RequestEvent, ResponseEvent
from tidegauge.schemas.topics import REQUESTS as ANY_REQUEST

REQUESTS, RESPONSES = "requests.v1", "responses.v1"
EXPAND_FORMATS: ExpandFormats = {COMPACT.type: EXPAND}


def record(directory: Path, *outputs: str | None) -> Counts:
    """Record exchanges: compact with an output, as events without."""
    with Recorder(CaptureSettings(directory=directory), ship=False) as recorder:
        for number, output in enumerate(outputs):
            if output is None:
                record_exchange(recorder, f"req-{number}")
            else:
                record_compact(recorder, (f"req-{number}", output))
        return recorder.counts()


def ship(directory: Path, max_event_bytes: int = 1 << 20) -> tuple[Batch, OutboxCursor]:
    (run,) = list_runs(directory)
    lock = run.lock_shipping()
    assert lock is not None
    cursor = OutboxCursor(run, lock, BatchBuilder(run.producer_id, EXPAND_FORMATS, max_event_bytes))
    batch = cursor.next_batch(1 << 30)
    assert batch is not None
    cursor.arrived(batch, [True] * len(batch.records))
    assert cursor.next_batch(1) is None
    return batch, cursor


def heartbeat(cursor: OutboxCursor) -> Heartbeat:
    return decode(cursor.heartbeat(7).value, Heartbeat)


def test_compact_and_plain_events_bear_one_sequence(tmp_path: Path) -> None:
    counts = record(tmp_path, "At one.", None, "At two.")
    assert counts == Counts(served=3, captured={REQUESTS: 3, RESPONSES: 3})
    batch, cursor = ship(tmp_path)
    events = [decode(record.value, RequestEvent, ResponseEvent) for record in batch.records]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert [record.topic for record in batch.records] == [REQUESTS, RESPONSES] * 3
    assert [dict(record.headers)["ce_id"] for record in batch.records] == [
        str(event.sequence).encode() for event in events
    ]
    assert [dict(record.headers)["ce_type"] for record in batch.records[:2]] == [
        b"tidegauge.request",
        b"tidegauge.response",
    ]
    assert isinstance(events[5], ResponseEvent)
    assert events[5].output == "At two."
    said = heartbeat(cursor)
    assert (said.captured, said.shipped, said.dropped) == (
        counts.captured,
        counts.captured,
        {},
    )
    cursor.save()
    position = load_position(cursor.run.position)
    assert (position.sequence, position.facts) == (6, {"length/short": 2})
    cursor.finish()


def test_what_cannot_be_made_is_dropped_and_leaves_its_sequences(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, "no answer", "At two.", "no answer")
    batch, cursor = ship(tmp_path)
    events = [decode(record.value, RequestEvent, ResponseEvent) for record in batch.records]
    assert [event.sequence for event in events] == [3, 4]
    assert caplog.text.count("could not be expanded") == 1
    said = heartbeat(cursor)
    assert said.served == 3
    assert said.captured == said.shipped == {REQUESTS: 1, RESPONSES: 1}
    assert said.dropped == {REQUESTS: {"invalid_event": 2}, RESPONSES: {"invalid_event": 2}}
    cursor.finish()


def at(
    time_ms: int, build: Callable[[str, int], RequestEvent]
) -> Callable[[str, int], RequestEvent]:
    """Return a function that builds the same event with another time."""
    return lambda producer_id, sequence: msgspec.structs.replace(
        build(producer_id, sequence), time_ms=time_ms
    )


@pytest.mark.parametrize("time_ms", [2**62, 10**18])
def test_an_event_whose_time_is_no_date_stops_nothing(tmp_path: Path, time_ms: int) -> None:
    with Recorder(CaptureSettings(directory=tmp_path), ship=False) as recorder:
        for name, when in (("req-1", 5), ("req-2", time_ms), ("req-3", 5)):
            recorder.record_request(at(when, request(name)))
    batch, cursor = ship(tmp_path)
    assert [decode(found.value, RequestEvent).sequence for found in batch.records] == [1, 3]
    assert heartbeat(cursor).dropped == {REQUESTS: {"invalid_event": 1}}
    cursor.finish()


def test_of_records_in_one_frame_those_are_made_that_can_be(tmp_path: Path) -> None:
    answers = ("At one.", "no answer", "At three.")
    with Recorder(CaptureSettings(directory=tmp_path), ship=False) as recorder:
        record_compact(recorder, *((f"req-{n}", answer) for n, answer in enumerate(answers)))
    batch, cursor = ship(tmp_path)
    events = [decode(record.value, RequestEvent, ResponseEvent) for record in batch.records]
    assert [(event.sequence, event.request_id) for event in events] == [
        (1, "req-0"),
        (2, "req-0"),
        (5, "req-2"),
        (6, "req-2"),
    ]
    assert (batch.sequence, batch.facts) == (6, {"length/short": 2})
    said = heartbeat(cursor)
    assert said.captured == said.shipped == {REQUESTS: 2, RESPONSES: 2}
    assert said.dropped == {REQUESTS: {"invalid_event": 1}, RESPONSES: {"invalid_event": 1}}
    cursor.finish()


def test_records_that_cannot_be_read_are_dropped_all(tmp_path: Path) -> None:
    fold: CompactFormat[bytes] = CompactFormat("testing.exchange.1", (ANY_REQUEST,), b"".join)
    with Recorder(CaptureSettings(directory=tmp_path), ship=False) as recorder:
        recorder.record_compact(fold, [b"no", b"exchange"])
    batch, cursor = ship(tmp_path)
    assert (batch.records, batch.sequence) == ([], 2)
    assert heartbeat(cursor).dropped == {REQUESTS: {"invalid_event": 2}}
    cursor.finish()


def test_an_event_that_turns_out_too_large_is_dropped(tmp_path: Path) -> None:
    record(tmp_path, "x" * 2000)
    _, cursor = ship(tmp_path, max_event_bytes=2000)
    said = heartbeat(cursor)
    assert said.captured == {REQUESTS: 1, RESPONSES: 0}
    assert said.dropped == {RESPONSES: {"too_large": 1}}
    cursor.finish()


def test_the_same_frames_make_the_same_batch(tmp_path: Path) -> None:
    record(tmp_path, "At one.", None)
    (run,) = list_runs(tmp_path)
    batches = []
    for _ in range(2):
        lock = run.lock_shipping()
        assert lock is not None
        cursor = OutboxCursor(run, lock, BatchBuilder(run.producer_id, EXPAND_FORMATS, 1 << 20))
        batches.append(cursor.next_batch(1 << 30))
        cursor.release()
    assert batches[0] == batches[1]


def test_a_run_of_records_that_are_not_known_here_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, "At one.")
    assert Shipper(CaptureSettings(directory=tmp_path), own=None).run() is False
    assert "'compact:testing.exchange.1' are shipped by who appended them" in caplog.text
    assert len(list_runs(tmp_path)) == 1


def test_a_record_that_cannot_be_written_is_counted(tmp_path: Path) -> None:
    assert record(tmp_path, "\ud800", "At two.") == Counts(
        served=2,
        captured={REQUESTS: 1, RESPONSES: 1},
        dropped={REQUESTS: {"invalid_event": 1}, RESPONSES: {"invalid_event": 1}},
    )


def test_a_record_beyond_the_limit_is_counted_for_each_topic(tmp_path: Path) -> None:
    assert record(tmp_path, "x" * 1_000_001).dropped == {
        REQUESTS: {"too_large": 1},
        RESPONSES: {"too_large": 1},
    }


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, "req-1"),
        ({"turn": 1}, "req-1"),
        ({"turn": 1, "conversation_id": "thread-7"}, "req-1"),
        ({"turn": 1, "step": 2, "conversation_id": "thread-7"}, "req-1"),
        ({"turn": 1, "repeat_of": "req-0"}, "req-0\nreq-1"),
        ({"turn": 2, "conversation_id": "thread-7"}, "thread-7\nreq-1"),
        ({"turn": 2, "conversation_id": "thread-7", "repeat_of": "req-0"}, "thread-7\nreq-1"),
        ({"conversation_id": "thread-7"}, "thread-7\nreq-1"),
        ({"repeat_of": "req-0"}, "req-0\nreq-1"),
    ],
)
def test_follow_ups_meet_and_repeats_meet(
    tmp_path: Path, fields: dict[str, object], key: str
) -> None:
    event = msgspec.structs.replace(request("req-1")("gateway/1", 1), **fields)
    with Recorder(CaptureSettings(directory=tmp_path), ship=False) as recorder:
        recorder.record_request(lambda _producer, _sequence: event)
    batch, _ = ship(tmp_path)
    assert [record.key for record in batch.records] == [key.encode()]
    expand = ExpandFormat(EXPAND.decode, lambda *_: Expanded([event, response("req-1")("g", 2)]))
    compact = tmp_path / "compact"
    record(compact, "At noon.")
    (run,) = list_runs(compact)
    entries = OutboxReader(run, NOWHERE.place, 0).read(1 << 20, over=True)
    made = BatchBuilder(run.producer_id, {COMPACT.type: expand}, 1 << 20).build(entries)
    assert [record.key for record in made.records] == [key.encode(), b"req-1"]
