"""How soon a rise of failures would be noticed is told, and about right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.monitoring.rate_power import noticed_rises, rise_sentence
from tidegauge.monitoring.rates import build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.findings import Monitor

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

EVENTS, SECONDS = 20, 10.0


def delay(reference: Reference, rate: float, log_owed: float, rng: np.random.Generator) -> int:
    """Return after how many answers a stream of one failing rate alarms."""
    bets = place_bets(reference, falls=False)
    evidence, trials = no_evidence(bets), np.full(len(reference.indicators), EVENTS)
    trials[1:] = 0
    for window in range(1, 2_000):
        hits = np.zeros_like(trials)
        hits[0] = rng.binomial(EVENTS, rate)
        evidence = observe(bets, evidence, hits, trials, duration_seconds=SECONDS)
        if judge(bets, evidence, log_threshold=log_owed).alarm:
            return window * EVENTS
    pytest.fail("the rise was not noticed")


def test_a_rise_of_failures_is_noticed_about_as_soon_as_is_told(traffic: Traffic) -> None:
    built = build_rates_baseline(traffic.baseline_windows(400, 50))
    references = {"errors.rate": built.references["errors.rate"]}
    (failures, refusals) = noticed_rises(references, built.to_ms - built.from_ms)
    assert (failures.indicator, refusals.indicator) == (
        measures.ERROR,
        measures.failed("refusal"),
    )
    assert failures.usual == pytest.approx(0.01, abs=0.003)
    assert failures.risen == pytest.approx(3 * failures.usual)
    assert refusals.risen == 0.01
    assert failures.seconds == pytest.approx(failures.events / 25)
    monitor = Monitor.parse("errors.rate")
    owed = log_threshold(MonitorPlan(), monitor_shares([monitor])[monitor], rank=1)
    reference = references["errors.rate"][failures.segment]
    plain = msgspec.structs.replace(reference, dispersion=(0.0, 0.0), block_ms=(0, 0))
    (told, _) = noticed_rises({"errors.rate": {failures.segment: plain}}, 1)
    rng = np.random.default_rng(3)
    seen = [delay(plain, told.risen, owed, rng) for _ in range(30)]
    assert told.events == pytest.approx(np.mean(seen), rel=0.4)


def test_what_a_baseline_cannot_notice_or_promise_is_told_apart(traffic: Traffic) -> None:
    built = build_rates_baseline(traffic.baseline_windows(15, 3))
    rises = noticed_rises(built.references, built.to_ms - built.from_ms)
    assert {rise.monitor for rise in rises} == {"errors.rate"}
    assert all(math.isinf(rise.events) for rise in rises)
    assert "would not be noticed: this baseline is too small for it" in rise_sentence(rises[0])
    refused = {
        name: {
            key: msgspec.structs.replace(one, refused="it wanders") for key, one in known.items()
        }
        for name, known in built.references.items()
    }
    assert noticed_rises(refused, 1) == ()
