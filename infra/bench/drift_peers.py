"""Peers of the drift benchmark, in an environment of their own.

    python drift_peers.py [--levels LEVELS.json] [--slow-share SHARE] STREAMS.npz RESULTS.json

reads the streams that ``make bench-drift`` wrote and writes, for each system, its
statistic after each window of each stream and its CPU time per event. With levels, a system's
path ends where it reaches its own. Systems that are slow take a part of the streams, or none.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from drift_given import Given, Rows, System
from drift_systems import SYSTEMS


def run(system: System, data: dict[str, Any], level: float, slow_share: float) -> dict[str, Any]:
    """Run a system on all streams, baseline by baseline."""
    paths: dict[str, list[list[list[float]]]] = {}
    seconds, events, setup = 0.0, 0, 0.0
    for number in range(int(data["baselines"])):
        began = time.process_time()
        given = Given(data["vectors"], data[f"{number}/baseline"], int(data["window"]), number)
        follow = system.begin(given)
        setup += time.process_time() - began
        for change, streams in _streams(data, number):
            count = max(1, round(len(streams) * slow_share)) if system.slow else len(streams)
            began = time.process_time()
            found = [_until(follow(stream), level) for stream in streams[:count]]
            seconds += time.process_time() - began
            events += given.window * sum(map(len, found))
            paths.setdefault(change, []).append(found)
    return {
        "label": f"{system.package} {version(system.package)} {system.name}"
        if system.package
        else system.name,
        "name": system.name,
        "note": system.note,
        "paths": paths,
        "seconds": seconds,
        "events": events,
        "setup_seconds": setup / int(data["baselines"]),
    }


def _streams(data: dict[str, Any], number: int) -> Iterator[tuple[str, Rows]]:
    for key, streams in data.items():
        if key.startswith(f"{number}/stream/"):
            yield key.removeprefix(f"{number}/stream/"), streams


def _until(statistics: Iterator[float], level: float) -> list[float]:
    found = []
    for statistic in statistics:
        found.append(float(f"{statistic:.6g}"))
        if found[-1] >= level:
            break
    return found


def main() -> None:
    """Run the systems, all or some."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--levels", type=Path, help="level of each system, by name")
    parser.add_argument(
        "--slow-share", type=float, default=1.0, help="of streams, if slow; 0 for none"
    )
    parser.add_argument("--systems", default="", help="only those whose names have this in them")
    parser.add_argument("streams")
    parser.add_argument("results", type=Path)
    asked = parser.parse_args()
    with np.load(asked.streams) as read:
        data = {key: read[key] for key in read.files}
    data["vectors"] = data["vectors"].astype(np.float32)
    levels = json.loads(asked.levels.read_bytes()) if asked.levels else {}
    results = []
    for system in SYSTEMS:
        if asked.systems in system.name and (asked.slow_share or not system.slow):
            print(f"  {system.name}", flush=True)
            results.append(run(system, data, levels.get(system.name, np.inf), asked.slow_share))
    asked.results.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
