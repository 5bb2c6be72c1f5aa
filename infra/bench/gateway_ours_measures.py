"""What is measured of our gateway alone: its event loop's lag, and what shipping costs."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from gateway_systems import Started, start_tidegauge
from processes import command_line, cpu_seconds, tree
from tidegauge.capture.status import status
from tidegauge.runtime.brokers import ApacheBroker, EmbeddedBroker
from tidegauge.schemas.topics import HEARTBEATS, REQUESTS, RESPONSES

__all__ = ["loop_lag", "shipping"]

DEADLINE_SECONDS = 60.0


def loop_lag(started: Started, run: Callable[[], dict[str, float]]) -> tuple[float, float]:
    """Watch the event loop under a load.

    Returns:
        P99 of how late timers were called, in milliseconds, and the same without the time in
        which the process waited for a core.
    """
    if started.lags is None:
        raise ValueError("this gateway cannot be watched")
    started.lags.unlink(missing_ok=True)
    os.kill(started.process.pid, signal.SIGUSR1)
    run()
    os.kill(started.process.pid, signal.SIGUSR2)
    _wait(started.lags.exists, "the gateway tells its lags")
    late, own = (sorted(lags) for lags in zip(*json.loads(started.lags.read_text()), strict=True))
    return late[int(len(late) * 0.99)], own[int(len(own) * 0.99)]


def shipping(upstream_port: int, run: Callable[[Started], dict[str, float]]) -> float:
    """Let a gateway of its own ship what it records to a broker that is up.

    Returns:
        The shipper's CPU time for each exchange, in seconds: two events made, checked and
        sent.
    """
    broker = EmbeddedBroker() if ApacheBroker.missing() else ApacheBroker()
    with broker, tempfile.TemporaryDirectory() as folder:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        topics = (REQUESTS, RESPONSES, HEARTBEATS)
        admin.create_topics([NewTopic(topic.name, topic.partitions, 1) for topic in topics])
        admin.close()
        outbox = Path(folder) / "outbox"
        with start_tidegauge(upstream_port, Path(folder), broker=broker.bootstrap_servers) as ours:
            run(ours)  # so that the shipper has started and connected
            _wait(lambda: not _waiting(outbox), "everything is shipped")
            before = _shipper_seconds(ours)
            counted = run(ours)
            _wait(lambda: not _waiting(outbox), "everything is shipped")
            return (_shipper_seconds(ours) - before) / counted["requests"]


def _waiting(outbox: Path) -> int:
    return sum(run.waiting for run in status(outbox))


def _shipper_seconds(started: Started) -> float:
    return sum(
        cpu_seconds(pid)
        for pid in tree(started.process.pid)
        if "tidegauge.gateway.checking_shipper" in command_line(pid)
    )


def _wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {DEADLINE_SECONDS:.0f} s: {what}")
        time.sleep(0.02)
