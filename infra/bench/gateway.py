"""CPU per request and per streamed event of gateways, peers interleaved in one run.

Every round starts each system anew and loads it with the same closed-loop load against the same
upstream, every other round in reverse order: how a process happens to lie in memory makes it up
to 4% dearer for as long as it runs. CPU time is read from /proc for a gateway's whole process
tree, our shipper's left out: no broker is up, so that shipping does not disturb the others. What
it costs is measured at the end, with one. What capture costs the gateway is too small for three
rounds and has ten pairs of runs of its own. The event loop's lag is watched in our gateway's own
process, at a paced load.
Writes ``build/bench/gateway.json``.

``QUICK=1`` ends within 50 seconds: three short rounds of the direct call, nginx and ours.
``SYSTEMS="nginx tidegauge"`` keeps only systems whose names begin so.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from gateway_ours_measures import loop_lag, shipping
from gateway_systems import Started, System, install
from processes import (
    Process,
    command_line,
    cpu_seconds,
    free_port,
    machine_cpu_seconds,
    resident_megabytes,
    tree,
)

HERE = Path(__file__).parent
OUT = Path("build/bench/gateway.json")
QUICK = os.environ.get("QUICK") == "1"
ROUNDS = 3
PAIRS = 10
CONNECTIONS = 16
STREAMS = 24
OURS = f"tidegauge {version('tidegauge')}"
LAG_RATE = 2_000
SHIPPED_RATE = 1_000


@dataclass(frozen=True)
class Reading:
    """CPU seconds at a moment."""

    gateway: float
    shipper: float
    machine: float
    others: float


def read(pids: dict[str, int], started: Started | None) -> Reading:
    """Read the clocks."""
    gateway = shipper = 0.0
    if started is not None:
        for pid in tree(started.process.pid):
            if "tidegauge.gateway.checking_shipper" in command_line(pid):
                shipper += cpu_seconds(pid)
            else:
                gateway += cpu_seconds(pid)
    known = sum(cpu_seconds(pid) for pid in pids.values())
    return Reading(gateway, shipper, machine_cpu_seconds(), known)


def load(  # noqa: PLR0913 - the load's own parameters
    port: int,
    started: Started | None,
    seconds: float,
    *,
    stream: bool = False,
    connections: int = CONNECTIONS,
    rate: float = 0.0,
) -> dict[str, float]:
    """Run the load and return what it counted, its own CPU time included."""
    command = [
        sys.executable,
        str(HERE / "gateway_load.py"),
        *("--port", str(port), "--seconds", str(seconds), "--connections", str(connections)),
        *("--rate", str(rate)),
    ]
    if started is not None:
        command += ["--key", started.key]
        for header in started.headers:
            command += ["--header", header]
    if stream:
        command.append("--stream")
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    after = os.times()
    counted: dict[str, float] = json.loads(done.stdout)
    counted["cpu"] = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return counted


class Table:
    """Figures by metric and system."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], list[float]] = {}
        self._units: dict[str, str] = {}
        self._notes: dict[tuple[str, str], str] = {}

    def add(self, metric: str, system: str, unit: str, value: float, note: str = "") -> None:
        """Add one round's figure."""
        self._figures.setdefault((metric, system), []).append(value)
        self._units[metric] = unit
        if note:
            self._notes[metric, system] = note

    def rows(self) -> list[dict[str, object]]:
        """Return the result's rows."""
        return [
            {
                "metric": metric,
                "system": system,
                "unit": self._units[metric],
                "median": round(median(values), 3),
                "min": round(min(values), 3),
                "max": round(max(values), 3),
                "n": len(values),
                "note": self._notes.get((metric, system), ""),
            }
            for (metric, system), values in self._figures.items()
        ]


@contextmanager
def running(system: System, upstream_port: int) -> Iterator[Started | None]:
    """Start a system, if it is one, in a folder of its own, and stop it again.

    Raises:
        RuntimeError: It does not start.
    """
    if system.start is None:
        yield None
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        system.start(upstream_port, Path(folder)) as started,
    ):
        yield started


