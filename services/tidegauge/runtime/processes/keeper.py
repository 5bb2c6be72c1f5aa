"""Keeps services running: whatever ends is started again, after a pause that grows."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tidegauge.reports.formatting import duration
from tidegauge.runtime.processes.errors import ServiceDiedError
from tidegauge.runtime.processes.supervisor import Ended, Service, Supervisor, answers, tail

__all__ = ["REFUSED", "RestartPolicy", "ServiceKeeper"]

REFUSED: Final = 2
"""Exit status of tidegauge's processes for an error that they explain in their last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a service that has ended is started again.

    Attributes:
        first_seconds: Pause after the first end; each further one is twice as long.
        longest_seconds: Longest pause.
        refused_seconds: Pause after a service refused to start, until somebody mends the cause.
        steady_seconds: Time that a service has to run for its next end to count as the first.
        late_seconds: Time after which a service that is still not ready is named.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    refused_seconds: float = 60.0
    steady_seconds: float = 60.0
    late_seconds: float = 300.0


@dataclass(slots=True)
class _Kept:
    """A service, and what is known of its newest start."""

    service: Service
    pause: float
    started: float = 0.0
    due: float | None = None
    ready: bool = False
    refusal: str = ""
    was_ready: bool = False
    late: bool = False


class ServiceKeeper:
    """Starts services, starts again those that end, and says each time which and why.

    Only an essential service that ends by itself before it was ever ready is an error; later, and
    for the others, an end leaves the rest running.

    Args:
        supervisor: Runs the processes, and ends them at last.
        services: The services.
        essential: Name of the service without which there is nothing to keep running.
        policy: When a service is started again.
        now: A clock, seconds.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        services: Iterable[Service],
        *,
        essential: str,
        policy: RestartPolicy | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._say = supervisor.say
        self._essential = essential
        self._policy = policy or RestartPolicy()
        self._now = now
        self._kept = {
            service.name: _Kept(service, self._policy.first_seconds) for service in services
        }

    @property
    def ready(self) -> bool:
        """Whether every service is ready."""
        return all(kept.ready for kept in self._kept.values())

    def start(self) -> None:
        """Start all services."""
        for kept in self._kept.values():
            self._start(kept)

    def look(self) -> None:
        """Look after the services once: notice ends and readiness, and start what is due.

        Raises:
            ServiceDiedError: The essential service ended by itself before it was ever ready.
        """
        for ended in self._supervisor.take_ended():
            self._ended(self._kept[ended.service.name], ended)
        for kept in self._kept.values():
            if kept.due is not None:
                if self._now() >= kept.due:
                    self._start(kept)
            elif not kept.ready:
                self._look_whether_ready(kept)

    def _start(self, kept: _Kept) -> None:
        kept.started, kept.due, kept.ready, kept.late = self._now(), None, False, False
        try:
            self._supervisor.start(kept.service)
        except OSError as error:  # no process or no memory left, or no place for its log
            self._wait(kept, f"the {kept.service.name} cannot be started ({error})")

    def _look_whether_ready(self, kept: _Kept) -> None:
        name, spent = kept.service.name, self._now() - kept.started
        if not kept.service.ready_url or answers(kept.service.ready_url):
            kept.ready, kept.was_ready, kept.refusal = True, True, ""
            self._say(f"the {name} is ready ({duration(spent)})")
        elif spent > self._policy.late_seconds and not kept.late:
            kept.late = True
            self._say(
                f"the {name} is not ready after {duration(spent)}: see its log, {kept.service.log}"
            )

    def _ended(self, kept: _Kept, ended: Ended) -> None:
        service = ended.service
        last = tail(service.log, lines=1).strip()
        if service.name == self._essential and not kept.was_ready and ended.status > 0:
            raise ServiceDiedError(service.name, ended.status, service.log, tail(service.log))
        if ended.status == REFUSED and not kept.ready:
            if last != kept.refusal:
                kept.refusal = last
                self._say(
                    f"the {service.name} refuses to start, the others go on: {last} "
                    f"(it is tried again every {duration(self._policy.refused_seconds)})"
                )
            kept.due = self._now() + self._policy.refused_seconds
            return
        why = _how(ended.status) + (f": {last}" if last and ended.status > 0 else "")
        self._wait(kept, f"the {service.name} {why}")

    def _wait(self, kept: _Kept, what: str) -> None:
        if self._now() - kept.started >= self._policy.steady_seconds:
            kept.pause = self._policy.first_seconds
        kept.ready = False
        kept.due = self._now() + kept.pause
        self._say(f"{what}; it is started again in {duration(kept.pause)}")
        kept.pause = min(2 * kept.pause, self._policy.longest_seconds)


def _how(status: int) -> str:
    """Return how a process ended, from the status of ``Popen``."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
