"""``tidegauge up``: gateway, workers and monitor as processes under one command."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import msgspec

from tidegauge.cli.check import Check
from tidegauge.runtime.processes.deployment import Ports, services
from tidegauge.runtime.processes.keeper import ServiceKeeper
from tidegauge.runtime.processes.supervisor import Supervisor

__all__ = ["tell_what_is_not_carried_over", "up"]

_LOOK_SECONDS = 0.1
_UPGRADE_SECONDS = 60.0
_INSTANCE = "TIDEGAUGE_KAFKA_GROUP_INSTANCE_ID"
"""With a name of its own, a worker that is started again need not wait for its silence to end."""


def up(logs: Path, environment: Mapping[str, str]) -> None:
    """Run all services until this process is told to end, and start again those that end.

    Each service takes its settings from the environment, as it does when it is run alone.

    Args:
        logs: Folder of the services' logs.
        environment: Variables for all of them.

    Raises:
        ServiceDiedError: The gateway refuses to start, with the end of its log.
        SettingsError: A port is none.
        OSError: The folder cannot be made.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a script had SIGINT ignored
        signal.signal(number, _interrupt)
    ports = Ports.from_environment(environment)
    logs.mkdir(parents=True, exist_ok=True)
    tell_what_is_not_carried_over(environment)
    environment = {_INSTANCE: f"up-{secrets.token_hex(4)}", **environment}
    with Supervisor(_say) as supervisor:
        keeper = ServiceKeeper(supervisor, services(environment, ports, logs), essential="gateway")
        try:
            keeper.start()
            _say(f"waiting for the services to be ready; their logs are in {logs}")
            while not keeper.ready:
                keeper.look()
                time.sleep(_LOOK_SECONDS)
            _say(
                f"all is up: gateway http://127.0.0.1:{ports.gateway}, "
                f"page http://127.0.0.1:{ports.monitor}, logs {logs}. Ctrl-C ends it."
            )
            while True:
                keeper.look()
                time.sleep(_LOOK_SECONDS)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def tell_what_is_not_carried_over(environment: Mapping[str, str]) -> None:
    """Say what earlier releases have left and this one cannot read; whatever can start starts.

    The doctor looks in a process of its own, which is given up if it takes long.
    """
    command = [sys.executable, "-m", "tidegauge.cli.main", "doctor", "--only", "upgrade", "--json"]
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            env=dict(environment),
            capture_output=True,
            check=False,
            timeout=_UPGRADE_SECONDS,
        )
        checks = msgspec.json.decode(done.stdout, type=list[Check])
    except (subprocess.TimeoutExpired, msgspec.DecodeError):
        return  # the services find out and say so
    for check in checks:
        if check.level == "bad":
            remedy = f" -> {check.remedy}" if check.remedy else ""
            _say(f"{check.what}: {check.found}{remedy}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