def measure(
    system: System, started: Started | None, upstream: Process, upstream_port: int, table: Table
) -> None:
    """Measure one system once."""
    port = upstream_port if started is None else started.port
    seconds = 0.8 if QUICK else 4.0
    load(port, started, 0.3 if QUICK else 2.0)
    for stream in (False, True):
        before = read({"upstream": upstream.pid}, started)
        began = time.perf_counter()
        counted = load(
            port, started, seconds, stream=stream, connections=STREAMS if stream else CONNECTIONS
        )
        wall = time.perf_counter() - began
        after = read({"upstream": upstream.pid}, started)
        units = counted["events"] if stream else counted["requests"]
        if not units or counted["errors"]:
            print(f"  {system.name}: {counted['errors']} errors, {units} answers", flush=True)
            continue
        cpu = (after.gateway - before.gateway) / units * 1e6
        foreign = (after.machine - before.machine) - (
            after.gateway
            - before.gateway
            + after.shipper
            - before.shipper
            + after.others
            - before.others
            + counted["cpu"]
        )
        note = f"foreign CPU {max(0.0, foreign) / wall:.2f} cores"
        if stream:
            table.add("cpu_per_event", system.name, "us", cpu, note)
        else:
            table.add("cpu_per_request", system.name, "us", cpu, note)
            if cpu:
                table.add("requests_per_core_second", system.name, "1/s", 1e6 / cpu)
    alone = load(port, started, seconds / 2, connections=1)
    table.add("p50_one_connection", system.name, "ms", alone["p50_ms"])
    if started is not None and started.lags is not None:
        late, own = loop_lag(started, lambda: load(port, started, seconds, rate=LAG_RATE))
        note = f"at {LAG_RATE} requests/s"
        table.add("loop_lag_p99", system.name, "ms", late, note)
        note += ", without waiting for a core"
        table.add("own_loop_lag_p99", system.name, "ms", own, note)
    if started is not None:
        table.add("memory", system.name, "MB", resident_megabytes(started.process.pid))


def capture_takes(ours: dict[str, System], upstream_port: int, number: int) -> float:
    """Return how many percent fewer requests a second of a core are served with capture.

    Args:
        ours: With and without it, by name.
        upstream_port: Where the upstream listens.
        number: Of this pair of runs; every other one is in reverse order.
    """
    cpu = {}
    for name in sorted(ours, reverse=number % 2 == 0):
        with running(ours[name], upstream_port) as started:
            assert started is not None  # noqa: S101 - ours is one
            load(started.port, started, 2.0)
            before = read({}, started)
            counted = load(started.port, started, 4.0)
            cpu[name] = (read({}, started).gateway - before.gateway) / counted["requests"]
    return 100 * (1 - cpu[f"{OURS} without capture"] / cpu[OURS])


def main() -> None:
    """Run the benchmark and write its result."""
    wanted = set(os.environ.get("SYSTEMS", "").split())
    systems = install(wanted=wanted or ({"direct", "nginx", "tidegauge"} if QUICK else set()))
    table = Table()
    port = free_port()
    command = [sys.executable, str(HERE / "gateway_upstream.py"), str(port)]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        upstream = stack.enter_context(Process(command, Path(folder) / "upstream.log"))
        upstream.wait_ready(f"http://127.0.0.1:{port}/v1/models")
        for number in range(ROUNDS):
            for system in systems[:: -1 if number % 2 else 1]:
                print(f"round {number + 1}/{ROUNDS}: {system.name}", flush=True)
                try:
                    with running(system, port) as started:
                        measure(system, started, upstream, port, table)
                except RuntimeError as error:
                    print(f"  left out: {error}", flush=True)
        ours = {system.name: system for system in systems if system.name.startswith(OURS)}
        for number in range(0 if QUICK else PAIRS) if len(ours) > 1 else ():
            print(f"capture {number + 1}/{PAIRS}", flush=True)
            table.add("fewer_requests", OURS, "%", capture_takes(ours, port, number))
        if ours:
            print("shipping", flush=True)
            for _ in range(ROUNDS):
                each = shipping(port, lambda ours: load(ours.port, ours, 1.0, rate=SHIPPED_RATE))
                table.add("shipper_cpu_per_request", OURS, "us", each * 1e6, "beside it, broker up")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows = table.rows()
    result = {
        "machine": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": f"{platform.python_version()} ({sys.base_prefix})",
        },
        "command": "make bench-gateway" + (" QUICK=1" if QUICK else ""),
        "rows": rows,
    }
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    line = "{metric:26} {system:34} {median:>10} {min:>10} {max:>10} {unit}  {note}"
    for row in rows:
        print(line.format(**row))
    print(f"written to {OUT}")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
