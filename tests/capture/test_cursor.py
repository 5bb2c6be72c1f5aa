"""A run's counts, from what was counted while capturing and what was seen while shipping."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tidegauge.capture.batch import Batch, BatchBuilder
from tidegauge.capture.counters import Counts
from tidegauge.capture.cursor import OutboxCursor
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.runs import Position, list_runs, load_position
from tidegauge.capture.settings import CaptureSettings
from tidegauge.capture.shipper import Shipper
from tidegauge.capture.status import heartbeat_of
from tidegauge.capture.testing import record_exchange
from tidegauge.schemas import decode
from tidegauge.schemas.exchange import Heartbeat, RequestEvent, ResponseEvent

REQUESTS, RESPONSES = "requests.v1", "responses.v1"


def beat(counts: Counts | None, position: Position, *, final: bool = True) -> Heartbeat:
    return heartbeat_of("gateway-1", 7, counts, position, final=final)


def test_what_is_on_its_way_is_captured_and_not_yet_shipped() -> None:
    counts = Counts(served=10, captured={REQUESTS: 10}, dropped={REQUESTS: {"quota": 2}})
    assert beat(counts, Position(shipped={REQUESTS: 6}), final=False) == Heartbeat(
        producer_id="gateway-1",
        time_ms=7,
        served=10,
        captured={REQUESTS: 10},
        dropped={REQUESTS: {"quota": 2}},
        shipped={REQUESTS: 6},
    )


def test_what_the_broker_refuses_is_dropped_and_not_captured() -> None:
    counts = Counts(served=10, captured={REQUESTS: 10}, dropped={REQUESTS: {"quota": 2}})
    said = beat(counts, Position(shipped={REQUESTS: 9}, dropped={REQUESTS: {"rejected": 1}}))
    assert (said.captured, said.shipped) == ({REQUESTS: 9}, {REQUESTS: 9})
    assert said.dropped == {REQUESTS: {"quota": 2, "rejected": 1}}


def test_what_could_not_be_read_back_is_dropped_at_the_end() -> None:
    counts = Counts(served=10, captured={REQUESTS: 10, RESPONSES: 10})
    position = Position(shipped={REQUESTS: 10, RESPONSES: 7})
    assert beat(counts, position, final=False).captured == {REQUESTS: 10, RESPONSES: 10}
    said = beat(counts, position)
    assert (said.captured, said.final) == ({REQUESTS: 10, RESPONSES: 7}, True)
    assert said.dropped == {RESPONSES: {"damaged": 3}}


def test_an_event_appended_just_before_the_kill_counts_though_its_counter_lags() -> None:
    said = beat(Counts(served=9, captured={REQUESTS: 9}), Position(shipped={REQUESTS: 10}))
    assert (said.captured, said.dropped) == ({REQUESTS: 10}, {})


def test_a_run_without_counters_is_counted_by_what_was_read() -> None:
    said = beat(
        None, Position(shipped={REQUESTS: 4, RESPONSES: 3}, dropped={RESPONSES: {"rejected": 1}})
    )
    assert (said.served, said.captured) == (4, {REQUESTS: 4, RESPONSES: 3})
    assert said.dropped == {RESPONSES: {"rejected": 1}}


def take(directory: Path) -> OutboxCursor:
    (run,) = list_runs(directory)
    lock = run.lock_shipping()
    assert lock is not None
    return OutboxCursor(run, lock, BatchBuilder(run.producer_id, {}, 1 << 20))


def next_batch(cursor: OutboxCursor, max_bytes: int) -> Batch:
    batch = cursor.next_batch(max_bytes)
    assert batch is not None
    return batch


def sequences(batches: list[Batch]) -> list[int]:
    return [
        decode(record.value, RequestEvent, ResponseEvent).sequence
        for batch in batches
        for record in batch.records
    ]


def record(directory: Path, exchanges: int, *, segment_bytes: int = 1 << 20) -> None:
    settings = CaptureSettings(
        directory=directory, segment_bytes=segment_bytes, max_event_bytes=segment_bytes
    )
    with Recorder(settings, ship=False) as recorder:
        for number in range(exchanges):
            record_exchange(recorder, f"req-{number}")


def test_shipping_goes_on_where_it_was_saved_and_segments_behind_it_go(tmp_path: Path) -> None:
    record(tmp_path, 20, segment_bytes=2000)
    cursor = take(tmp_path)
    before = cursor.run.segments()
    batch = next_batch(cursor, 8000)
    cursor.arrived(batch, [True] * len(batch.records))
    cursor.release()
    assert 0 < len(cursor.run.segments()) < len(before)

    again = take(tmp_path)
    batches = [batch]
    while more := again.next_batch(8000):
        again.arrived(more, [True] * len(more.records))
        batches.append(more)
    assert sequences(batches) == list(range(1, 41))
    assert again.exhausted
    said = decode(again.heartbeat(7).value, Heartbeat)
    assert said.shipped == said.captured == {REQUESTS: 20, RESPONSES: 20}
    assert said.final
    again.finish()
    assert list_runs(tmp_path) == []


def test_what_was_not_saved_is_sent_again(tmp_path: Path) -> None:
    record(tmp_path, 5)
    cursor = take(tmp_path)
    first = next_batch(cursor, 1 << 20)
    cursor.arrived(first, [True] * len(first.records))
    cursor._lock.release()  # killed before it could save
    again = take(tmp_path)
    assert again.next_batch(1 << 20) == first
    again.release()


def test_a_damaged_tail_is_told_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, 5)
    (run,) = list_runs(tmp_path)
    segment = run.segment(1)
    segment.write_bytes(segment.read_bytes()[:-10])
    cursor = take(tmp_path)
    batch = next_batch(cursor, 1 << 20)
    cursor.arrived(batch, [True] * len(batch.records))
    assert cursor.next_batch(1 << 20) is None
    assert "no whole event" in caplog.text
    said = decode(cursor.heartbeat(7).value, Heartbeat)
    assert (said.served, said.captured) == (5, {REQUESTS: 5, RESPONSES: 4})
    assert said.dropped == {RESPONSES: {"damaged": 1}}
    cursor.finish()


def test_a_run_whose_counters_are_lost_is_shipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, 2)
    (run,) = list_runs(tmp_path)
    run.counters.write_bytes(b"")
    cursor = take(tmp_path)
    batch = next_batch(cursor, 1 << 20)
    cursor.arrived(batch, [True] * len(batch.records))
    cursor.next_batch(1 << 20)
    assert decode(cursor.heartbeat(7).value, Heartbeat).served == 2
    assert "no counters" in caplog.text
    cursor.finish()


def test_syncing_reaches_the_tail_and_then_every_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, 10, segment_bytes=2000)
    cursor, run = take(tmp_path), list_runs(tmp_path)[0]
    forced: list[Path] = []
    monkeypatch.setattr(
        "os.fdatasync", lambda number: forced.append(Path(f"/proc/self/fd/{number}").readlink())
    )
    cursor.sync()
    assert forced == [run.buffer, *map(run.segment, run.segments())]
    forced.clear()
    cursor.sync()
    assert forced == [run.buffer, run.segment(run.segments()[-1])]
    cursor.release()


def test_on_a_full_disk_the_room_comes_from_what_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, 20, segment_bytes=2000)
    cursor = take(tmp_path)
    first = next_batch(cursor, 500)
    cursor.arrived(first, [True] * len(first.records))
    monkeypatch.setattr("tidegauge.capture.cursor.save_position", no_space)
    before = cursor.run.segments()
    cursor.save()
    assert cursor.run.segments() == before, "nothing is shipped whole yet"
    batch = next_batch(cursor, 8000)
    cursor.arrived(batch, [True] * len(batch.records))
    cursor.save()
    assert cursor.run.segments() == [n for n in before if n >= batch.end.segment]
    assert "No space left" in caplog.text
    monkeypatch.undo()
    cursor.save()
    assert load_position(cursor.run.position).sequence == batch.sequence
    cursor.release()


def no_space(_path: Path, _position: Position) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_run_of_a_later_version_is_left_alone_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, 2)
    (run,) = list_runs(tmp_path)
    segment = run.segment(1)
    segment.write_bytes(segment.read_bytes().replace(b"TGOUTBOX\4", b"TGOUTBOX\5", 1))
    shipper = Shipper(CaptureSettings(directory=tmp_path), own=None)
    assert shipper.run() is False
    assert "this shipper knows up to 4: ship it with the tidegauge that wrote it" in caplog.text
    assert [left.producer_id for left in list_runs(tmp_path)] == [run.producer_id]
