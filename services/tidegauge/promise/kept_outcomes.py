"""Outcomes of finished jobs, kept in a file: a measurement goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

import tidegauge
from tidegauge.promise.cells import StreamOutcome
from tidegauge.promise.swaps import SwapOutcome

__all__ = ["FinishedJob", "KeptOutcomes", "job_key", "source_of"]

_MEASURED = (
    "cost",
    "detection",
    "drift",
    "monitoring",
    "promise",
    "schemas",
    "simulation",
    "streaming",
    "usecases",
    "vitals",
    "workers",
)
"""Packages whose code decides what an outcome is."""


class FinishedJob(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job, a line of the file.

    Attributes:
        source: What its outcomes depend on besides the job, see ``source_of``.
        job: The job, see ``job_key``.
        cpu_seconds: CPU time that it took.
        streams: Its streams.
        swaps: Its swaps.
    """

    source: str
    job: str
    cpu_seconds: float
    streams: tuple[StreamOutcome, ...] = ()
    swaps: tuple[SwapOutcome, ...] = ()


class KeptOutcomes:
    """Finished jobs of one source in a file of JSON lines, which may also hold those of others.

    Files that were written on several machines can be joined: a line stands for itself.

    Args:
        path: The file; it need not exist.
        source: What the outcomes depend on besides the job.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self._found = {one.job: one for one in _read(path) if one.source == source}

    def find(self, key: str) -> FinishedJob | None:
        """Return a finished job."""
        return self._found.get(key)

    def keep(self, key: str, outcomes: Sequence[StreamOutcome | SwapOutcome], cpu: float) -> None:
        """Add a finished job to the file."""
        done = FinishedJob(
            source=self._source,
            job=key,
            cpu_seconds=round(cpu, 2),
            streams=tuple(one for one in outcomes if isinstance(one, StreamOutcome)),
            swaps=tuple(one for one in outcomes if isinstance(one, SwapOutcome)),
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            # The line before may have been cut off by an interruption.
            file.write(b"\n" + msgspec.json.encode(done) + b"\n")
        self._found[key] = done


def _read(path: Path) -> Iterable[FinishedJob]:
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(FinishedJob)
    with path.open("rb") as file:
        for line in file:
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:  # blank, cut off, or of another release
                continue


def job_key(job: Any) -> str:  # noqa: ANN401 - any job that is plain data
    """Return a job as text: the same job always gives the same."""
    return msgspec.json.encode(job).decode()


def source_of(files: Iterable[Path | None], fingerprint: str) -> str:
    """Return a hash of what outcomes depend on: the traffic's files, the embedder and the code.

    Args:
        files: The files that traffic is drawn from.
        fingerprint: The embedder's.
    """
    found = blake2b(fingerprint.encode(), digest_size=16)
    code = {
        file.relative_to(root): file
        for root in tidegauge.__path__
        for package in _MEASURED
        for file in (Path(root) / package).rglob("*.py")
    }
    for file in (*(one for one in files if one), *(code[name] for name in sorted(code))):
        found.update(blake2b(file.read_bytes()).digest())
    return found.hexdigest()
