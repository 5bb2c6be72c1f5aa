from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tidegauge.schemas import Segment
from tidegauge.simulation.rhythm import Recorded, Rhythm, Wave
from tidegauge.simulation.server import Server
from tidegauge.simulation.service import (
    Exchanges,
    SimulatedService,
    exchanges,
    response_events,
)

START_MS = 1_767_571_200_000
STEADY = SimulatedService(rhythm=Rhythm(per_day=20_000), server=Server(doubling=1e9, noise=0.0))


@pytest.fixture
def recorded() -> Recorded:
    gaps = np.random.default_rng(1).exponential(size=1_000)
    return Recorded(gaps / gaps.mean(), np.full(1_000, 300), np.full(1_000, 100))


def simulated(service: SimulatedService, recorded: Recorded) -> Exchanges:
    return exchanges(service, START_MS, 86_400.0, recorded, np.random.default_rng(3))


def test_a_change_multiplies_latency_from_its_moment_on(recorded: Recorded) -> None:
    found = simulated(replace(STEADY, changed_from=43_200.0, slower=1.2), recorded)
    after = found.seconds >= 43_200.0
    ratio = found.latency_ms[after].mean() / found.latency_ms[~after].mean()
    assert ratio == pytest.approx(1.2, rel=0.01)


def test_failures_are_as_frequent_as_told(recorded: Recorded) -> None:
    found = simulated(replace(STEADY, errors=0.01, changed_from=0.0, errors_after=0.03), recorded)
    assert found.failed.mean() == pytest.approx(0.03, abs=0.005)


def test_waves_of_failures_keep_their_mean(recorded: Recorded) -> None:
    found = simulated(replace(STEADY, errors=0.05, error_wave=Wave(0.45, 600.0)), recorded)
    assert found.failed.mean() == pytest.approx(0.05, abs=0.01)


def test_a_deployment_starts_cold(recorded: Recorded) -> None:
    found = simulated(replace(STEADY, deployments=(40_000.0,)), recorded)
    since = found.seconds - 40_000.0
    cold, warm = (since >= 0) & (since < 30), since < 0
    assert found.latency_ms[cold].mean() > 1.5 * found.latency_ms[warm].mean()


def test_events_carry_what_was_simulated(recorded: Recorded) -> None:
    found = simulated(replace(STEADY, errors=0.2), recorded)
    events = list(
        response_events(found, start_ms=START_MS, segment=Segment(model="m"), producer_id="g")
    )
    assert len(events) == len(found.seconds)
    assert [one.error is not None for one in events] == found.failed.tolist()
    assert [one.in_flight for one in events] == found.in_flight.tolist()
    answered = next(one for one in events if one.error is None)
    assert answered.usage is not None
    assert (answered.usage.input_tokens, answered.usage.output_tokens) == (300, 100)
    assert answered.time_to_first_token_ms is not None
    assert answered.time_to_first_token_ms < answered.latency_ms
