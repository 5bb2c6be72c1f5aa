"""The broker and the vLLM that the demo starts, or the user's own in their place."""

from __future__ import annotations

import platform
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.demo.errors import DemoError, MissingPartError
from tidegauge.demo.vllm_environment import ensure_environment
from tidegauge.demo.vllm_server import SERVED_NAMES, VllmServer, ensure_model
from tidegauge.runtime.brokers.embedded import EmbeddedBroker
from tidegauge.runtime.processes.deployment import free_port
from tidegauge.runtime.processes.supervisor import Say

__all__ = ["BROKER_VARIABLE", "JUDGE_VARIABLE", "UPSTREAM_VARIABLE", "Parts", "check_machine"]

BROKER_VARIABLE: Final = "KAFKA_BOOTSTRAP_SERVERS"
UPSTREAM_VARIABLE: Final = "TIDEGAUGE_UPSTREAM_URL"
JUDGE_VARIABLE: Final = "TIDEGAUGE_JUDGE_URL"

_EMBEDDED: Final = {
    BROKER_VARIABLE: "the embedded Kafka-compatible broker",
    UPSTREAM_VARIABLE: "the embedded vLLM server with the application's model",
    JUDGE_VARIABLE: "the embedded vLLM server with the judge",
}


class ModelListError(DemoError):
    """A server does not say which models it serves."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts are.

    Attributes:
        bootstrap_servers: The broker.
        upstream: Address of the server that answers.
        served_model: Its model's name.
        judge: Address of the judge's server.
        judge_model: Its model's name.
        vllm: The embedded server, started and maybe not ready; None where it is not used.
    """

    bootstrap_servers: str
    upstream: str
    served_model: str
    judge: str
    judge_model: str
    vllm: VllmServer | None

    @classmethod
    def start(
        cls, environment: Mapping[str, str], *, stack: ExitStack, logs: Path, say: Say
    ) -> Parts:
        """Start what is embedded; ``stack`` ends it.

        Raises:
            TidegaugeError: A part cannot be had; the message says what replaces it.
        """
        upstream = environment.get(UPSTREAM_VARIABLE, "")
        judge = environment.get(JUDGE_VARIABLE, "")
        vllm = None
        if not (upstream and judge):
            folder = ensure_environment(say)
            model = ensure_model(say)
            vllm = VllmServer(model, free_port(), environment=folder, log_file=logs / "vllm.log")
            stack.callback(vllm.stop)
            say(f"starting vLLM on the CPU with SmolLM2-135M at {vllm.url} (log: {vllm.log_file})")
            vllm.start()
        return cls(
            bootstrap_servers=_broker(environment, stack, say),
            upstream=upstream or _url(vllm),
            served_model=first_model(upstream) if upstream else SERVED_NAMES[0],
            judge=judge or _url(vllm),
            judge_model=first_model(judge) if judge else SERVED_NAMES[1],
            vllm=vllm,
        )


def check_machine(environment: Mapping[str, str]) -> None:
    """Refuse a machine on which a part that is to be embedded does not run.

    Raises:
        MissingPartError: The first such part, with the variable that replaces it.
    """
    machine = f"{platform.system()} {platform.machine()}"
    if machine == "Linux x86_64":
        return
    for variable, part in _EMBEDDED.items():
        if not environment.get(variable):
            raise MissingPartError(part, f"it needs Linux x86-64, this is {machine}", variable)


def first_model(address: str) -> str:
    """Return the first model that an OpenAI-compatible server names.

    Raises:
        ModelListError: It does not answer, or names none.
    """
    url = f"{address.rstrip('/').removesuffix('/v1')}/v1/models"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            listed = msgspec.json.decode(response.read(), type=_Models).data
    except (OSError, ValueError) as error:
        raise ModelListError(f"cannot read the models of {url}: {error}") from error
    if not listed:
        raise ModelListError(f"{url} names no model: load one there first")
    return listed[0].id


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def _url(vllm: VllmServer | None) -> str:
    return "" if vllm is None else vllm.url


def _broker(environment: Mapping[str, str], stack: ExitStack, say: Say) -> str:
    given = environment.get(BROKER_VARIABLE, "")
    if given:
        say(f"using the broker at {given}")
        return given
    broker = stack.enter_context(EmbeddedBroker())
    say(f"started the embedded broker at {broker.bootstrap_servers}")
    return str(broker.bootstrap_servers)
