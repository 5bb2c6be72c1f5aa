"""The outbox's folder: one subfolder for each run of each process that captures.

``<directory>/<producer_id>/`` contains

- ``owner.lock``: locked by the process that captures, as long as it lives;
- ``shipper.lock``: locked by the shipper that ships this run;
- ``counters``: the run's counters (see ``counters``);
- ``<first sequence, 20 digits>.log``: the segments (see ``frame``);
- ``tail``: the write buffer, with the last bytes of the last segment (see ``outbox``);
- ``position.json``: how far the run has been shipped (see ``Position``).

The kernel releases a lock when its process ends for any reason. So a run whose owner's lock is
free is over, and any shipper that acquires the shipper's lock may take it over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tidegauge.capture.counters import Drop
from tidegauge.capture.errors import OutboxUnavailableError

__all__ = [
    "NOWHERE",
    "Lock",
    "Place",
    "Position",
    "Run",
    "list_runs",
    "load_position",
    "new_run",
    "save_position",
    "sweep",
    "usage_bytes",
]

_SUFFIX = ".log"
_DIGITS = 20
_GONE = ".gone-"


class Lock:
    """An exclusive lock on a file, held until released or until the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Lock | None:
        """Lock the file, created if missing; None if another process holds the lock."""
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None  # the folder is gone: the run has been shipped
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Run:
    """The files of one run.

    Args:
        path: The run's folder, named after the producer id.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def producer_id(self) -> str:
        """The run's producer id."""
        return self.path.name

    @property
    def counters(self) -> Path:
        """File of the run's counters."""
        return self.path / "counters"

    @property
    def position(self) -> Path:
        """File of the run's position."""
        return self.path / "position.json"

    @property
    def buffer(self) -> Path:
        """File of the write buffer."""
        return self.path / "tail"

    def segment(self, first: int) -> Path:
        """Return the path of the segment whose first event has this sequence."""
        return self.path / f"{first:0{_DIGITS}}{_SUFFIX}"

    def segments(self) -> list[int]:
        """Return the first sequences of the segments, in order."""
        try:
            names = [entry.name for entry in os.scandir(self.path)]
        except FileNotFoundError:
            return []
        return sorted(
            int(name.removesuffix(_SUFFIX))
            for name in names
            if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX).isdecimal()
        )

    def usage_bytes(self) -> int:
        """Return the bytes in all segments."""
        return sum(map(self._size, self.segments()))

    def _size(self, first: int) -> int:
        try:
            return self.segment(first).stat().st_size
        except FileNotFoundError:  # shipped and deleted meanwhile
            return 0

    def lock_shipping(self) -> Lock | None:
        """Acquire the shipper's lock; None if another shipper has it or the run is gone."""
        return Lock.acquire(self.path / "shipper.lock")

    def is_over(self) -> bool:
        """Whether the capturing process has ended, so that nothing more is appended."""
        try:
            descriptor = os.open(self.path / "owner.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False  # the run is just being created
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def remove(self) -> None:
        """Delete the run with all its files.

        The folder is renamed first, so that no other shipper sees a partly deleted run.
        """
        gone = self.path.with_name(f"{_GONE}{self.path.name}")
        try:
            self.path.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)


def new_run(directory: Path, producer: str) -> tuple[Run, Lock]:
    """Create a run's folder and lock it as its owner.

    Raises:
        OutboxUnavailableError: The folder is not writable.
    """
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    run = Run(directory / f"{producer}-{started}-{secrets.token_hex(4)}")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.path.mkdir(mode=0o700)
        # Locked before it gets its final name, so no process sees it unlocked while the owner
        # lives.
        unseen = run.path / "owner.new"
        lock = Lock.acquire(unseen)
        unseen.rename(run.path / "owner.lock")
    except OSError as error:
        raise OutboxUnavailableError(
            f"the outbox's folder {directory} cannot be written ({error.strerror}): "
            "give another one, or make this one writable"
        ) from error
    if lock is None:
        raise OutboxUnavailableError(f"{run.path} vanished while it was made")
    return run, lock


def list_runs(directory: Path) -> list[Run]:
    """Return the runs of the folder, oldest first by name."""
    names = [name for name in _folders(directory) if not name.startswith(_GONE)]
    return [Run(directory / name) for name in names if (directory / name / "owner.lock").exists()]


def sweep(directory: Path) -> None:
    """Delete the remains of runs whose deletion was interrupted."""
    for name in _folders(directory):
        if name.startswith(_GONE):
            shutil.rmtree(directory / name, ignore_errors=True)


def _folders(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    except FileNotFoundError:
        return []


def usage_bytes(directory: Path) -> int:
    """Return the bytes in all segments of all runs of the folder."""
    return sum(run.usage_bytes() for run in list_runs(directory))


class Place(msgspec.Struct, frozen=True, order=True):
    """A place in the outbox: a segment by its first sequence, and an offset in its file.

    Offset 0 is before the segment's header.
    """

    segment: int = 0
    offset: int = 0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run has been shipped; every event before ``place`` is accounted for.

    Attributes:
        place: The place of the next frame to ship.
        sequence: The last sequence before ``place``.
        shipped: Events that the broker acknowledged, by topic.
        dropped: Events that the broker rejected or that could not be expanded, by topic and
            reason.
        facts: Facts about shipped events, counted by name (see ``frame``).
        rejected: In version 1, events that the broker rejected, by topic.
        version: Version of this format.
    """

    place: Place = Place()
    sequence: int = 0
    shipped: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    facts: dict[str, int] = {}
    rejected: dict[str, int] = {}
    version: int = 2

    def handled(self) -> Counter[str]:
        """Return how many events are accounted for, by topic."""
        lost = {topic: sum(reasons.values()) for topic, reasons in self.dropped.items()}
        return Counter(self.shipped) + Counter(lost)


NOWHERE = Position()


def load_position(path: Path) -> Position:
    """Read a position; the run's beginning if the file is missing or incomplete.

    Starting from the beginning sends events again; consumers drop them by their sequences.
    """
    try:
        position = msgspec.json.decode(path.read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError):
        return NOWHERE
    if not position.rejected:
        return position
    dropped = {topic: {Drop.REJECTED.value: n} for topic, n in position.rejected.items()}
    return msgspec.structs.replace(position, dropped=dropped, rejected={}, version=2)


def save_position(path: Path, position: Position) -> None:
    """Replace the position atomically and sync it to the disk.

    Raises:
        OSError: The file cannot be written; the old position stays.
    """
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(position))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
