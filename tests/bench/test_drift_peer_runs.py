from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from drift_peer_runs import Peers
from drift_results import level_of
from drift_streams import BenchPlan, Drawn
from drift_texts import BenchError
from tidegauge.drift.benchmark_streams import NO_CHANGE, Change, draw, share_out

SCRIPT = Path(__file__).parents[2] / "infra/bench/drift_peers.py"
CHANGE = Change("held_out", 0.5)
PLAN = BenchPlan(baselines=2, runs=2, quiet=6, events=600, baseline=2_500, changes=(CHANGE,))


def _drawn_and_vectors() -> tuple[list[Drawn], np.ndarray]:
    rng = np.random.default_rng(1)
    topics = np.arange(4_800) % 24
    vectors = rng.normal(size=(24, 16))[topics] + rng.normal(size=(4_800, 16)) / 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = []
    for _ in range(PLAN.baselines):
        shares = share_out(
            [f"t{topic}" for topic in topics],
            np.zeros(0, np.int64),
            out_of_scope="",
            baseline=PLAN.baseline,
            rng=rng,
        )
        streams = {
            NO_CHANGE: [draw(shares, NO_CHANGE, PLAN.quiet_events, rng) for _ in range(PLAN.quiet)],
            CHANGE: [draw(shares, CHANGE, PLAN.events, rng) for _ in range(PLAN.runs)],
        }
        drawn.append(Drawn(shares, streams))
    return drawn, vectors.astype(np.float32)


def _peers(folder: Path, *options: str) -> Peers:
    return Peers([sys.executable, str(SCRIPT), *options], folder, 0.5, lambda _: None)


def test_peers_follow_every_stream_to_its_end_or_to_the_alarm(tmp_path: Path) -> None:
    drawn, vectors = _drawn_and_vectors()
    found = _peers(tmp_path, "--systems", "EWMA of").run(drawn, vectors, PLAN)
    assert set(found) == {
        "EWMA of random features, 1/128",
        "EWMA of random features, 1/512",
    }
    for one in found.values():
        quiet = [path for paths in one.paths[NO_CHANGE] for path in paths]
        assert [len(path) for path in quiet] == [len(drawn[0].shares.known) // PLAN.window] * 12
        level = level_of(one, window=PLAN.window, mean_events=PLAN.matched_events)
        for paths in one.paths[CHANGE]:
            assert len(paths) == PLAN.runs
            for path in paths:
                assert (path[:-1] < level).all()
                assert path[-1] >= level
        assert one.microseconds > 0


def test_what_peers_found_on_the_same_streams_is_taken_again(tmp_path: Path) -> None:
    drawn, vectors = _drawn_and_vectors()
    peers = _peers(tmp_path, "--systems", "1/128")
    first = peers.run(drawn, vectors, PLAN)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 2
    again = peers.run(drawn, vectors, PLAN)
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    [one], [other] = first.values(), again.values()
    assert other.note == f"{one.note}; measured before, on the same streams"
    np.testing.assert_array_equal(one.paths[NO_CHANGE], other.paths[NO_CHANGE])
    _peers(tmp_path, "--systems", "1/512").run(drawn, vectors, PLAN)
    assert not kept.keys() & set(tmp_path.iterdir())


def test_peers_that_fail_are_named(tmp_path: Path) -> None:
    drawn, vectors = _drawn_and_vectors()
    with pytest.raises(BenchError, match="peers ended with status 2"):
        _peers(tmp_path, "--no-such-option").run(drawn, vectors, PLAN)
