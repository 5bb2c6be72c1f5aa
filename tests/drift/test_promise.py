"""The drift monitor's promise from texts to alarm, the baseline drawn anew each time."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tests.drift.conftest import Build, World

from drift_ours import Ours, watch
from tidegauge.detection.reference import Reference
from tidegauge.drift.baseline import DriftBaseline

WINDOW, WINDOWS = 10, 150
BUDGETS = (0.03, 0.1, 0.3)
"""Chances of a false alarm within a stream, as promised."""
MISSED_BANDS = 0.05
"""Chance that a baseline's bands miss a rate."""


def plugged_in(reference: Reference) -> Reference:
    """Return the wrong variant: the baseline's rates taken for the truth."""
    rate = tuple(np.clip(reference.rate, 1e-9, 1 - 1e-9).tolist())
    sure = tuple(
        msgspec.structs.replace(urn, spacings=tuple(1e9 * spacing for spacing in urn.spacings))
        for urn in reference.polya_urns
    )
    return msgspec.structs.replace(reference, low=rate, high=rate, polya_urns=sure)


def peak(baseline: DriftBaseline, world: World) -> float:
    """Return the largest log statistic on fresh requests, time counted in events."""
    texts, vectors = world.ask(WINDOW * WINDOWS, range(6))
    watched = watch(baseline, texts, vectors)
    return float(Ours(watched, WINDOW).path(np.arange(len(texts))).max())


def within_promise(  # noqa: PLR0913 - how much is drawn
    world: World, build: Build, size: int, *, baselines: int, streams: int, wrong: bool = False
) -> bool:
    """Say whether streams without a change alarm no more often than promised."""
    peaks = []
    for _ in range(baselines):
        baseline = build(*world.ask(size, range(6)))
        if wrong:
            wrongly = {"": plugged_in(baseline.openings.references[""])}
            baseline = replace(baseline, openings=replace(baseline.openings, references=wrongly))
        peaks += [peak(baseline, world) for _ in range(streams)]
    for budget in BUDGETS:
        share = float(np.mean(np.array(peaks) >= np.log(WINDOW * WINDOWS / budget)))
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
