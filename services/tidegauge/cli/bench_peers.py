"""The drift benchmark's peers: run in an environment of their own, on the streams of ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tidegauge.cli.bench_drift import Drawn, Plan
from tidegauge.cli.bench_results import Found, Paths, level_of
from tidegauge.cli.bench_texts import Vectors
from tidegauge.cli.errors import CommandError
from tidegauge.drift.protocol import NO_CHANGE, Change

__all__ = ["Peers"]


@dataclass(frozen=True, slots=True)
class Peers:
    """How peers are run.

    Attributes:
        command: Runs ``infra/bench/drift_peers.py`` in their environment.
        folder: Where streams and results go.
        slow_share: Part of the streams that slow peers take.
        say: Tells a person one line.
    """

    command: Sequence[str]
    folder: Path
    slow_share: float
    say: Callable[[str], None]

    def run(self, drawn: Sequence[Drawn], vectors: Vectors, plan: Plan) -> dict[str, Found]:
        """Return what each peer found.

        Quiet streams come first, in full, and give each peer its level; with a change, a
        stream is left at the alarm.

        Raises:
            CommandError: The command failed.
        """
        changes = [change for change in drawn[0].streams if change != NO_CHANGE]
        self.say("peers on streams without a change")
        quiet = self._stage(drawn, vectors, plan, [NO_CHANGE], {})
        levels = {
            one["name"]: level_of(_found([one]), block=plan.block, mean_events=plan.matched_events)
            for one in quiet
        }
        self.say("peers on streams with one")
        changed = self._stage(drawn, vectors, plan, changes, levels)
        return {
            one["label"]: _found([one, other]) for one, other in zip(quiet, changed, strict=True)
        }

    def _stage(
        self,
        drawn: Sequence[Drawn],
        vectors: Vectors,
        plan: Plan,
        changes: Sequence[Change],
        levels: dict[str, float],
    ) -> list[dict[str, Any]]:
        given, taken = self.folder / "streams.npz", self.folder / "peers.json"
        told = self.folder / "levels.json"
        told.write_text(json.dumps(levels))
        arrays = {"block": np.array(plan.block), "baselines": np.array(len(drawn))}
        for number, one in enumerate(drawn):
            arrays[f"{number}/baseline"] = one.shares.baseline
            for change in changes:
                arrays[f"{number}/stream/{change.key}"] = np.stack(one.streams[change])
        np.savez(given, allow_pickle=False, vectors=vectors.astype(np.float16), **arrays)
        options = ["--levels", str(told), "--slow-share", f"{self.slow_share:g}"]
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run(  # noqa: S603 - the person's own command
            [*self.command, *options, str(given), str(taken)],
            check=False,
            env=os.environ | one_thread,
        )
        if done.returncode:
            raise CommandError(f"the peers ended with status {done.returncode}: {self.command}")
        read = json.loads(taken.read_bytes())
        for file in (given, taken, told):
            file.unlink()
        return [one | {"changes": {change.key: change for change in changes}} for one in read]


def _found(stages: Sequence[dict[str, Any]]) -> Found:
    """Put the stages of one peer together."""
    paths: Paths = {
        one["changes"][key]: [[np.array(path) for path in paths] for paths in found]
        for one in stages
        for key, found in one["paths"].items()
    }
    events = sum(one["events"] for one in stages)
    return Found(
        paths=paths,
        microseconds=1e6 * sum(one["seconds"] for one in stages) / max(events, 1),
        facts={"setup_seconds": stages[0]["setup_seconds"]},
        note=stages[0]["note"],
    )
