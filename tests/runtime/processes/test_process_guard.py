"""No process that the guard runs outlives the process that started the guard."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegauge.runtime.processes import process_guard

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="Linux keeps such promises")

FAMILY = """
import os, pathlib, signal, subprocess, sys, time
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


def eventually(what: str, check: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not {what} within {seconds:.0f} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is only waiting to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (
        FileNotFoundError,
        ProcessLookupError,
    ):  # gone before it was opened, or before it was read
        return False


def start(family: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", process_guard.__file__, "1", *family], stdin=subprocess.PIPE
    )


def pids(file: Path) -> list[int]:
    eventually("started", lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(pid) for pid in file.read_text().split()]


@pytest.mark.parametrize("temper", ["mild", "stubborn"])
def test_closing_standard_input_ends_the_whole_group(tmp_path: Path, temper: str) -> None:
    file = tmp_path / "pids"
    process = start([sys.executable, "-c", FAMILY, str(file), temper])
    family = pids(file)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(20)
    eventually("gone", lambda: not any(map(alive, family)))
    assert process.returncode in {-signal.SIGTERM % 256, -signal.SIGKILL % 256}


def test_the_death_of_the_parent_ends_the_whole_group(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    code = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-I', {process_guard.__file__!r}, '1', "
        f"sys.executable, '-c', {FAMILY!r}, {str(file)!r}, 'mild'], "
        "stdin=subprocess.PIPE).wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        family = pids(file)
        parent.kill()
    eventually("gone", lambda: not any(map(alive, family)))


def test_the_child_of_a_killed_guard_ends(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    process = start([sys.executable, "-c", FAMILY, str(file), "mild"])
    child, grandchild = pids(file)
    with process:
        process.kill()
    eventually("gone", lambda: not alive(child))
    os.kill(grandchild, signal.SIGKILL)  # it has no guard any more


def test_signals_are_left_to_the_parent(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    process = start([sys.executable, "-c", FAMILY, str(file), "mild"])
    family = pids(file)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    assert all(map(alive, family))
    assert process.stdin is not None
    process.stdin.close()
    process.wait(20)


def test_the_exit_status_is_the_programs_own() -> None:
    with start([sys.executable, "-c", "raise SystemExit(7)"]) as process:
        assert process.wait(20) == 7
