"""Appending and reading back: segments, quota, disks that fill up, tails that are torn."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.capture.counters import Drop
from tidegauge.capture.frame import FrameEncoder, encode_header
from tidegauge.capture.outbox import BUFFER_BYTES, OutboxWriter
from tidegauge.capture.outbox_reader import OutboxEntry, OutboxReader
from tidegauge.capture.runs import Lock, Place, Run, new_run, usage_bytes

ENCODER = FrameEncoder("requests.v1", "tidegauge.request")
MUCH = 1 << 30


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[tuple[Run, Lock]]:
    run, lock = new_run(tmp_path / "outbox", "gateway")
    yield run, lock
    lock.release()


@pytest.fixture
def run(owned: tuple[Run, Lock]) -> Run:
    return owned[0]


def writer_of(
    run: Run, *, quota: int = MUCH, segment: int = MUCH, clock: Clock | None = None
) -> OutboxWriter:
    writer = OutboxWriter(
        run,
        quota_bytes=quota,
        segment_bytes=segment,
        fsync="never",
        monotonic=clock or Clock(),
    )
    writer.begin(1)
    return writer


def frame(sequence: int, size: int = 100) -> bytes:
    return ENCODER.encode(sequence, 1000 + sequence, f"req-{sequence}", b"x" * size)


def append(writer: OutboxWriter, sequences: range, size: int = 100) -> None:
    for sequence in sequences:
        assert writer.append(sequence, frame(sequence, size)) is None


def read_all(reader: OutboxReader, *, over: bool) -> list[OutboxEntry]:
    entries: list[OutboxEntry] = []
    while batch := reader.read(1000, over=over):
        entries += batch
    return entries


def sequences(entries: list[OutboxEntry]) -> list[int]:
    return [entry.frame.sequence for entry in entries]


def reader_of(run: Run) -> OutboxReader:
    return OutboxReader(run, Place(), 0)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A disk that is full, as the kernel tells it: a write cut short, then an error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_is_appended_is_read_in_order(run: Run) -> None:
    writer = writer_of(run, segment=1000)
    append(writer, range(1, 51))
    assert len(run.segments()) > 5
    entries = read_all(reader_of(run), over=False)
    assert sequences(entries) == list(range(1, 51))
    first = entries[0].frame
    assert (first.topic, first.type, first.key) == ("requests.v1", "tidegauge.request", "req-1")
    assert (first.time_ms, first.value) == (1001, b"x" * 100)


def test_a_reader_follows_what_is_being_written(run: Run) -> None:
    writer, reader = writer_of(run, segment=500), reader_of(run)
    assert reader.read(MUCH, over=False) == []
    for sequence in range(1, 20):
        append(writer, range(sequence, sequence + 1))
        assert sequences(reader.read(MUCH, over=False)) == [sequence]
        assert reader.read(MUCH, over=False) == []


@given(
    st.lists(st.integers(0, 400) | st.integers(0, 2 * BUFFER_BYTES), min_size=1, max_size=30),
    st.integers(0, 29),
    st.sampled_from([700, 3 * BUFFER_BYTES, MUCH]),
)
def test_reading_goes_on_from_any_place(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], stop: int, segment: int
) -> None:
    run, lock = new_run(tmp_path_factory.mktemp("outbox"), "gateway")
    writer = writer_of(run, segment=segment)
    for sequence, size in enumerate(sizes, start=1):
        append(writer, range(sequence, sequence + 1), size)
    entries = read_all(reader_of(run), over=True)
    assert sequences(entries) == list(range(1, len(sizes) + 1))
    last = entries[min(stop, len(entries) - 1)]
    again = OutboxReader(run, last.end, last.frame.sequence)
    assert sequences(read_all(again, over=True)) == list(
        range(last.frame.sequence + 1, len(sizes) + 1)
    )
    lock.release()


def test_about_as_much_as_asked_for_is_read_at_once(run: Run) -> None:
    writer, reader = writer_of(run), reader_of(run)
    append(writer, range(1, 11))
    assert sequences(reader.read(250, over=False)) == [1, 2, 3]
    assert sequences(reader.read(1, over=False)) == [4]


def test_the_quota_is_counted_over_all_segments_of_all_runs(run: Run, tmp_path: Path) -> None:
    other, lock = new_run(tmp_path / "outbox", "other")
    append(writer_of(other), range(1, 11))
    taken = usage_bytes(tmp_path / "outbox")
    writer = writer_of(run, quota=taken + 1000, segment=500)
    results = [writer.append(n, frame(n)) for n in range(1, 31)]
    assert results[0] is None
    assert results[-1] is Drop.QUOTA
    assert usage_bytes(tmp_path / "outbox") <= taken + 1000
    lock.release()


def test_what_the_shipper_deletes_makes_room(run: Run) -> None:
    clock = Clock()
    writer = writer_of(run, quota=2000, segment=500, clock=clock)
    sequence = 1
    while writer.append(sequence, frame(sequence)) is None:
        sequence += 1
    run.segment(run.segments()[0]).unlink()
    assert writer.append(sequence, frame(sequence)) is Drop.QUOTA, "looked too soon"
    clock.now += 1
    append(writer, range(sequence, sequence + 1))
    kept = read_all(OutboxReader(run, Place(run.segments()[0]), run.segments()[0] - 1), over=True)
    assert sequences(kept)[-1] == sequence


def test_a_full_disk_leaves_no_torn_frame_and_is_survived(run: Run) -> None:
    writer = writer_of(run)
    append(writer, range(1, 4), BUFFER_BYTES)
    size = run.segment(1).stat().st_size
    with files_limited_to(size + 40):
        assert writer.append(4, frame(4, BUFFER_BYTES)) is Drop.DISK_FULL
        assert run.segment(1).stat().st_size == size
        assert writer.append(4, frame(4, BUFFER_BYTES)) is Drop.DISK_FULL
    append(writer, range(4, 6), BUFFER_BYTES)
    reader = reader_of(run)
    assert sequences(read_all(reader, over=True)) == [1, 2, 3, 4, 5]
    assert reader.torn_bytes == 0


def test_a_segment_that_cannot_be_begun_is_tried_again(run: Run) -> None:
    writer = writer_of(run, segment=300)
    append(writer, range(1, 3))
    with files_limited_to(4):
        assert writer.append(3, frame(3)) is Drop.DISK_FULL
    append(writer, range(3, 5))
    assert sequences(read_all(reader_of(run), over=True)) == [1, 2, 3, 4]


def test_a_folder_that_is_gone_is_an_error_of_the_disk(run: Run) -> None:
    writer = writer_of(run, segment=300)
    append(writer, range(1, 3))
    run.remove()
    assert writer.append(3, frame(3)) is Drop.IO_ERROR


@pytest.mark.parametrize("tail", [b"\x07", frame(4)[:-1], bytes(4096), b"\xff" * 50])
def test_a_torn_tail_is_passed_over_and_measured(run: Run, tail: bytes) -> None:
    writer = writer_of(run)
    append(writer, range(1, 4))
    writer.close()
    run.buffer.unlink()  # as in runs of an earlier version, or after a crash of the machine
    with run.segment(1).open("ab") as file:
        file.write(tail)
    reader = reader_of(run)
    assert sequences(read_all(reader, over=False)) == [1, 2, 3]
    assert reader.torn_bytes == 0, "while the writer lives, the frame may still be completed"
    assert read_all(reader, over=True) == []
    assert reader.torn_bytes == len(tail)
    assert read_all(reader, over=True) == []
    assert reader.torn_bytes == len(tail), "counted once"


def test_a_frame_that_is_being_written_is_awaited(run: Run) -> None:
    writer, reader = writer_of(run), reader_of(run)
    append(writer, range(1, 2))
    writer.close()
    run.buffer.unlink()
    whole = frame(2)
    with run.segment(1).open("ab", buffering=0) as file:
        file.write(whole[:30])
        assert sequences(reader.read(MUCH, over=False)) == [1]
        file.write(whole[30:])
    assert sequences(reader.read(MUCH, over=False)) == [2]


def test_the_rest_of_a_damaged_segment_is_given_up_and_counted(run: Run) -> None:
    writer = writer_of(run, segment=800)
    append(writer, range(1, 21))
    first, second = run.segments()[:2]
    damaged = bytearray(run.segment(first).read_bytes())
    damaged[len(encode_header(run.producer_id)) + len(frame(1)) + 20] ^= 1
    run.segment(first).write_bytes(bytes(damaged))
    reader = reader_of(run)
    assert sequences(read_all(reader, over=False)) == [1, *range(second, 21)]
    assert reader.given_up == second - 2
    assert reader.torn_bytes > 0


def test_a_segment_that_is_missing_is_counted(run: Run) -> None:
    writer = writer_of(run, segment=500)
    append(writer, range(1, 13))
    first, second, third = run.segments()[:3]
    run.segment(second).unlink()
    reader = reader_of(run)
    assert sequences(read_all(reader, over=True)) == [*range(first, second), *range(third, 13)]
    assert reader.given_up == third - second


def test_always_means_before_the_append_returns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[int] = []
    monkeypatch.setattr("os.fdatasync", lambda _descriptor: forced.append(size_of(run)))
    writer = OutboxWriter(run, quota_bytes=MUCH, segment_bytes=MUCH, fsync="always")
    writer.begin(1)
    append(writer, range(1, 3))
    head = len(encode_header(run.producer_id))
    assert forced == [head, head + len(frame(1)), head + len(frame(1)) + len(frame(2))]
    run.buffer.unlink()
    assert sequences(read_all(reader_of(run), over=False)) == [1, 2], "all of it in the segment"


def size_of(run: Run) -> int:
    return sum(run.segment(first).stat().st_size for first in run.segments())
