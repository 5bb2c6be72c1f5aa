"""Gateways and shippers killed at random, for seconds: nothing recorded is missing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tidegauge.capture.runs import list_runs
from tidegauge.capture.testing import EXCHANGES, Landed, settings_for, wait_until
from tidegauge.runtime.brokers import Broker

pytestmark = pytest.mark.integration

Look = Callable[[Broker, str], Landed]
SECONDS = 4.0
GATEWAY = """\
import os, sys, time
from tidegauge.capture import Recorder
from tidegauge.capture.settings import settings_from_json
from tidegauge.capture.testing import record_compact, record_exchange
log = open(sys.argv[1], "a", buffering=1)
recorder = Recorder(
    settings_from_json(sys.argv[2].encode()), shipper="tidegauge.capture.testing"
)
recorder.start()
number = 0
while True:
    for _ in range(7):
        record_exchange(recorder, f"req-{number + 1}")
        record_compact(recorder, *((f"req-{number + n}", "At 13:42.") for n in (2, 3)))
        number += 3
    log.write(f"{recorder.producer_id} {number} {recorder.shipper_pid or 0}\\n")
    time.sleep(0.02)
"""


class Gateway:
    """A process that records exchanges and notes how many, until it is killed."""

    def __init__(self, log: Path, settings: bytes) -> None:
        command = [sys.executable, "-c", GATEWAY, str(log), settings.decode()]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def gateway(log: Path, settings: bytes) -> Iterator[Gateway]:
    started = Gateway(log, settings)
    try:
        yield started
    finally:
        started.kill()


def noted(log: Path) -> dict[str, tuple[int, int]]:
    """Return each run's count of exchanges and its shipper's process id, as last noted."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return {fields[0]: (int(fields[1]), int(fields[2])) for fields in lines if len(fields) == 3}


def test_whatever_is_killed_nothing_recorded_is_missing(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    rng = random.Random(20)  # noqa: S311 - a schedule of kills, no secret
    outbox, log = tmp_path / "outbox", tmp_path / "log"
    settings = msgspec.json.encode(
        settings_for(
            standing_broker.bootstrap_servers, outbox, segment_bytes=1 << 20, batch_bytes=20_000
        ),
        enc_hook=str,
    )
    killed = {"gateway": 0, "shipper": 0}
    with ExitStack() as stack:
        gateways = [stack.enter_context(gateway(log, settings)) for _ in range(2)]
        wait_until(lambda: len(noted(log)) == 2, "both gateways serve")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.1, 0.6))
            if rng.random() < 0.3:
                gateways.pop(0).kill()
                gateways.append(stack.enter_context(gateway(log, settings)))
                killed["gateway"] += 1
            elif pid := rng.choice([pid for _, pid in noted(log).values()]):
                killed["shipper"] += kill(pid)
    assert min(killed.values()) > 0, killed

    def all_shipped() -> bool:
        command = [sys.executable, "-m", "tidegauge.capture.testing"]
        environment = {
            **os.environ,
            "TIDEGAUGE_CAPTURE_DIRECTORY": str(outbox),
            "KAFKA_BOOTSTRAP_SERVERS": standing_broker.bootstrap_servers,
        }
        subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False)
        return not list_runs(outbox)

    wait_until(all_shipped, "everything is shipped")
    for producer_id, (exchanges, _) in noted(log).items():
        landed = await_all(partial(look, standing_broker, producer_id), exchanges)
        accepted = landed.accepted_by_a_reader()
        assert accepted == list(range(1, len(accepted) + 1)), producer_id
        last = landed.heartbeats[-1]
        assert last.final
        assert (last.captured, last.dropped) == (last.shipped, {})
        assert sum(last.shipped[topic] for topic in EXCHANGES) == len(accepted)


def await_all(look: Callable[[], Landed], exchanges: int) -> Landed:
    """Look until every exchange's events are there."""
    expected = set(range(1, 2 * exchanges + 1))
    looks: list[Landed] = []

    def complete() -> bool:
        looks.append(look())
        return expected <= set(looks[-1].accepted_by_a_reader())

    wait_until(complete, f"the events of {exchanges} exchanges")
    return looks[-1]


def kill(pid: int) -> bool:
    """Kill one of our own shippers, unless it has ended already."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    if b"tidegauge.capture.testing" not in command:
        return False
    os.kill(pid, signal.SIGKILL)
    return True
