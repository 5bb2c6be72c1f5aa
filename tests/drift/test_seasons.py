"""Sixty days with a day's cycle: a baseline that knows the hour keeps the promise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.drift.conftest import Build, World

from drift_ours import watch
from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import HistoricalRequest

HOUR_MS = 3_600_000
DAY_MS, WINDOW_MS = 24 * HOUR_MS, 600_000
TOPICS = 8
EVENTS_A_DAY = 1_400
WITHIN_DAYS_AND_CHANCE = np.log(60 * 86_400 / 0.1)
"""A statistic that streams without a change reach in 60 days with a chance of at most a tenth."""

Times = NDArray[np.int64]


def traffic(world: World, days: int, start_ms: int) -> tuple[Times, list[str], NDArray[np.float32]]:
    """Draw requests whose topics swing by 80% within a day, and by a tenth from day to day."""
    times = np.sort(world.rng.integers(0, days * DAY_MS, days * EVENTS_A_DAY))
    hours = times / HOUR_MS % 24
    swing = 1 + 0.8 * np.sin(2 * np.pi * (hours[:, None] / 24 + np.arange(TOPICS) / TOPICS))
    rates = swing * np.exp(0.1 * world.rng.normal(size=(days, TOPICS)))[times // DAY_MS]
    edges = np.cumsum(rates / rates.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    topics = (edges < world.rng.random(len(times))[:, None]).sum(axis=1)
    texts, vectors = [""] * len(times), np.empty((len(times), 32), np.float32)
    for topic in range(TOPICS):
        rows = np.flatnonzero(topics == topic)
        asked, vectors[rows] = world.ask(len(rows), [topic])
        for row, text in zip(rows, asked, strict=True):
            texts[row] = text
    return times + start_ms, texts, vectors


def peak(
    baseline: DriftBaseline, times: Times, texts: list[str], vectors: NDArray[np.float32]
) -> float:
    """Return the largest log statistic over windows of ten minutes."""
    reference = baseline.openings.references[""]
    watched = watch(baseline, texts, vectors)
    bets = place_bets(reference, polya_urns=True)
    evidence, highest = no_evidence(bets), -np.inf
    for rows in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times // WINDOW_MS)) + 1):
        evidence = observe(
            bets,
            evidence,
            watched.hits[rows].sum(axis=0, dtype=np.int64),
            np.full(watched.hits.shape[1], len(rows)),
            duration_seconds=WINDOW_MS / 1_000,
            slot=reference.slot(int(times[rows[0]])),
            cells=[
                np.bincount(watched.cells[rows, number], minlength=len(urn.spacings))
                for number, urn in enumerate(bets.polya_urns)
            ],
        )
        found = judge(bets, evidence, log_threshold=WITHIN_DAYS_AND_CHANCE, most=0)
        highest = max(highest, found.log_statistic)
    return highest


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_a_cycle_that_the_baseline_has_seen_raises_no_alarm_in_sixty_days(
    world: World, build: Build
) -> None:
    times, texts, vectors = traffic(world, 16, 0)
    later = traffic(world, 60, 28 * DAY_MS)
    past = [
        HistoricalRequest(text, None, int(time)) for text, time in zip(texts, times, strict=True)
    ]
    seasonal = build(texts, vectors, requests=past)
    assert seasonal.openings.references[""].season == "hour-of-day"
    known = peak(seasonal, *later)
    assert known < WITHIN_DAYS_AND_CHANCE
    blind = build(texts, vectors)
    # Without the hour the same traffic looks at least twenty times as unlikely.
    assert peak(blind, *later) > known + np.log(20)
