"""``tidegauge up``: gateway, workers and monitor as processes under one command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from tidegauge.runtime.processes.deployment import Ports, services
from tidegauge.runtime.processes.supervisor import Supervisor

__all__ = ["up"]

_READY_SECONDS = 300.0


def up(logs: Path, environment: Mapping[str, str]) -> None:
    """Run all services until one ends or this process is told to.

    Each service takes its settings from the environment, as it does when it is run alone.

    Args:
        logs: Folder of the services' logs.
        environment: Variables for all of them.

    Raises:
        ServiceDiedError: A service ended, with the end of its log.
        NotReadyError: One was not ready in time.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a script had SIGINT ignored
        signal.signal(number, _interrupt)
    ports = Ports.from_environment(environment)
    with Supervisor(_say) as supervisor:
        try:
            planned = services(environment, ports, logs)
            for service in planned:
                supervisor.start(service)
            supervisor.wait_ready(*(service.name for service in planned), seconds=_READY_SECONDS)
            _say(
                f"all is up: gateway http://127.0.0.1:{ports.gateway}, "
                f"page http://127.0.0.1:{ports.monitor}, logs {logs}. Ctrl-C ends it."
            )
            supervisor.wait_for(lambda: False, what="", seconds=float("inf"))
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
