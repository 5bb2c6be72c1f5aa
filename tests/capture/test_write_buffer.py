"""A segment's last bytes in memory: seen at once, kept by a killed writer, read once each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.capture.test_outbox import (
    MUCH,
    append,
    files_limited_to,
    frame,
    read_all,
    reader_of,
    sequences,
    writer_of,
)

from tidegauge.capture.counters import Drop
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.frame import encode_header
from tidegauge.capture.outbox import BUFFER_BYTES, WriteBuffer
from tidegauge.capture.outbox_reader import BufferedBytes, OutboxReader, WriteBufferReader
from tidegauge.capture.runs import Place, Run, new_run

FRAMES = 30_000
WRITER = """
import sys
from pathlib import Path
from tests.capture.test_outbox import frame, writer_of
from tidegauge.capture.runs import Run
writer = writer_of(Run(Path(sys.argv[1])), segment=1 << 20)
for sequence in range(1, int(sys.argv[2]) + 1):
    assert writer.append(sequence, frame(sequence, sequence * 7919 % 3000)) is None
sys.stdout.write("done")
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run, lock = new_run(tmp_path / "outbox", "gateway")
    yield run
    lock.release()


def test_what_is_held_is_told_with_its_place(tmp_path: Path) -> None:
    writer = WriteBuffer(tmp_path / "tail")
    reader = WriteBufferReader(tmp_path / "tail")
    writer.begin(7, 30)
    assert reader.of(7) is None, "its file has all of it"
    writer.append(b"one")
    writer.append(b"two")
    assert (reader.of(7), len(writer), writer.held()) == (
        BufferedBytes(30, b"onetwo"),
        6,
        b"onetwo",
    )
    assert reader.of(1) is None, "that segment's end lies in its file"
    writer.begin(7, 36)
    writer.append(b"three")
    assert reader.of(7) == BufferedBytes(36, b"three")
    reader.close()
    writer.close()


def test_a_file_that_is_no_tail_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "tail").write_bytes(b"TGTAIL02" + bytes(100))
    with pytest.raises(OutboxFormatError, match="ship it with the tidegauge that wrote it"):
        WriteBufferReader(tmp_path / "tail")


def test_an_append_is_read_before_it_is_in_the_segment(run: Run) -> None:
    writer, reader = writer_of(run), reader_of(run)
    append(writer, range(1, 4))
    head = len(encode_header(run.producer_id))
    assert run.segment(1).stat().st_size == head
    entries = reader.read(MUCH, over=False)
    assert sequences(entries) == [1, 2, 3]
    assert entries[0].end == Place(1, head + len(frame(1)))
    writer.close()
    assert run.segment(1).stat().st_size == entries[-1].end.offset
    assert reader.read(MUCH, over=False) == []


def test_what_a_writer_killed_while_it_wrote_has_in_both_is_read_once(run: Run) -> None:
    append(writer_of(run), range(1, 11))
    held = WriteBufferReader(run.buffer).of(1)
    assert held is not None
    with run.segment(1).open("ab") as file:
        file.write(held.data[: len(held.data) // 3])
    assert sequences(read_all(reader_of(run), over=True)) == list(range(1, 11))


def test_a_writer_killed_before_it_says_that_the_tail_is_in_the_segment_loses_nothing(
    run: Run,
) -> None:
    writer = writer_of(run)
    append(writer, range(1, 11))
    held = WriteBufferReader(run.buffer).of(1)
    assert held is not None
    with run.segment(1).open("ab") as file:
        file.write(held.data)
    assert sequences(read_all(reader_of(run), over=True)) == list(range(1, 11))
    with run.buffer.open("r+b") as file:  # the first step of beginning anew
        file.seek(24)
        file.write(bytes(8))
    assert sequences(read_all(reader_of(run), over=True)) == list(range(1, 11))


def test_bytes_behind_the_place_of_the_tail_do_not_count(run: Run) -> None:
    writer, reader = writer_of(run), reader_of(run)
    append(writer, range(1, 4), BUFFER_BYTES)
    ahead = reader_of(run)
    with run.segment(1).open("ab") as file:
        file.write(frame(9)[:-5])  # what a disk that was full has left, and would not cut off
    assert sequences(read_all(reader, over=False)) == [1, 2, 3]
    assert sequences(read_all(ahead, over=False)) == [1, 2, 3]
    append(writer, range(4, 6), 1000)
    assert sequences(read_all(reader_of(run), over=True)) == [1, 2, 3, 4, 5]
    assert read_all(reader, over=False) == [], "it had read those bytes, and looks again"
    assert sequences(read_all(reader, over=False)) == [4, 5]
    assert sequences(read_all(ahead, over=True)) == [4, 5], "the last chance is no worse"
    writer.close()
    assert sequences(read_all(reader_of(run), over=True)) == [1, 2, 3, 4, 5]


def test_a_full_disk_takes_nothing_of_what_is_held(run: Run) -> None:
    writer = writer_of(run)
    most = (BUFFER_BYTES // len(frame(100))) - 5
    append(writer, range(1, most + 1))
    with files_limited_to(run.segment(1).stat().st_size + 40):
        assert writer.append(most + 1, frame(most + 1, 2000)) is Drop.DISK_FULL
        assert sequences(read_all(reader_of(run), over=True)) == list(range(1, most + 1))
    append(writer, range(most + 1, most + 100), 2000)
    assert sequences(read_all(reader_of(run), over=True)) == list(range(1, most + 100))


def test_a_run_goes_on_being_read_when_its_tail_is_lost(run: Run) -> None:
    writer = writer_of(run)
    append(writer, range(1, 4), BUFFER_BYTES)
    append(writer, range(4, 6))
    run.buffer.unlink()
    assert sequences(read_all(reader_of(run), over=True)) == [1, 2, 3]


def test_a_reader_beside_a_busy_writer_sees_every_frame_once(run: Run) -> None:
    command = [sys.executable, "-c", WRITER, str(run.path), str(FRAMES)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    reader = OutboxReader(run, Place(), 0)
    seen: list[int] = []
    with process:
        assert process.stdin is not None
        while len(seen) < FRAMES and process.poll() is None:
            seen += sequences(reader.read(1 << 18, over=False))
        process.stdin.close()
    assert process.returncode == 0
    assert seen == list(range(1, FRAMES + 1))
    assert (reader.given_up, reader.torn_bytes) == (0, 0)
    reader.close()
