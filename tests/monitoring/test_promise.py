"""The one promise of a deployment, over all monitors, with the baseline drawn anew each time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.detection.reference import Reference
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic, TrafficOf

WINDOWS = 100
EVENTS = 20
PROMISED = 0.2
"""Share of streams that may alarm by the end: t / A."""


def plugged_in(reference: Reference) -> Reference:
    """Take the baseline's rates for the truth, and steady: what everybody does."""
    edges = tuple(min(max(rate, 1e-3), 0.999) for rate in reference.rate)
    return msgspec.structs.replace(
        reference, low=edges, high=edges, block_ms=(), dispersion=(0.0,) * len(edges)
    )


def alarms(traffic: Traffic, *, plug_in: bool) -> bool:
    days = WINDOWS * traffic.window_ms / 1000 / PROMISED / 86_400
    harness = traffic.harness(false_alarm_days=days)
    past = build_rates_baseline(traffic.baseline_windows(60, 5)).to_bytes()
    references = RatesBaseline.from_bytes(past, "rates-1").references
    if plug_in:
        references = {
            monitor: {key: plugged_in(found) for key, found in by_segment.items()}
            for monitor, by_segment in references.items()
        }
    harness.monitor.use("rates", "rates-1", references, harness.now_ms)
    for window in range(WINDOWS):
        harness.give(
            traffic.vitals(window, EVENTS),
            traffic.writers["vitals"].progress(window + 1),
            traffic.quality(window, EVENTS),
            traffic.writers["quality"].progress(window + 1),
        )
        if harness.alerts():
            return True
    return False


def share_of_alarms(traffic_of: TrafficOf, streams: int, *, plug_in: bool) -> float:
    found = [alarms(traffic_of(seed), plug_in=plug_in) for seed in range(streams)]
    return float(np.mean(found))


def slack(streams: int) -> float:
    return 3 * math.sqrt(PROMISED * (1 - PROMISED) / streams)


def test_the_promise_is_kept_in_brief(traffic_of: TrafficOf) -> None:
    assert share_of_alarms(traffic_of, 5, plug_in=False) <= PROMISED


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_the_promise_is_kept(traffic_of: TrafficOf) -> None:
    assert share_of_alarms(traffic_of, 100, plug_in=False) <= PROMISED + slack(100)


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_taking_the_estimate_for_the_truth_breaks_it(traffic_of: TrafficOf) -> None:
    assert share_of_alarms(traffic_of, 40, plug_in=True) > PROMISED + slack(40)
