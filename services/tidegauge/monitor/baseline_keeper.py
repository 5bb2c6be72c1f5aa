"""Keeps baselines while the monitor runs: looks whether one is due, and has it built.

Building needs the embedder and minutes of CPU. It is done by a command of its own, ``tidegauge
baseline keep`` or ``accept``, so that the monitor's loop is not held up and the memory is freed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import msgspec
import structlog

from tidegauge.monitor.errors import BusyError
from tidegauge.monitoring.baseline_life import KINDS, Due, LifePlan, next_step
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.formatting import duration, moment
from tidegauge.runtime.processes.parent_death import ends_with_parent
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.operations import BaselineKind, BaselineManifest
from tidegauge.usecases.made_baselines import Kept, MadeBaseline

__all__ = ["Acceptance", "BaselineKeeper", "BaselineLife", "Manifests", "run_command"]

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 60_000, 600_000
_LOOK_SECONDS = 0.5


class Manifests(Protocol):
    """Where baselines are listed."""

    def list(self) -> list[BaselineManifest]:
        """Return every baseline, the oldest first."""

    def active(self, kind: BaselineKind) -> str | None:
        """Return the id of the baseline in force, None without one."""


Run = Callable[[Sequence[str], threading.Event], tuple[int, str, str]]
"""Runs one of tidegauge's commands: arguments and what stops it -> status, output, errors."""


