"""The drift benchmark: our monitor and its peers on the same streams of the same vectors."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from drift_ours import Ours, keep_baseline
from drift_results import DelayResult, Paths
from drift_texts import Texts, Vectors
from tidegauge.drift.benchmark_streams import CHANGES, NO_CHANGE, Change, Shares, draw, share_out

__all__ = ["BenchPlan", "Drawn", "draw_streams", "run_ours"]

Rows: TypeAlias = NDArray[np.int64]
Say: TypeAlias = Callable[[str], None]

_COSTED = 2_000


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How much is run.

    Attributes:
        baselines: How often topics and baseline are drawn.
        runs: Streams of each change for each baseline.
        quiet: Streams without a change for each baseline.
        events: Length of a stream with a change.
        quiet_events: Length of one without; it ends where the texts do.
        window: Events of a window.
        guaranteed_events: Mean events to a false alarm that are promised: the first is what
            the bars are about.
        matched_events: Mean events to a false alarm at which systems are compared.
        baseline: Texts of a baseline.
        changes: What happens.
        seed: Of every draw.
    """

    baselines: int = 10
    runs: int = 5
    quiet: int = 10
    events: int = 4_000
    quiet_events: int = 6_000
    window: int = 10
    guaranteed_events: tuple[float, ...] = (100_000.0, 10_000.0, 1_000_000.0)
    matched_events: float = 2_000.0
    baseline: int = 15_000
    changes: tuple[Change, ...] = CHANGES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """One baseline and its streams.

    Attributes:
        shares: The rows by the part they play.
        streams: Change -> rows of each of its streams.
    """

    shares: Shares
    streams: dict[Change, list[Rows]]


def draw_streams(texts: Texts, plan: BenchPlan, out_of_scope: str) -> list[Drawn]:
    """Draw the baselines and their streams.

    A stream depends on the seed, the baseline's number and its own change and number alone, so
    that parts of the protocol can be run again by themselves.

    Args:
        texts: The file's.
        plan: How much is drawn.
        out_of_scope: The topic whose texts belong to none; without such texts its changes are
            left out.
    """
    found = []
    for number in range(plan.baselines):
        shares = share_out(
            texts.topics,
            texts.originals,
            out_of_scope=out_of_scope,
            baseline=plan.baseline,
            rng=np.random.default_rng([plan.seed, number]),
        )
        streams = {}
        for change in (NO_CHANGE, *plan.changes):
            if change.kind == "out_of_scope" and not len(shares.out_of_scope):
                continue
            quiet = change is NO_CHANGE
            rng = np.random.default_rng([plan.seed, number, zlib.crc32(change.key.encode())])
            streams[change] = [
                draw(shares, change, plan.quiet_events if quiet else plan.events, rng)
                for _ in range(plan.quiet if quiet else plan.runs)
            ]
        found.append(Drawn(shares, streams))
    return found


def run_ours(  # noqa: PLR0913, PLR0917 - the data, the plan, where to keep and whom to tell
    drawn: list[Drawn], texts: Texts, vectors: Vectors, plan: BenchPlan, folder: Path, say: Say
) -> DelayResult:
    """Run our monitor on every stream.

    Args:
        drawn: Baselines and streams.
        texts: The file's.
        vectors: Theirs.
        plan: How they were drawn.
        folder: Where baselines are kept.
        say: Tells a person one line.
    """
    paths: Paths = {}
    testing, looking, state_bytes = [], 0.0, 0
    level = float(np.log(max(plan.guaranteed_events)))
    for number, one in enumerate(drawn):
        say(f"tidegauge: baseline {number + 1} of {len(drawn)}")
        watched = keep_baseline(texts, vectors, one.shares.baseline, [plan.seed, number], folder)
        ours = Ours(watched, plan.window)
        for change, streams in one.streams.items():
            paths.setdefault(change, []).append([ours.path(rows, level) for rows in streams])
        testing.append(ours.testing_microseconds(one.streams[NO_CHANGE][0]))
        state_bytes = max(state_bytes, ours.state_bytes)
        if number == 0:
            some = one.shares.known[:_COSTED]
            looking = ours.looking_microseconds([texts.texts[i] for i in some], vectors[some])
    return DelayResult(
        paths=paths,
        microseconds=looking + float(np.median(testing)),
        facts={
            "looking_us_per_event": looking,
            "testing_us_per_event": float(np.median(testing)),
            "state_bytes": float(state_bytes),
        },
    )
