"""The drift monitor's promise from texts to alarm, the baseline drawn anew each time."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.drift.conftest import Build, World

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.sighting import EMBEDDED, hits_of, look
from tidegauge.engine.detector import judge, no_evidence, observe, place_bets
from tidegauge.engine.reference import Reference

Floats: TypeAlias = NDArray[np.float64]

BLOCK, BLOCKS = 10, 150
BUDGETS = (0.03, 0.1, 0.3)
"""Chances of a false alarm within a stream, as promised."""
MISSED_BANDS = 0.05
"""Chance that a baseline's bands or bounds miss a rate."""


def plugged_in(reference: Reference) -> Reference:
    """Return the wrong variant: the baseline's rates taken for the truth."""
    rate = tuple(np.clip(reference.rate, 1e-9, 1 - 1e-9).tolist())
    cells = reference.cells
    assert cells is not None
    sure = msgspec.structs.replace(cells, counts=tuple(10**9 * c for c in cells.counts))
    return msgspec.structs.replace(reference, low=rate, high=rate, cells=sure)


def path(baseline: DriftBaseline, reference: Reference, world: World) -> Floats:
    """Return the log statistic after each block of fresh requests, time counted in events."""
    texts, vectors = world.ask(BLOCK * BLOCKS, range(6))
    sightings = look(baseline.lens, vectors)
    column = {indicator.name: j for j, indicator in enumerate(reference.indicators)}
    held = np.zeros((len(texts), len(column)), np.int64)
    for row, names in enumerate(hits_of(baseline.lens, texts, sightings)):
        held[row, [column[name] for name in names if name != EMBEDDED]] = 1
    bets = place_bets(reference, adaptive=True)
    assert bets.cells is not None
    shape = bets.cells.prior.shape
    evidence, found = no_evidence(bets), []
    for rows in np.arange(len(texts)).reshape(BLOCKS, BLOCK):
        in_cells = np.bincount(sightings.cells[rows].ravel(), minlength=shape[0] * shape[1])
        evidence = observe(
            bets,
            evidence,
            held[rows].sum(axis=0),
            np.full(len(column), BLOCK),
            duration_seconds=float(BLOCK),
            cells=in_cells.reshape(shape),
        )
        found.append(judge(bets, evidence, log_threshold=0.0, most=0).log_statistic)
    return np.array(found)


def within_promise(  # noqa: PLR0913 - how much is drawn
    world: World, build: Build, size: int, *, baselines: int, streams: int, wrong: bool = False
) -> bool:
    """Say whether streams without a change alarm no more often than promised."""
    peaks = []
    for _ in range(baselines):
        baseline = build(*world.ask(size, range(6)))
        reference = baseline.references[""]
        if wrong:
            reference = plugged_in(reference)
        peaks += [path(baseline, reference, world).max() for _ in range(streams)]
    for budget in BUDGETS:
        share = float(np.mean(np.array(peaks) >= np.log(BLOCK * BLOCKS / budget)))
        allowed = budget + MISSED_BANDS
        # Streams of one baseline stand or fall together, where its bands miss.
        if share > allowed + 3 * np.sqrt(allowed * (1 - allowed) / baselines):
            return False
    return True


def test_a_few_baselines_keep_the_promise(world: World, build: Build) -> None:
    assert within_promise(world, build, 400, baselines=4, streams=4)


@pytest.mark.stats
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [400, 2_000])
def test_a_thousand_streams_keep_the_promise(world: World, build: Build, size: int) -> None:
    assert within_promise(world, build, size, baselines=100, streams=5)


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_rates_taken_for_the_truth_break_it(world: World, build: Build) -> None:
    assert not within_promise(world, build, 400, baselines=40, streams=5, wrong=True)