def run_command(arguments: Sequence[str], stop: threading.Event) -> tuple[int, str, str]:
    """Run one of tidegauge's commands at a low priority; end it when told to stop."""
    nice = shutil.which("nice")
    command = (
        *((nice, "-n", "10") if nice else ()),
        *(sys.executable, "-m", "tidegauge.cli.main", *arguments),
    )
    with subprocess.Popen(  # noqa: S603 - our own command, its arguments apart from any shell
        ends_with_parent(command, os.getpid()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while True:
            try:
                output, errors = process.communicate(timeout=_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    process.terminate()
            else:
                return process.returncode, output, errors


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A change that a person declares normal.

    Attributes:
        incident: Id of the incident or the alarm.
        who: Who says so.
        error: Why it could not be done, None while it is under way or once it is done.
        made: The baselines that were put in force; empty until then.
    """

    incident: str
    who: str = ""
    note: str = ""
    error: str | None = None
    made: tuple[MadeBaseline, ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether its baselines are being built."""
        return self.error is None and not self.made


class BaselineLife(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of baselines, and what comes next.

    Attributes:
        in_force: Kind -> id of the baseline in force; empty for none.
        next_steps: Kind -> what was last done, or what it waits for; for people.
        baselines: All baselines, the newest first.
        acceptance: The last change that a person declared normal; None if none was.
        building: Whether a baseline is being built.
    """

    in_force: dict[BaselineKind, str] = {}
    next_steps: dict[BaselineKind, str] = {}
    baselines: tuple[BaselineManifest, ...] = ()
    acceptance: Acceptance | None = None
    building: bool = False


class BaselineKeeper:
    """Has baselines built when they are due, and when a person declares a change normal.

    Args:
        store: Where baselines are listed.
        view: Returns the monitor's view.
        plan: When baselines are due.
        now_ms: The clock.
        look_seconds: How often it looks.
        keeps: Whether baselines are kept, or built for a person only.
        run: Runs commands.
    """

    def __init__(  # noqa: PLR0913 - what it looks at, and when
        self,
        store: Manifests,
        view: Callable[[], MonitorView | None],
        plan: LifePlan,
        now_ms: Callable[[], int],
        *,
        look_seconds: float,
        keeps: bool = True,
        run: Run = run_command,
    ) -> None:
        self._store = store
        self._view = view
        self._plan = plan
        self._now_ms = now_ms
        self._look_seconds = look_seconds
        self._keeps = keeps
        self._run = run
        self._life = BaselineLife()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._read_for: tuple[str, ...] | None = None
        self._pause_ms, self._again_ms = _FIRST_PAUSE_MS, 0

    def life(self) -> BaselineLife:
        """Return what there is, and what comes next."""
        return self._life

    def accept(self, incident: str, who: str, note: str) -> None:
        """Start declaring a change normal.

        Raises:
            BusyError: Another change is being declared normal.
        """
        with self._lock:
            known = self._life.acceptance
            if known is not None and known.is_under_way:
                raise BusyError(
                    f"the change of {known.incident} is being declared normal: try again when that "
                    "is done"
                )
            self._told(acceptance=Acceptance(incident, who, note))
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Keep baselines until told to stop."""
        self._stop = stop
        while not stop.is_set():
            self.look()
            self._wake.wait(self._look_seconds)
            self._wake.clear()

    def stop(self) -> None:
        """End waiting; ``run`` returns once its event is set."""
        self._wake.set()

    def look(self) -> None:
        """Build what was asked for, then what is due."""
        try:
            asked = self._life.acceptance
            if asked is not None and asked.is_under_way:
                self._accept(asked)
            view = self._view()
            if view is not None:
                self._read(view)
                if self._keeps and view.segments:
                    self._keep(view)
        except TidegaugeError as error:  # the broker is away: it is looked again
            _log.warning("baselines_not_kept", error=str(error)[:500])

    def _told(self, **changed: object) -> None:
        self._life = msgspec.structs.replace(self._life, **changed)

    def _read(self, view: MonitorView) -> None:
        """Read the list of baselines, unless the same ones are in force as before."""
        in_use = tuple(sorted(one.baseline_id for one in view.baselines))
        if in_use == self._read_for:
            return
        in_force = {kind: self._store.active(kind) or "" for kind in KINDS}
        self._told(in_force=in_force, baselines=tuple(reversed(self._store.list())))
        self._read_for = in_use

    def _keep(self, view: MonitorView) -> None:
        life, now_ms = self._life, self._now_ms()
        old_enough_ms = min(one.first_ms for one in view.segments) + self._plan.first_ms
        if now_ms < old_enough_ms and not any(life.in_force.values()):
            needed = duration(self._plan.first_ms / 1000)
            said = f"a baseline needs {needed} of traffic: from {moment(old_enough_ms)} on"
            self._told(next_steps=dict.fromkeys(KINDS, said))
            return
        known = {one.baseline_id: one for one in life.baselines}
        steps = {
            kind: next_step(
                kind,
                known.get(life.in_force.get(kind, "")),
                life.baselines,
                view.alerts,
                view.verdicts,
                now_ms=now_ms,
                plan=self._plan,
            )
            for kind in KINDS
        }
        waiting = {kind: step.why for kind, step in steps.items() if not isinstance(step, Due)}
        self._told(next_steps=life.next_steps | waiting)
        if len(waiting) < len(KINDS) and now_ms >= self._again_ms:
            self._build()

    def _build(self) -> None:
        """Run ``tidegauge baseline keep``; wait longer each time that nothing comes of it."""
        kept = self._finished(("baseline", "keep", "--json"), tuple[Kept, ...])
        if isinstance(kept, str):
            self._told(next_steps=dict.fromkeys(KINDS, kept))
        else:
            self._told(next_steps={one.kind: one.said for one in kept})
            for one in kept:
                if one.made is not None:
                    made = one.made
                    _log.info("baseline_built", baseline=made.baseline_id, active=made.active)
        if not isinstance(kept, str) and any(one.made is not None for one in kept):
            self._read_for, self._pause_ms = None, _FIRST_PAUSE_MS
        self._again_ms = self._now_ms() + self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, _LONGEST_PAUSE_MS)

    def _accept(self, asked: Acceptance) -> None:
        words = ["baseline", "accept", "--json", f"--who={asked.who}", f"--note={asked.note}"]
        made = self._finished((*words, "--", asked.incident), tuple[MadeBaseline, ...])
        error, built = (made, ()) if isinstance(made, str) else (None, made)
        self._told(acceptance=replace(asked, error=error, made=built))
        self._read_for = None
        _log.info("change_accepted", incident=asked.incident, error=error)

    def _finished(self, arguments: Sequence[str], kind: type[T]) -> T | str:
        """Return what a command printed, or its error."""
        self._told(building=True)
        try:
            status, output, errors = self._run(arguments, self._stop)
            if not status:
                return msgspec.json.decode(output, type=kind)
        except (OSError, ValueError) as error:  # it did not start, or printed something else
            return f"`tidegauge {arguments[0]} {arguments[1]}` gave no result: {error}"[:800]
        finally:
            self._told(building=False)
        last = errors.strip().splitlines()[-1:] or [f"the command ended with {status}"]
        return last[0].removeprefix("tidegauge: ")[:800]
