"""The cost of capture in the serving process, and of shipping beside it.

Appending to the outbox (encoding, framing and writing an event that has been made), at 2,000
requests/s of two events each inside an event loop, against the same events sent by
kafka-python from the serving process; CPU time per event of both ways, its making included;
memory with the broker dead after 100,000 requests. Rounds are interleaved. Writes
``build/bench/capture.json``. ``QUICK=1`` ends within 50 seconds.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from processes import free_port
from tables import Table
from tidegauge.runtime.brokers import ApacheBroker, Broker, EmbeddedBroker
from tidegauge.schemas.topics import HEARTBEATS, REQUESTS, RESPONSES

HERE = Path(__file__).parent
OUT = Path("build/bench/capture.json")
QUICK = os.environ.get("QUICK") == "1"
ROUNDS = 2 if QUICK else 5
RATE = 2_000
SECONDS = 2 if QUICK else 8
BACKLOG = 5_000 if QUICK else 25_000
DEAD = 20_000 if QUICK else 100_000
OURS = f"tidegauge {version('tidegauge')}"
PEER = f"kafka-python {version('kafka-python')} in the serving process"


def load(
    system: str, servers: str, requests: int, rate: int = 0, drain: int = 60
) -> dict[str, Any]:
    """Run one process that captures, and return what it measured."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(  # noqa: S603 - the benchmark itself
            [
                sys.executable,
                str(HERE / "capture_load.py"),
                *("--system", system, "--bootstrap-servers", servers),
                *("--directory", directory, "--requests", str(requests), "--rate", str(rate)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            env=os.environ | {"DRAIN_SECONDS": str(drain)},
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(servers: str, table: Table) -> None:
    """Run one round of everything that needs the broker."""
    requests = RATE * SECONDS
    note = f"{RATE} requests/s, 2 events each"
    idle = load("tidegauge", servers, 0)["children_cpu_seconds"]
    for name, system in (("tidegauge", OURS), ("kafka-python", PEER)):
        served = load(name, servers, requests, RATE)
        table.add("append_median", system, "us", served["append_us"]["0.5"], note)
        table.add("append_p99", system, "us", served["append_us"]["0.99"], note)
        table.add("loop_lag_p99", system, "ms", served["lag_ms"], note)
        if name == "tidegauge":
            shipping = (served["children_cpu_seconds"] - idle) / (2 * requests) * 1e6
            table.add("shipper_cpu_per_event", system, "us", shipping, note)
        backlog = load(name, servers, BACKLOG)
        serving = (
            backlog["cpu_seconds"] if name == "tidegauge" else backlog["cpu_seconds_with_close"]
        )
        table.add(
            "serving_cpu_per_event",
            system,
            "us",
            serving / (2 * BACKLOG) * 1e6,
            "as fast as it goes",
        )
        if name == "tidegauge":
            shipping = (backlog["children_cpu_seconds"] - idle) / (2 * BACKLOG) * 1e6
            table.add("shipper_cpu_per_event", system, "us", shipping, "as fast as it goes")


def measure_dead_broker(table: Table) -> None:
    """Serve without a broker, and watch the memory."""
    result = load("tidegauge", f"127.0.0.1:{free_port()}", DEAD, drain=1)
    memory = {int(number): value for number, value in result["memory_mb"].items()}
    first, last = min(memory), max(memory)
    note = "broker dead"
    table.add("memory", OURS, "MB", memory[first], f"after {first} requests, {note}")
    table.add("memory", OURS, "MB", memory[last], f"after {last} requests, {note}")
    table.add("shipper_memory", OURS, "MB", result["shipper_memory_mb"], note)


def make_topics(broker: Broker) -> None:
    """Make the topics that the shipper needs."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    topics = (REQUESTS, RESPONSES, HEARTBEATS)
    admin.create_topics([NewTopic(topic.name, topic.partitions, 1) for topic in topics])
    admin.close()


def main() -> None:
    """Run the benchmark and write its result."""
    table = Table()
    broker = EmbeddedBroker() if ApacheBroker.missing() else ApacheBroker()
    with broker:
        make_topics(broker)
        for number in range(ROUNDS):
            print(f"round {number + 1}/{ROUNDS}", flush=True)
            measure(broker.bootstrap_servers, table)
    measure_dead_broker(table)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "broker": type(broker).__name__,
        },
        "command": "make bench-capture" + (" QUICK=1" if QUICK else ""),
        "rows": table.rows(),
    }
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    for row in result["rows"]:
        print("{metric:24}{median:>10} {min:>10} {max:>10} {unit:3} {system}; {note}".format(**row))
    print(f"written to {OUT}")


if __name__ == "__main__":
    main()
