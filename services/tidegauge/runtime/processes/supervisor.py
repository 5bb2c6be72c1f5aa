"""The supervisor: starts services, waits until they are ready, and stops all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tidegauge.reports.formatting import duration
from tidegauge.runtime.processes.errors import NotReadyError, ServiceDiedError
from tidegauge.runtime.processes.parent_death import ends_with_parent
from tidegauge.runtime.processes.process_tree import Member, descendants, is_alive

__all__ = ["Ended", "Say", "Service", "Supervisor", "answers", "tail"]

Say = Callable[[str], None]
"""Prints one line for a person."""

_POLL_SECONDS = 0.1
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process to run.

    Attributes:
        name: Name for people.
        command: Its command line.
        log: File that its output is appended to.
        ready_url: URL that answers 200 when it is ready; empty if it is ready once it runs.
        environment: Its whole environment.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    ready_url: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A service whose process has ended.

    Attributes:
        service: The service.
        status: The exit status; minus the signal's number if a signal ended it.
    """

    service: Service
    status: int


@dataclass(slots=True)
class Supervisor:
    """Context manager that runs services, each in a session of its own.

    Attributes:
        say: Called with each line for a person.
        stop_seconds: Time that all services together have to end before they are killed.
    """

    say: Say
    stop_seconds: float = 20.0
    _running: dict[str, tuple[Service, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every service, also after an error."""
        self.stop()

    def start(self, service: Service) -> None:
        """Start a service; the kernel ends it when this process dies.

        Call it from a thread that lives as long as the process: the parent-death signal is sent
        when the starting thread ends.
        """
        service.log.parent.mkdir(parents=True, exist_ok=True)
        with service.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own services
                ends_with_parent(service.command, os.getpid()),
                env=dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[service.name] = (service, process)

    def finish(self, service: Service, *, seconds: float) -> None:
        """Run a process to its end while every other one keeps running.

        Raises:
            ServiceDiedError: The process failed, or another service ended.
            NotReadyError: The process took too long.
        """
        others = dict(self._running)
        self.start(service)
        _, process = self._running[service.name]
        deadline = time.monotonic() + seconds
        while (status := process.poll()) is None:
            self._check(others)
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"{service.name} did not end within {duration(seconds)} "
                    f"(its log: {service.log})"
                )
            time.sleep(_POLL_SECONDS)
        del self._running[service.name]
        if status:
            raise ServiceDiedError(service.name, status, service.log, tail(service.log))

    def wait_ready(self, *names: str, seconds: float) -> None:
        """Wait until services are ready, and report each with a line.

        Raises:
            ServiceDiedError: A service ended.
            NotReadyError: A service was not ready in time.
        """
        for name in names:
            service, _ = self._running[name]
            if not service.ready_url:
                continue
            if answers(service.ready_url):
                self.say(f"the {name} is ready: {service.ready_url}")
                continue
            began = time.monotonic()
            self.say(f"waiting for the {name}: {service.ready_url}")
            self.wait_for(
                lambda url=service.ready_url: answers(url),  # type: ignore[misc]
                what=f"the {name} at {service.ready_url} (its log: {service.log})",
                seconds=seconds,
            )
            self.say(f"the {name} is ready ({duration(time.monotonic() - began)})")

    def wait_for(self, condition: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Wait until a condition holds, and check that every service keeps running.

        Raises:
            ServiceDiedError: A service ended.
            NotReadyError: The condition did not hold in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise NotReadyError(f"gave up after {duration(seconds)} of waiting for {what}")
            time.sleep(_POLL_SECONDS)

    def take_ended(self) -> tuple[Ended, ...]:
        """Return the services that have ended, and forget them: each may be started again."""
        statuses = [(service, process.poll()) for service, process in self._running.values()]
        ended = tuple(Ended(service, status) for service, status in statuses if status is not None)
        for found in ended:
            del self._running[found.service.name]
        return ended

    def check(self) -> None:
        """Raise ``ServiceDiedError`` if a service has ended."""
        self._check(self._running)

    @staticmethod
    def _check(running: Mapping[str, tuple[Service, subprocess.Popen[bytes]]]) -> None:
        for service, process in running.values():
            status = process.poll()
            if status is not None:
                raise ServiceDiedError(service.name, status, service.log, tail(service.log))

    def stop(self) -> None:
        """End every service and all processes that it started, within the deadline."""
        running = list(reversed(self._running.values()))
        processes = [process for _, process in running]
        members = {member for process in processes for member in descendants(process.pid)}
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + self.stop_seconds
        for service, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"the {service.name} did not end in {duration(self.stop_seconds)}: killed")
        for process in processes:
            _kill_group(process.pid)
            process.wait()
        for member in members:
            _kill(member)
        self._running.clear()


def answers(url: str) -> bool:
    """Return whether an address answers with 200; the request uses no proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (OSError, ValueError):
        return False


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, of its last 16 KiB."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _kill(member: Member) -> None:
    if not is_alive(member):
        return
    try:
        os.kill(member.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
