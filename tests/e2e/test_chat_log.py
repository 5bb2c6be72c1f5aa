"""A hundred mixed prompts through /chat, then one command over the structured log."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from tests.e2e.conftest import TOKENS

from tidegauge.cli.request_log import percentile
from tidegauge.demo.prompts import Prompt, own_prompts

pytestmark = pytest.mark.e2e

COUNT = 100
SYSTEM = "You answer in one short sentence."
EDGES = ("", "👋🏽 ¿Qué tal? 你好", "<script>alert(1)</script>", "word " * 800)


class Gateway(Protocol):
    address: str
    key: str
    log: Path


@dataclass(frozen=True)
class Measured:
    latency_ms: float
    status: int
    response: str


def _ask(gateway: Gateway, message: str) -> Measured:
    body = {"message": message, "system_prompt": SYSTEM}
    request = urllib.request.Request(  # noqa: S310 - our own gateway
        f"{gateway.address}/chat",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"},
    )
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the same
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return Measured(1_000 * (time.perf_counter() - began), error.code, "")
    assert said["latency_ms"] > 0
    return Measured(1_000 * (time.perf_counter() - began), 200, said["response"])


def _mixed(prompts: tuple[Prompt, ...], count: int) -> list[str]:
    step = len(prompts) // count
    return [prompt.text for prompt in prompts[::step]][: count - len(EDGES)] + list(EDGES)


def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the log did not get every line"
        time.sleep(0.05)


@pytest.mark.timeout(600)
def test_the_log_says_what_the_client_measured(gateway: Gateway) -> None:
    messages = _mixed(own_prompts(), COUNT)
    assert len(messages) == COUNT
    with ThreadPoolExecutor(4) as pool:
        measured = list(pool.map(lambda message: _ask(gateway, message), messages))
    _until(lambda: gateway.log.read_bytes().count(b"\n") >= COUNT)

    done = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", "logs", "summary", str(gateway.log), "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    (found,) = json.loads(done.stdout)

    answered = [one for one in measured if one.status == 200]
    assert len(answered) >= COUNT - len(EDGES)
    assert (found["requests"], found["answered"]) == (COUNT, len(answered))
    assert found["broken_lines"] == 0
    assert found["median_response_characters"] == statistics.median(
        len(one.response) for one in answered
    )
    latencies = [one.latency_ms for one in answered]
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        mine = percentile(latencies, share)
        assert mine is not None
        # The client's time has its own connection and reading in it: milliseconds, or many of
        # them where it has to wait for a core.
        assert mine - 200 <= found["latency_ms"][name] <= mine + 1, name
    assert found["output_tokens"] <= TOKENS * COUNT
    assert found["output_tokens"] > COUNT
