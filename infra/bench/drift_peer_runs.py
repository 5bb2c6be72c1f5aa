"""The drift benchmark's peers: run in an environment of their own, on the streams of ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drift_results import DelayResult, Paths, level_of
from drift_streams import BenchPlan, Drawn
from drift_texts import BenchError, Vectors
from tidegauge.drift.benchmark_streams import NO_CHANGE, Change

__all__ = ["Peers"]

Array: TypeAlias = NDArray[Any]


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

    def run(
        self, drawn: Sequence[Drawn], vectors: Vectors, plan: BenchPlan
    ) -> dict[str, DelayResult]:
        """Return what each peer found; what is in the folder already is not run again.

        Quiet streams come first, in full, and give each peer its level; with a change, a
        stream is left at the alarm.

        Raises:
            BenchError: The command failed.
        """
        changes = [change for change in drawn[0].streams if change != NO_CHANGE]
        self.say("peers on streams without a change")
        quiet = self._stage(drawn, vectors, plan, [NO_CHANGE], {})
        levels = {
            one["name"]: level_of(
                _found([one]), window=plan.window, mean_events=plan.matched_events
            )
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
        plan: BenchPlan,
        changes: Sequence[Change],
        levels: dict[str, float],
    ) -> list[dict[str, Any]]:
        arrays = {"window": np.array(plan.window), "baselines": np.array(len(drawn))}
        for number, one in enumerate(drawn):
            arrays[f"{number}/baseline"] = one.shares.baseline
            for change in changes:
                arrays[f"{number}/stream/{change.key}"] = np.stack(one.streams[change])
        arrays["vectors"] = vectors.astype(np.float16)
        by_key = {"changes": {change.key: change for change in changes}}
        taken = self.folder / f"peers-{self._code()}-{self._digest(arrays, levels)}.json"
        if taken.exists():
            self.say("their results are there from before")
            before = "; measured before, on the same streams"
            read = json.loads(taken.read_bytes())
            return [one | by_key | {"note": one["note"] + before} for one in read]
        self._call(arrays, levels, taken)
        for old in self.folder.glob("peers-*.json"):
            if not old.name.startswith(f"peers-{self._code()}-"):
                old.unlink()
        return [one | by_key for one in json.loads(taken.read_bytes())]

    def _call(self, arrays: dict[str, Array], levels: dict[str, float], taken: Path) -> None:
        given, told = self.folder / "streams.npz", self.folder / "levels.json"
        np.savez(given, allow_pickle=False, **arrays)
        told.write_text(json.dumps(levels))
        options = ["--levels", str(told), "--slow-share", f"{self.slow_share:g}"]
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run(  # noqa: S603 - the person's own command
            [*self.command, *options, str(given), str(taken)],
            check=False,
            env=os.environ | one_thread,
        )
        given.unlink()
        told.unlink()
        if done.returncode:
            raise BenchError(f"the peers ended with status {done.returncode}: {self.command}")

    def _code(self) -> str:
        """Return the hash of the command and of the scripts that belong to it."""
        parts = [" ".join(self.command).encode()]
        for script in (Path(part) for part in self.command if part.endswith(".py")):
            kin = script.parent.glob(script.stem.partition("_")[0] + "_*")
            parts += [path.read_bytes() for path in sorted(kin)]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]

    def _digest(self, arrays: dict[str, Array], levels: dict[str, float]) -> str:
        """Return the hash of what the peers are given."""
        digest = hashlib.sha256(json.dumps([levels, self.slow_share, list(arrays)]).encode())
        for array in arrays.values():
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]


def _found(stages: Sequence[dict[str, Any]]) -> DelayResult:
    """Put the stages of one peer together."""
    paths: Paths = {
        one["changes"][key]: [[np.array(path) for path in paths] for paths in found]
        for one in stages
        for key, found in one["paths"].items()
    }
    events = sum(one["events"] for one in stages)
    return DelayResult(
        paths=paths,
        microseconds=1e6 * sum(one["seconds"] for one in stages) / max(events, 1),
        facts={"setup_seconds": stages[0]["setup_seconds"]},
        note=stages[0]["note"],
    )
