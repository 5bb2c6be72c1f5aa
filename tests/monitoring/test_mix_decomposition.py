from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.monitoring.errors import MonitoringError
from tidegauge.monitoring.mix_decomposition import decompose, sentence

PAIR = st.tuples(st.integers(0, 50), st.integers(1, 50)).map(lambda p: (min(p), max(p)))
COUNTS = st.dictionaries(st.integers(0, 8), PAIR, min_size=1)


@given(COUNTS, COUNTS)
def test_the_parts_add_up_to_the_change(
    before: dict[int, tuple[int, int]], after: dict[int, tuple[int, int]]
) -> None:
    mix = decompose(before, after)
    change = mix.current_rate - mix.reference_rate
    assert mix.conditional.change + mix.mix.change + mix.unknown == pytest.approx(change, abs=1e-9)
    assert sum(c.conditional for c in mix.clusters) == pytest.approx(mix.conditional.change)
    assert 0 <= mix.unknown_share <= 1 + 1e-12


def test_other_topics_at_the_same_rates_are_all_mix() -> None:
    mix = decompose({0: (10, 100), 1: (60, 100)}, {0: (1, 10), 1: (54, 90)})
    assert mix.conditional.change == pytest.approx(0)
    assert mix.mix.change == pytest.approx(mix.current_rate - mix.reference_rate)
    assert mix.clusters[0].mix > 0


def test_the_same_topics_at_other_rates_are_all_conditional() -> None:
    mix = decompose({0: (10, 100), 1: (20, 100)}, {0: (40, 100), 1: (50, 100)})
    assert (mix.conditional.change, mix.mix.change) == pytest.approx((0.3, 0))
    assert mix.conditional.low > 0


def test_topics_without_a_reference_are_left_open() -> None:
    mix = decompose({0: (10, 100)}, {0: (10, 100), 7: (90, 100)})
    assert (mix.conditional.change, mix.mix.change) == pytest.approx((0, 0))
    assert (mix.unknown, mix.unknown_share) == pytest.approx((0.4, 0.5))
    assert "50% of the requests, for +40: of these it cannot be told" in sentence(mix)


@pytest.mark.parametrize("empty", [({}, {0: (1, 2)}), ({0: (1, 2)}, {})])
def test_nothing_to_compare_is_said(empty: tuple[dict[int, tuple[int, int]], ...]) -> None:
    with pytest.raises(MonitoringError, match="no events whose topic is known"):
        decompose(*empty)


def test_intervals_cover_what_they_promise() -> None:
    rng = np.random.default_rng(8)
    shares, rates = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.5])
    moved, worse = np.array([0.3, 0.3, 0.4]), np.array([0.2, 0.3, 0.6])
    truth = {
        "conditional": float(moved @ (worse - rates)),
        "mix": float((moved - shares) @ (rates - shares @ rates)),
    }

    def draw(
        p: np.ndarray[tuple[int], np.dtype[np.float64]], r: list[float]
    ) -> dict[int, tuple[int, int]]:
        trials = rng.multinomial(400, p)
        return {k: (int(rng.binomial(n, r[k])), int(n)) for k, n in enumerate(trials) if n}

    covered = dict.fromkeys(truth, 0)
    for _ in range(300):
        mix = decompose(draw(shares, list(rates)), draw(moved, list(worse)))
        for name, value in truth.items():
            part = mix.conditional if name == "conditional" else mix.mix
            covered[name] += part.low <= value <= part.high
    assert all(number / 300 >= 0.91 for number in covered.values())
