"""The process that renders reports: started ahead, handed jobs, kept for some minutes."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import msgspec

from tidegauge.adapters.evidently.job import Job, Preface
from tidegauge.reports.formatting import duration
from tidegauge.reports.rows import Tables
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["UNFINISHED", "EvidentlyProcess", "ReportError", "installed"]

UNFINISHED: Final = ".report-"
"""How the names of folders begin in which reports are rendered; a kill leaves one behind."""

_TIMEOUT_SECONDS: Final = 180.0
_END_SECONDS: Final = 2.0
_LAST_LINES: Final = 600
_KEPT: Final = frozenset(
    ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
)


class ReportError(TidegaugeError):
    """A report could not be made."""


def installed() -> bool:
    """Whether the ``reports`` extra is there, without importing it."""
    return find_spec("evidently") is not None and find_spec("pandas") is not None


class EvidentlyProcess:
    """Renders reports, one at a time, in a process that imports Evidently once.

    The process starts with ``warm`` or with the first report, serves further reports in a third
    of the time, and ends when none is wanted for some minutes, or with this process.

    Args:
        timeout_seconds: Time after which a report is given up.
    """

    def __init__(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def warm(self) -> None:
        """Start the process, so that it is ready when the rows are; never raises."""
        with self._lock, contextlib.suppress(OSError):
            if installed():
                self._started()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def render(self, tables: Tables, preface: Preface, path: Path) -> None:
        """Write the comparison to ``path``; the file appears whole or not at all.

        Args:
            tables: The rows to compare.
            preface: What stands first.
            path: Where to write it.

        Raises:
            ReportError: There is nothing to compare, Evidently is not installed, or it failed.
        """
        if not tables.columns:
            raise ReportError(
                f"nothing to compare: {tables.rows[0]} rows in the reference range and "
                f"{tables.rows[1]} in the current one have no column in common that varies; "
                "choose other ranges"
            )
        if not installed():
            raise ReportError("Evidently is not installed: pip install 'tidegauge[reports]'")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                self._lock,
                tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder,
            ):
                unfinished, said = Path(folder) / "report.html", Path(folder) / "stderr"
                job = Job(preface=preface, tables=tables, path=str(unfinished), errors=str(said))
                self._do(msgspec.json.encode(job) + b"\n", said)
                unfinished.replace(path)
        except OSError as error:
            raise ReportError(
                f"cannot write the report {path}: {error.strerror or error}"
            ) from error

    def _do(self, line: bytes, said: Path) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        child = self._started()
        try:
            status = child.ask(line, deadline)
            if status is None and child.exit_status() == 0:  # nothing had been wanted for long
                child = self._started()
                status = child.ask(line, deadline)
        except TimeoutError:
            self._end()
            raise ReportError(
                f"Evidently did not finish within {duration(self._timeout_seconds)}: "
                "choose shorter ranges or fewer rows"
            ) from None
        if status is None:
            raise ReportError(f"Evidently failed (exit {child.exit_status()}): {child.last()}")
        if status:
            last = said.read_text(errors="replace").strip()[-_LAST_LINES:]
            raise ReportError(f"Evidently failed (exit {status}): {last}")

    def _started(self) -> _Child:
        if self._child is not None and self._child.alive():
            return self._child
        self._end()
        self._child = _Child()
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """A started process: a job is a line on its standard input, a status one on its output."""

    def __init__(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed at its end
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tidegauge.adapters.evidently.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(),
            start_new_session=True,  # an interrupt of the terminal is for its parent
        )
        self.end = weakref.finalize(self, _end, self._process, self._errors)

    def alive(self) -> bool:
        return self._process.poll() is None

    def exit_status(self) -> int:
        """Return the exit status of a process that has closed its output."""
        return self._process.wait(_END_SECONDS)

    def last(self) -> str:
        """Return the last words of a process that has ended."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-_LAST_LINES:]

    def ask(self, line: bytes, deadline: float) -> int | None:
        """Return the status of a job, None if the process has ended.

        Raises:
            TimeoutError: It has not answered by the deadline, a time of the monotonic clock.
        """
        jobs, statuses = self._process.stdin, self._process.stdout
        if jobs is None or statuses is None:  # cannot be: both are pipes
            return None
        os.set_blocking(jobs.fileno(), False)
        rest = memoryview(line)
        poll = select.poll()
        poll.register(statuses, select.POLLIN)
        poll.register(jobs, select.POLLOUT)
        while (left := deadline - time.monotonic()) > 0:
            ready = {file for file, _ in poll.poll(1000 * left)}
            if statuses.fileno() in ready:
                status = os.read(statuses.fileno(), 20)
                return int(status) if status else None
            if jobs.fileno() in ready:
                try:
                    rest = rest[os.write(jobs.fileno(), rest) :]
                except BrokenPipeError:
                    return None
                if not rest:
                    poll.unregister(jobs)
        raise TimeoutError


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """End a process: the end of its input lets it end a report that is under way, too."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:  # still importing, and so without a child of its own
        process.kill()
        process.wait()
    errors.close()


def environment() -> dict[str, str]:
    """Return what the process needs of ours: no secret is handed to a library for plots."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    # Its numbers are few: threads of linear algebra would only take processors from others.
    return {**kept, "DO_NOT_TRACK": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
