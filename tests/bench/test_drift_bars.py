from __future__ import annotations

import pytest

from drift_bars import Bar, bars
from drift_results import OURS, Row

PROMISED, MATCHED = "guaranteed 1 in 100,000", "measured 1 in 2,000"


def _delay(median: float | None, **more: object) -> Row:
    row: Row = {"metric": "delay", "system": OURS, "change": "out of scope 10%", "missed": 0.0}
    return row | {"median": median} | more


def _found(rows: list[Row], what: str) -> Bar:
    [bar] = [bar for bar in bars(rows) if what in bar.what]
    return bar


@pytest.mark.parametrize(("median", "met"), [(140.0, True), (150.0, False), (None, False)])
def test_a_promised_delay_has_its_limit(median: float | None, met: bool) -> None:  # noqa: FBT001
    bar = _found([_delay(median, threshold=PROMISED)], "median delay")
    assert (bar.limit, bar.found, bar.met) == (140, median, met)


def test_at_most_one_run_in_twenty_may_be_missed() -> None:
    assert _found([_delay(100.0, missed=0.05, threshold=PROMISED)], "missed").met
    assert not _found([_delay(100.0, missed=0.06, threshold=PROMISED)], "missed").met


def test_false_alarms_may_be_what_was_promised_and_three_standard_errors() -> None:
    def row(alarms: float) -> Row:
        return {
            "metric": "false alarms",
            "system": OURS,
            "change": "no change",
            "threshold": PROMISED,
            "median": alarms,
            "events": 400_000.0,
            "promised_events": 100_000.0,
        }

    assert _found([row(10.0)], "false alarms").met
    assert not _found([row(11.0)], "false alarms").met


@pytest.mark.parametrize(
    ("ratio", "median", "over", "best"),
    [(6.0, 600.0, True, True), (4.0, 400.0, False, True), (0.8, 80.0, False, False)],
)
def test_peers_are_held_against_ours(
    ratio: float,
    median: float,
    over: bool,  # noqa: FBT001
    best: bool,  # noqa: FBT001
) -> None:
    rows = [
        _delay(100.0, threshold=MATCHED, ratio=1.0),
        _delay(median, threshold=MATCHED, ratio=ratio, system="alibi-detect 1 MMD online"),
    ]
    assert _found(rows, "MMD online over").met is over
    assert _found(rows, "over the best peer").met is best


def test_a_peer_that_never_alarms_is_behind_and_one_that_alone_does_is_ahead() -> None:
    never = [
        _delay(100.0, threshold=MATCHED, ratio=1.0),
        _delay(None, threshold=MATCHED, ratio=None, system="a peer"),
    ]
    assert _found(never, "over the best peer").met
    alone = [
        _delay(None, threshold=MATCHED, ratio=1.0),
        _delay(900.0, threshold=MATCHED, ratio=None, system="a peer"),
    ]
    bar = _found(alone, "over the best peer")
    assert (bar.found, bar.met) == (None, False)


def test_costs_have_limits() -> None:
    rows = [
        {"metric": "cost beside embedding", "system": OURS, "median": 25.0},
        {"metric": "state_bytes", "system": OURS, "median": 60_000.0},
    ]
    assert [bar.met for bar in bars(rows)] == [False, True]
