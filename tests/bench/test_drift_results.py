from __future__ import annotations

import numpy as np
import pytest

from drift_bars import bars
from drift_overview import bar_table, overview
from drift_results import OURS, DelayResult, Paths, Row, delays, rows
from tidegauge.drift.benchmark_streams import NO_CHANGE, Change

CHANGE = Change("out_of_scope", 0.1)


def _paths(slope: float, windows: int = 100) -> list[list[np.ndarray]]:
    """Return two baselines' two streams, whose statistic rises by the slope each window."""
    return [[slope * np.arange(1, windows + 1)] * 2] * 2


def _rows(theirs: Paths, ours_slope: float = 1.0) -> list[Row]:
    rng = np.random.default_rng(1)
    noise = [[rng.exponential(size=500) for _ in range(20)] for _ in range(2)]
    return rows(
        {
            OURS: DelayResult({NO_CHANGE: noise, CHANGE: _paths(ours_slope)}, 5.0),
            "a peer": DelayResult({NO_CHANGE: noise} | theirs, 7.0, note="as it comes"),
        },
        window=10,
        guaranteed_events=(100_000.0,),
        matched_events=2_000.0,
    )


def _delay(found: list[Row], system: str, threshold: str) -> Row:
    [row] = [
        row
        for row in found
        if (row["metric"], row["system"]) == ("delay", system)
        and row["threshold"].startswith(threshold)
    ]
    return row


def test_delays_are_quantiles_that_were_seen() -> None:
    paths = [[np.arange(1.0, 11.0), np.zeros(10)], [np.arange(1.0, 11.0) / 2, np.zeros(10)]]
    found = delays(paths, level=2.0, window=10)
    assert (found.least, found.median, found.most) == (20, 40, np.inf)
    assert (found.p90, found.missed, found.runs) == (np.inf, 0.5, 4)
    assert found.interval[0] <= found.median <= found.interval[1]


def test_a_guarantee_is_the_log_of_its_events() -> None:
    row = _delay(_rows({CHANGE: _paths(1.0)}), OURS, "guaranteed")
    assert row["median"] == 120  # the first window whose statistic is at least log 100,000
    assert (row["missed"], row["n"]) == (0, 4)


def test_everybody_is_compared_at_the_same_rate_of_false_alarms() -> None:
    found = _rows({CHANGE: _paths(0.25)})
    quiet = {row["system"]: row for row in found if row["metric"] == "false alarms"}
    for row in quiet.values():
        assert row["events"] >= 2_000 * row["median"]
    own, other = (_delay(found, name, "measured") for name in (OURS, "a peer"))
    assert own["ratio"] == 1
    assert other["ratio"] == pytest.approx(other["median"] / own["median"], abs=1e-3)
    assert other["ratio_interval"] == [other["ratio"], other["ratio"]]


def test_what_never_alarms_has_no_number_and_no_ratio() -> None:
    row = _delay(_rows({CHANGE: _paths(0.0)}), "a peer", "measured")
    assert (row["median"], row["p90"], row["missed"], row["ratio"]) == (None, None, 1, None)


def test_a_peer_on_fewer_streams_is_compared_on_those() -> None:
    fewer = [one[:1] for one in _paths(1.0)]
    row = _delay(_rows({CHANGE: fewer}), "a peer", "measured")
    assert (row["n"], row["ratio"]) == (2, 1)


def test_the_tables_have_a_line_for_each_threshold_and_bar() -> None:
    found = _rows({CHANGE: _paths(0.25)})
    assert overview(found).row_count == 3
    assert bar_table(bars(found)).row_count == len(bars(found)) > 0
