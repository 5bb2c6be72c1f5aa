"""Sets up the demo's scenario: external parts, services, and the baseline of topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from tidegauge.demo.application import MODEL, Application
from tidegauge.demo.monitor_client import MonitorClient
from tidegauge.demo.parts import (
    BROKER_VARIABLE,
    JUDGE_VARIABLE,
    UPSTREAM_VARIABLE,
    Parts,
)
from tidegauge.demo.prompts import Prompt, Split, mixed
from tidegauge.demo.traffic import Ask, Client, plan
from tidegauge.demo.watch import DemoWatch
from tidegauge.reports.formatting import count
from tidegauge.runtime.processes.deployment import JUDGE_WORKER, Ports, command, services
from tidegauge.runtime.processes.supervisor import Say, Supervisor

__all__ = ["LATENESS_SECONDS", "READY_SECONDS", "WINDOW_SECONDS", "Scenario", "set_up"]

WINDOW_SECONDS: Final = 2
LATENESS_SECONDS: Final = 6
READY_SECONDS: Final = 240.0

_REQUESTS_PER_SECOND = 2.0
_REQUESTS_AT_ONCE = 4
_GROUNDED_OF_A_PHASE = 160


@dataclass(frozen=True, slots=True)
class Scenario:
    """What every phase of the demo uses.

    Attributes:
        parts: Prompts by their use.
        application: The gateway's files.
        gateway: The gateway's address.
        watch: Sends traffic and reads the monitor.
        supervisor: Runs the services.
        environment: The services' variables.
        folder: Where logs, data and the summary go.
        seed: Of every draw.
        say: Tells a person one line.
    """

    parts: Split
    application: Application
    gateway: str
    watch: DemoWatch
    supervisor: Supervisor
    environment: Mapping[str, str]
    folder: Path
    seed: int
    say: Say

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    def asks(self, prompts: Sequence[Prompt], count: int, *, phase: int) -> Sequence[Ask]:
        """Return the requests of a phase: prompts with questions over a context among them.

        Each phase has a random draw of its own.
        """
        rest = self.parts.grounded[phase * _GROUNDED_OF_A_PHASE :]
        prompts = mixed(prompts, rest or self.parts.grounded)
        return plan(prompts, self.application.customers, count=count, seed=self.seed + phase)

    def run(self, *arguments: str) -> None:
        """Run one of tidegauge's commands to its end.

        Raises:
            ServiceDiedError: It failed.
        """
        self.supervisor.finish(
            command(arguments, self.environment, self.logs), seconds=READY_SECONDS
        )


def set_up(  # noqa: PLR0913 - one argument for each part
    parts: Split,
    folder: Path,
    environment: Mapping[str, str],
    *,
    seed: int,
    began: float,
    console: Console,
    stack: ExitStack,
    say: Say,
) -> Scenario:
    """Start everything, build the baseline of topics, and wait until all is ready.

    Args:
        parts: Prompts by their use.
        folder: Where logs and data go.
        environment: This process's variables.
        seed: Of every draw.
        began: ``time.monotonic()`` at the start of the demo.
        console: Where bars are drawn.
        stack: Ends what is started.
        say: Tells a person one line.

    Raises:
        TidegaugeError: A part cannot be had or did not start.
    """
    logs = folder / "logs"
    outside = Parts.start(environment, stack=stack, logs=logs, say=say)
    # After the parts, so that the services end before the broker that they still write to.
    supervisor = stack.enter_context(Supervisor(say))
    application = Application.create(
        folder / "data", upstream=outside.upstream, served_model=outside.served_model
    )
    inside = service_environment(environment, outside, application, folder)
    supervisor.finish(command(("topics", "ensure"), inside, logs), seconds=READY_SECONDS)
    past = folder / "data" / "past-prompts.jsonl"
    past.write_bytes(b"".join(msgspec.json.encode(prompt) + b"\n" for prompt in parts.past))
    ports = Ports.free()
    plans = {service.name: service for service in services(inside, ports, logs)}
    judge = plans.pop(JUDGE_WORKER)
    for service in plans.values():
        supervisor.start(service)
    monitor = MonitorClient(f"http://127.0.0.1:{ports.monitor}")
    gateway = f"http://127.0.0.1:{ports.gateway}"
    watch = DemoWatch(
        Client(gateway, MODEL, per_second=_REQUESTS_PER_SECOND, at_once=_REQUESTS_AT_ONCE),
        monitor,
        supervisor,
        console,
        began,
    )
    scenario = Scenario(parts, application, gateway, watch, supervisor, inside, folder, seed, say)
    say(f"building the baseline of topics from {count(len(parts.past))} past prompts")
    scenario.run("baseline", "build", "--kind", "drift", "--file", str(past), "--activate")
    if outside.vllm is not None:
        say(f"waiting for vLLM: {outside.vllm.url}")
        outside.vllm.wait_ready(progress=say)
        say("vLLM is ready")
    # The judge worker qualifies its judges first, which takes minutes: nothing waits for it yet.
    supervisor.start(judge)
    supervisor.wait_ready(*plans, seconds=READY_SECONDS)
    say(f"the page is at {monitor.address}, the gateway at {gateway}")
    return scenario


def service_environment(
    environment: Mapping[str, str], outside: Parts, application: Application, folder: Path
) -> Mapping[str, str]:
    """Return the variables of every service.

    Windows are short, so that the demo is short. Each process has one thread, since all of
    them share a few cores.
    """
    kept = {name: value for name, value in environment.items() if name != UPSTREAM_VARIABLE}
    return {
        "OMP_NUM_THREADS": "1",
        "TIDEGAUGE_DRIFT_THREADS": "1",
        "TIDEGAUGE_WINDOW_SECONDS": str(WINDOW_SECONDS),
        "TIDEGAUGE_LATENESS_SECONDS": str(LATENESS_SECONDS),
        "TIDEGAUGE_CAPTURE_HEARTBEAT_SECONDS": "1",
        "TIDEGAUGE_JUDGE_LIKELIHOOD_RATE": "1",
        "TIDEGAUGE_JUDGE_RUBRIC_RATE": "0.3",
        "TIDEGAUGE_JUDGE_RUBRIC_RETRY": "false",
        "TIDEGAUGE_JUDGE_DEADLINE_SECONDS": "120",
        "TIDEGAUGE_JUDGE_GOLDEN_SET_QUESTIONS": "24",
        **kept,
        **application.environment(),
        BROKER_VARIABLE: outside.bootstrap_servers,
        JUDGE_VARIABLE: outside.judge,
        "TIDEGAUGE_JUDGE_MODEL": outside.judge_model,
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "data" / "outbox"),
        "TIDEGAUGE_GATEWAY_REQUEST_LOG": str(folder / "logs" / "requests.jsonl"),
        "TIDEGAUGE_MONITOR_REPORTS_DIR": str(folder / "reports"),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }
