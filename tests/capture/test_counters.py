"""Counters that another process reads, also after this one was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidegauge.capture.counters import (
    CountersReader,
    CountersWriter,
    Counts,
    captured_counter,
    counts_of,
    dropped_counter,
)
from tidegauge.capture.errors import OutboxFormatError


def test_what_is_added_is_read_by_another(tmp_path: Path) -> None:
    writer = CountersWriter(tmp_path / "counters")
    with CountersReader(tmp_path / "counters") as reader:
        assert reader.read() == {}
        writer.add("served")
        writer.add("captured/requests.v1", 3)
        writer.add("served")
        assert reader.read() == writer.read() == {"served": 2, "captured/requests.v1": 3}
    writer.close()


def test_a_killed_process_leaves_its_counts(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from tidegauge.capture.counters import CountersWriter\n"
        "counters = CountersWriter(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(1000): counters.add('served')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "counters"
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -signal.SIGKILL
    with CountersReader(path) as reader:
        assert reader.read() == {"served": 1000}


def test_more_names_than_there_is_room_for_do_no_harm(tmp_path: Path) -> None:
    writer = CountersWriter(tmp_path / "counters")
    for number in range(1000):
        writer.add(f"name-{number}")
    writer.add("n" * 100)
    writer.add("name-0")
    counts = writer.read()
    assert counts["name-0"] == 2
    assert len(counts) == 255
    with CountersReader(tmp_path / "counters") as reader:
        assert reader.read() == counts
    writer.close()


@pytest.mark.parametrize("contents", [b"", b"TGCOUNT1", b"x" * 16_384])
def test_another_file_is_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "counters"
    path.write_bytes(contents)
    with pytest.raises(OutboxFormatError, match="holds no counters"):
        CountersReader(path)


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    path.write_bytes(b"something")
    with pytest.raises(FileExistsError):
        CountersWriter(path)
    assert path.read_bytes() == b"something"


def test_names_are_arranged_by_topic_and_reason() -> None:
    counters = {
        "served": 5,
        captured_counter("responses.v1"): 3,
        dropped_counter("responses.v1", "quota"): 2,
        "of/a/later/version": 1,
    }
    assert counts_of(counters) == Counts(
        served=5, captured={"responses.v1": 3}, dropped={"responses.v1": {"quota": 2}}
    )
