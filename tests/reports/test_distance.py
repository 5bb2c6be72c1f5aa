from __future__ import annotations

import numpy as np
import pytest

from tidegauge.reports.distance import by_chance, distance
from tidegauge.reports.rows import Row, tables

TESTS = 36


@pytest.mark.parametrize("categories", [2, 6, 200])
def test_samples_of_the_same_traffic_stay_within_chance(categories: int) -> None:
    rng = np.random.default_rng(categories)
    for n, m in ((60, 400), (3_000, 3_001)):
        for _ in range(40):
            numbers = [rng.lognormal(size=size).tolist() for size in (n, m)]
            words = [[str(k) for k in rng.integers(0, categories, size)] for size in (n, m)]
            assert distance(*numbers) <= by_chance(*numbers, tests=TESTS)
            assert distance(*words) <= by_chance(*words, tests=TESTS)


def test_what_has_changed_lies_beyond_it() -> None:
    rng = np.random.default_rng(1)
    numbers = [rng.normal(mean, 1, 400).tolist() for mean in (0, 0.6)]
    words = [list(rng.choice(["a", "b"], 400, p=p).tolist()) for p in ((0.9, 0.1), (0.6, 0.4))]
    assert distance(*numbers) > by_chance(*numbers, tests=TESTS)
    assert distance(*words) > by_chance(*words, tests=TESTS)


def test_a_changed_column_comes_before_one_of_many_rare_values() -> None:
    rng = np.random.default_rng(2)

    def rows(errors: float) -> list[Row]:
        return [
            {
                "customer": str(rng.integers(0, 300)),
                "error": "timeout" if rng.random() < errors else "none",
            }
            for _ in range(400)
        ]

    found = tables(rows(0.05), rows(0.35))
    assert [column.name for column in found.columns] == ["error", "customer"]
    error, customer = found.distances
    assert error < customer, "its many values alone take it further apart"
    assert error > found.by_chance[0]
    assert customer <= found.by_chance[1]
