"""The callback in the real LiteLLM proxy, in an environment of its own.

Make the environment and name its Python, then run these tests::

    python -m venv build/litellm
    build/litellm/bin/pip install 'litellm[proxy]' .
    TIDEGAUGE_LITELLM_PYTHON=build/litellm/bin/python python -m pytest -m integration \
        tests/capture/test_litellm_proxy.py
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tidegauge.capture.testing import Landed
from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.brokers.process import free_port
from tidegauge.schemas import decode
from tidegauge.schemas.exchange import (
    ErrorKind,
    Heartbeat,
    Message,
    RequestEvent,
    ResponseEvent,
    Sampling,
)
from tidegauge.schemas.segments import Segment

PYTHON = os.environ.get("TIDEGAUGE_LITELLM_PYTHON", "")
Look = Callable[[Broker, str], Landed]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not PYTHON,
        reason="TIDEGAUGE_LITELLM_PYTHON names no Python with litellm[proxy] and tidegauge",
    ),
    pytest.mark.timeout(300),
]

CONFIGURATION = """\
model_list:
  - model_name: assistant
    litellm_params:
      model: openai/tiny
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: none
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
    model_info: {{id: gpu-1, version: v7}}
  - model_name: broken
    litellm_params:
      model: openai/broken
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: none
litellm_settings:
  callbacks: ["tidegauge.capture.litellm.callback"]
  num_retries: 1
general_settings:
  custom_auth: keys.check
"""

KEYS = """\
from litellm.proxy._types import ProxyException, UserAPIKeyAuth

async def check(request, api_key):
    if api_key != "sk-harbour":
        raise ProxyException(message="no such key", type="auth_error", param=None, code=401)
    return UserAPIKeyAuth(
        api_key=api_key, key_alias="key-1", metadata={"customer": "harbour-office"}
    )
"""

ASKED = {
    "model": "assistant",
    "messages": [{"role": "user", "content": "When is high tide? 🌊"}],
    "temperature": 0.3,
    "max_tokens": 20,
}

LATER = [
    {"role": "user", "content": "When is high tide? 🌊"},
    {"role": "assistant", "content": "High tide at noon."},
    {"role": "user", "content": "And low?"},
]


@dataclass(frozen=True)
class Published:
    """What the proxy's run has published."""

    requests: list[RequestEvent]
    responses: list[ResponseEvent]
    heartbeats: list[Heartbeat]


