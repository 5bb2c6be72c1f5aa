"""The services of a deployment on one machine, and their ports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tidegauge.runtime.brokers.process import free_port
from tidegauge.runtime.environment import SettingsError, bad_value
from tidegauge.runtime.processes.supervisor import Service

__all__ = [
    "JUDGE_WORKER",
    "PORT_VARIABLES",
    "Ports",
    "command",
    "free_port",
    "services",
]


PORT_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "gateway": "TIDEGAUGE_GATEWAY_PORT",
        "monitor": "TIDEGAUGE_MONITOR_PORT",
        "drift": "TIDEGAUGE_DRIFT_PORT",
        "vitals": "TIDEGAUGE_VITALS_PORT",
        "judge": "TIDEGAUGE_JUDGE_PORT",
    }
)
"""Service -> the variable that sets its port."""

JUDGE_WORKER: Final = "judge worker"

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on the loopback address."""

    gateway: int = 8080
    monitor: int = 8090
    drift: int = 8091
    vitals: int = 8092
    judge: int = 8093

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Ports:
        """Return the ports that variables set, and the services' defaults for the others.

        Raises:
            SettingsError: A variable's value is not a port.
        """
        chosen: dict[str, int] = {}
        for name, variable in PORT_VARIABLES.items():
            text = environment.get(variable, "")
            if not text:
                continue
            if not text.isdecimal() or int(text) > _HIGHEST_PORT:
                problem = f"must be a TCP port, 0 to {_HIGHEST_PORT}"
                raise SettingsError(
                    bad_value(variable, text, problem, default=getattr(cls(), name))
                )
            chosen[name] = int(text)
        return cls(**chosen)

    @classmethod
    def free(cls) -> Ports:
        """Choose ports that nothing listens on at this moment."""
        return cls(*(free_port() for _ in range(5)))


def command(arguments: tuple[str, ...], environment: Mapping[str, str], logs: Path) -> Service:
    """Return one of tidegauge's commands as a process for ``Supervisor.finish``."""
    words = " ".join(argument for argument in arguments if argument.isalpha())
    return Service(
        name=f"tidegauge {words}",
        command=(sys.executable, "-m", "tidegauge.cli.main", *arguments),
        log=logs / "commands.log",
        environment=environment,
    )


def services(environment: Mapping[str, str], ports: Ports, logs: Path) -> tuple[Service, ...]:
    """Return the five services, the gateway first, each with the environment and its port.

    Args:
        environment: Variables of all services.
        ports: Port of each service.
        logs: Folder of their logs.
    """

    def service(name: str, command: tuple[str, ...], port: str) -> Service:
        number: int = getattr(ports, port)
        return Service(
            name=name,
            command=(sys.executable, "-m", "tidegauge.cli.main", *command),
            log=logs / f"{name.replace(' ', '-')}.log",
            environment={**environment, PORT_VARIABLES[port]: str(number)},
            ready_url=f"http://127.0.0.1:{number}/readyz",
        )

    return (
        service("gateway", ("gateway",), "gateway"),
        service("drift worker", ("worker", "drift"), "drift"),
        service("vitals worker", ("worker", "vitals"), "vitals"),
        service(JUDGE_WORKER, ("worker", "judge"), "judge"),
        service("monitor", ("monitor",), "monitor"),
    )
