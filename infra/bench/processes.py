"""Processes of a benchmark: started, watched from /proc, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def machine_cpu_seconds() -> float:
    """Return the CPU time that the whole machine has spent so far, idle time left out."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, irq, soft, steal = (int(field) for field in fields[:8])
    return (user + nice + system + irq + soft + steal) / TICK


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has spent, 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_megabytes(pid: int) -> float:
    """Return a process's resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def tree(pid: int) -> Iterator[int]:
    """Return a process and its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from tree(int(child))


def command_line(pid: int) -> str:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@dataclass
class Process:
    """A server of the benchmark, ended with its descendants.

    Attributes:
        command: What to run.
        log: Where its output goes.
        environment: Variables beside the present ones.
    """

    command: Sequence[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start it in a session of its own."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the benchmark's own commands
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self.environment,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End its whole session."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def wait_ready(self, url: str, seconds: float = 60) -> None:
        """Wait until a URL answers with 200.

        Raises:
            RuntimeError: It ended, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
                    if answer.status == 200:  # noqa: PLR2004 - HTTP
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        tail = self.log.read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{self.command[0]} did not get ready at {url}:\n{tail}")
