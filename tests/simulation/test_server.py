from __future__ import annotations

import numpy as np
import pytest

from tidegauge.simulation.server import Served, Server, serve

QUIET = Server(token_ms=10.0, doubling=4.0, prefill=100.0, batch=2, overhead_ms=0.0, noise=0.0)


def served(
    times: list[float], prompt: list[int], output: list[int], slowness: float = 1.0
) -> Served:
    return serve(
        QUIET,
        np.array(times),
        np.array(prompt),
        np.array(output),
        np.full(len(times), slowness),
        np.random.default_rng(0),
    )


def test_a_request_alone_takes_its_tokens_times_the_pace_of_one() -> None:
    found = served([0.0], [100], [50])
    pace = 10.0 * (1 + 1 / 4)
    assert found.first_token_ms[0] == pytest.approx(2 * pace)
    assert found.latency_ms[0] == pytest.approx(51 * pace)


def test_requests_in_flight_slow_each_other_down() -> None:
    found = served([0.0, 0.0], [100, 100], [50, 50])
    assert found.latency_ms == pytest.approx([51 * 10.0 * (1 + 2 / 4)] * 2)
    assert found.in_flight.tolist() == [0, 1]


def test_what_the_batch_cannot_take_waits() -> None:
    found = served([0.0, 0.0, 0.0], [100] * 3, [50] * 3)
    assert found.in_flight.tolist() == [0, 1, 2]
    assert found.first_token_ms[2] > found.latency_ms[0]


def test_a_slower_server_multiplies_the_latency_of_a_request_alone() -> None:
    usual, slow = served([0.0], [100], [50]), served([0.0], [100], [50], slowness=1.2)
    assert slow.latency_ms[0] == pytest.approx(1.2 * usual.latency_ms[0])


def test_latency_rises_with_load() -> None:
    rng = np.random.default_rng(4)
    means = []
    for per_second in (0.2, 1.0):
        times = np.cumsum(rng.exponential(1 / per_second, 3_000))
        found = serve(
            Server(), times, np.full(3_000, 500), np.full(3_000, 100), np.ones(3_000), rng
        )
        means.append(float(found.latency_ms.mean()))
    assert means[1] > 1.1 * means[0]
