"""The folder of a replay that is under way: what it was asked, and how far its steps have got.

A replay that is killed goes on from here: each step appends to a file of its own, and saves now
and then how long the file was and the step's position at that moment.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Generic, TypeVar

import msgspec

from tidegauge.schemas.operations import BaselineKind
from tidegauge.usecases.errors import ReplayError
from tidegauge.usecases.time_range import TimeRange

__all__ = ["ReplayFolder", "ReplayRequest", "ResolvedRequest", "Step"]

_FORMAT: Final = 1
_REQUEST: Final = "replay.json"

P = TypeVar("P", bound=msgspec.Struct)


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay is asked, as it was written.

    Attributes:
        start: Start of the stretch, such as ``-7d``.
        end: Its end.
        baselines: Kind -> id; empty for the one in force.
        measure: Kinds to measure again, sorted.
        settings: A hash of the settings that the verdicts depend on.
    """

    start: str
    end: str
    baselines: dict[BaselineKind, str]
    measure: tuple[str, ...]
    settings: str


class ResolvedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request with what it meant when the replay began.

    Attributes:
        request: What was asked.
        start_ms: Start of the stretch, Unix milliseconds.
        end_ms: Its end.
        in_use: Kind -> id of the baseline that is tested against.
        version: Of the folder's format.
    """

    request: ReplayRequest
    start_ms: int
    end_ms: int
    in_use: dict[BaselineKind, str]
    version: int = _FORMAT

    @property
    def period(self) -> TimeRange:
        """The stretch."""
        return TimeRange(self.start_ms, self.end_ms)


class _Saved(msgspec.Struct, frozen=True):
    length: int
    done: bool
    position: msgspec.Raw


class Step(Generic[P]):
    """A step's file, cut to what is saved, and the position to go on from.

    Attributes:
        path: The file.
        position: The saved position; None at the start.
        done: Whether the step has come to its end.
    """

    def __init__(self, path: Path, kind: type[P]) -> None:
        self.path = path
        self.position: P | None = None
        self.done = False
        self._saved = path.with_suffix(".position")
        self._file: BinaryIO | None = None
        self._length = 0
        if self._saved.exists():
            saved = msgspec.msgpack.decode(self._saved.read_bytes(), type=_Saved)
            self.position = msgspec.msgpack.decode(saved.position, type=kind)
            self.done, self._length = saved.done, saved.length

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Hold the file open for ``write`` and ``save``."""
        with self.path.open("ab") as self._file:
            self._file.truncate(self._length)
            yield

    def write(self, line: bytes) -> None:
        """Append a line."""
        assert self._file is not None  # noqa: S101 - for the type checker
        self._length += self._file.write(line + b"\n")

    def save(self, position: P, *, done: bool = False) -> None:
        """Save a position, once all that was written before it is on the disk."""
        assert self._file is not None  # noqa: S101 - for the type checker
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done = done
        saved = _Saved(self._length, done, msgspec.Raw(msgspec.msgpack.encode(position)))
        _replace(self._saved, msgspec.msgpack.encode(saved))


class ReplayFolder:
    """The folder ``NAME.part`` beside the file that a replay makes.

    Args:
        out: The file.
    """

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(f"{out.name}.part")

    def begun(self, request: ReplayRequest) -> ResolvedRequest | None:
        """Return what an earlier replay of the same request began with; None if there is none.

        Raises:
            ReplayError: The folder belongs to another request.
        """
        try:
            document = (self.path / _REQUEST).read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = msgspec.json.decode(document, type=ResolvedRequest)
        except msgspec.DecodeError:
            found = None
        if found is None or found.version != _FORMAT or found.request != request:
            raise ReplayError(
                f"{self.path} holds a replay that was begun with other options, settings or "
                "another release: repeat those to go on with it, give another --out, or remove "
                "the folder to begin anew"
            )
        return found

    @contextmanager
    def held(self, resolved: ResolvedRequest) -> Iterator[None]:
        """Make the folder, and keep other processes from it meanwhile.

        Raises:
            ReplayError: Another process is at work on it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ReplayError(
                    f"another process is at work on {self.path}: wait for it, or give another --out"
                ) from error
            if not (self.path / _REQUEST).exists():  # what else is there, nobody goes on with
                for old in self.path.glob("*.*"):
                    old.unlink()
                _replace(self.path / _REQUEST, msgspec.json.encode(resolved))
            yield

    def finish(self, path: Path, out: Path) -> None:
        """Put a finished file in its place, and remove the folder."""
        (self.path / _REQUEST).unlink()  # from here on a kill is followed by a new beginning
        path.replace(out)
        shutil.rmtree(self.path)

    def step(self, name: str, kind: type[P]) -> Step[P]:
        """Return a step, with the position that it has reached."""
        return Step(self.path / f"{name}.jsonl", kind)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.new")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