class Proxy:
    """The proxy while it serves."""

    def __init__(self, port: int, outbox: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.outbox = outbox

    def is_up(self) -> bool:
        try:
            url = f"{self._url}/health/liveliness"
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - ours
                return True
        except OSError:
            return False

    def ask(self, body: dict[str, Any], key: str = "sk-harbour", **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self._url}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={
                "content-type": "application/json",
                "authorization": f"Bearer {key}",
                **headers,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - ours
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the proxy has ended"
        assert time.monotonic() < end, "the proxy is not up"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def serving(
    standing_broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, Callable[[Look], Published]]]:
    """A proxy that serves until its events are asked for."""
    folder = tmp_path_factory.mktemp("litellm")
    upstream, port = free_port(), free_port()
    (folder / "config.yaml").write_text(CONFIGURATION.format(upstream=upstream))
    (folder / "keys.py").write_text(KEYS)
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}",
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "outbox"),
        "KAFKA_BOOTSTRAP_SERVERS": standing_broker.bootstrap_servers,
        "PYTHONPATH": str(folder),  # its own modules
    }
    server = [sys.executable, str(Path(__file__).with_name("litellm_upstream.py")), str(upstream)]
    command = [PYTHON, "-m", "litellm.proxy.proxy_cli", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--config", str(folder / "config.yaml")]
    proxy = Proxy(port, folder / "outbox")
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        stack.enter_context(running(server, environment, log))
        process = stack.enter_context(running(command, environment, log))
        wait_until(proxy.is_up, process)

        def collect(look: Look) -> Published:
            """Stop the proxy, and read what its run has published."""
            producer_id = next(path.name for path in proxy.outbox.iterdir())
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            found = look(standing_broker, producer_id)
            return Published(
                requests=[decode(r.value, RequestEvent) for r in found.records["requests.v1"]],
                responses=[decode(r.value, ResponseEvent) for r in found.records["responses.v1"]],
                heartbeats=found.heartbeats,
            )

        yield proxy, collect


@contextmanager
def running(
    command: list[str], environment: dict[str, str], log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone at the end, whatever happens."""
    with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def follow_up(proxy: Proxy) -> None:
    """Ask a second question, once in the first one's conversation, once in another."""
    later = {**ASKED, "messages": LATER}
    assert proxy.ask(later)[0] == 200
    assert proxy.ask(later, **{"x-session-id": "thread-7"})[0] == 200


def check_conversations(responses: list[ResponseEvent], opening: ResponseEvent) -> None:
    later = [event for event in responses if len(event.messages) == len(LATER)]
    followed, named = sorted(later, key=lambda event: event.conversation_id == "thread-7")
    assert (opening.turn, followed.turn, named.turn) == (1, 2, 2)
    assert opening.conversation_id == followed.conversation_id is not None
    assert (named.conversation_id, named.repeat_of) == ("thread-7", None)


def test_what_the_real_proxy_serves_is_published(
    serving: tuple[Proxy, Callable[[Look], Published]], look: Look
) -> None:
    proxy, collect = serving
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    status, text = proxy.ask(ASKED, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert (status, "High tide at noon." in text) == (200, True)
    status, text = proxy.ask({**ASKED, "stream": True})
    assert (status, "[DONE]" in text) == (200, True)
    follow_up(proxy)
    assert proxy.ask({**ASKED, "model": "broken"})[0] == 500
    assert proxy.ask({**ASKED, "model": "x" * 50})[0] == 400
    assert proxy.ask(ASKED, key="sk-wrong")[0] == 401
    end = time.monotonic() + 60
    while sum(path.stat().st_size for path in proxy.outbox.glob("*/*.log")) < 1:
        assert time.monotonic() < end
        time.sleep(0.1)
    events = collect(look)

    first = [event for event in events.responses if len(event.messages) != len(LATER)]
    by_status = {event.status: event for event in first if not event.stream}
    plain, broken = by_status[200], by_status[500]
    (streamed,) = [event for event in events.responses if event.stream]
    assert len(events.responses) == len(events.requests) == 7
    check_conversations(events.responses, plain)

    segment = Segment(model="assistant", version="v7", route="/v1/chat/completions")
    for event in (plain, streamed):
        assert (event.segment, event.customer) == (segment, "harbour-office")
        assert event.messages == (Message(role="user", content="When is high tide? 🌊"),)
        assert event.output == "High tide at noon."
        assert (event.finish_reason, event.error) == ("stop", None)
        assert {**event.checks, "empty": "passed", "truncation": "passed"} == event.checks
        assert event.usage is not None
        assert (event.usage.input_tokens, event.usage.output_tokens) == (9, 4)
        assert event.cost_usd == pytest.approx(9e-6 + 4 * 2e-6)
        assert event.sampling == Sampling(temperature=0.3, max_tokens=20)
        assert event.upstream == "gpu-1"
        assert event.latency_ms > 0
    assert plain.time_to_first_token_ms is None
    assert plain.trace_id == trace
    assert plain.served_fingerprint == "fp-1"
    assert streamed.time_to_first_token_ms is not None
    assert 0 < streamed.time_to_first_token_ms <= streamed.latency_ms

    assert broken.error is ErrorKind.UPSTREAM_ERROR
    assert (broken.segment.model, broken.customer) == ("broken", "harbour-office")
    assert broken.attempts == 2, "the proxy tried twice, the client asked once"
    assert by_status[400].error is ErrorKind.UNKNOWN_MODEL
    assert by_status[400].segment.model == "unknown", "a client's own word is no segment"
    assert by_status[401].error is ErrorKind.UNAUTHORIZED
    assert by_status[401].customer == "unknown"

    pairs = {event.request_id: event.time_ms for event in events.requests}
    assert pairs == {event.request_id: event.time_ms for event in events.responses}
    last = events.heartbeats[-1]
    assert (last.served, last.final, last.dropped) == (7, True, {})
    assert last.shipped == last.captured == {"requests.v1": 7, "responses.v1": 7}
