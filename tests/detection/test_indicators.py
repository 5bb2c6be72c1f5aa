from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from tidegauge.detection.indicators import (
    Hits,
    Indicator,
    StratifiedTail,
    Tail,
    count,
    count_all,
    count_asked,
    count_unseen,
    count_windows,
)
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch, SourceRange
from tidegauge.streaming import histogram


def sketch(**fields: object) -> Sketch:
    given: dict[str, object] = {
        "kind": "vitals",
        "producer_id": "vitals/responses.v1-0",
        "sequence": 1,
        "segment": Segment(model="m"),
        "window_start_ms": 0,
        "window_ms": 10_000,
        "source": SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=9),
        "events": 10,
    }
    return Sketch(**(given | fields))  # type: ignore[arg-type]


def indicator(counter: Hits | Tail | StratifiedTail) -> Indicator:
    return Indicator(name="x", title="x", family="f", counter=counter)


def test_hits_are_of_all_events_unless_trials_say_otherwise() -> None:
    found = sketch(hits={"a": 3, "b": 2}, trials={"b": 4})
    assert count(indicator(Hits("a")), found) == (3, 10)
    assert count(indicator(Hits("b")), found) == (2, 4)
    assert count(indicator(Hits("absent")), found) == (0, 10)


def test_hits_may_be_of_those_events_that_another_indicator_held_for() -> None:
    found = sketch(hits={"a": 3, "embedded": 7})
    assert count(indicator(Hits("a", of="embedded")), found) == (3, 7)
    assert count(indicator(Hits("a", of="absent")), sketch()) == (0, 0)


@pytest.mark.parametrize(
    ("values", "threshold", "above", "below"),
    [
        ([100.0, 200.0, 300.0, 400.0], 250.0, 2, 2),
        ([-4.0, -3.0, -2.0, 0.0, 1.0], -2.5, 3, 2),
        ([-1.0, 0.0, 0.0, 1.0], 0.0, 1, 3),
    ],
)
def test_tails_split_a_histogram_at_an_edge(
    values: list[float], threshold: float, above: int, below: int
) -> None:
    found = sketch(histograms={"v": histogram.add(histogram.empty(), values)})
    bucket = histogram.bucket_of(threshold)
    assert count(indicator(Tail("v", bucket, "above")), found) == (above, len(values))
    assert count(indicator(Tail("v", bucket, "below")), found) == (below, len(values))


def test_a_number_that_was_never_seen_has_no_trials() -> None:
    assert count(indicator(Tail("v", 3, "above")), sketch()) == (0, 0)


def test_all_at_once_have_one_entry_each() -> None:
    asked = [indicator(Hits("a")), indicator(Hits("b"))]
    hits, trials = count_all(asked, sketch(kind="drift", hits={"a": 3}))
    assert (hits.tolist(), trials.tolist()) == ([3, 0], [10, 10])
    hits, trials = count_all(asked, sketch(hits={"a": 3}, trials={"a": 4}))
    assert (hits.tolist(), trials.tolist()) == ([3, 0], [4, 0])


def test_each_stratum_has_an_edge_of_its_own() -> None:
    strata = {
        "0/0/0/0": histogram.add(histogram.empty(), [90.0, 110.0]),
        "8/0/0/0": histogram.add(histogram.empty(), [190.0, 210.0, 220.0]),
        "14/0/0/0": histogram.add(histogram.empty(), [900.0]),
    }
    edges = {"0/0/0/0": histogram.bucket_of(100.0), "8/0/0/0": histogram.bucket_of(200.0)}
    counter = StratifiedTail("ms", edges, "above")
    found = sketch(strata={"ms": strata})
    assert count(indicator(counter), found) == (3, 5)
    assert count_unseen(counter, found) == (1, 6)
    assert count(indicator(StratifiedTail("ms", edges, "below")), found) == (2, 5)
    assert count(indicator(counter), sketch()) == (0, 0)


@pytest.mark.parametrize("side", ["above", "below"])
def test_many_windows_are_counted_as_each_alone(side: Literal["above", "below"]) -> None:
    rng = np.random.default_rng(5)
    found = [
        sketch(
            hits={"error": int(rng.integers(3))},
            trials={"error": 9} if rng.random() < 0.8 else {},
            histograms={"cost": histogram.add(histogram.empty(), rng.normal(size=4).tolist())},
            strata={
                "latency": {
                    name: histogram.add(histogram.empty(), rng.normal(size=3).tolist())
                    for name in ("low", "high", "unseen")
                    if rng.random() < 0.6
                }
            },
        )
        for _ in range(40)
    ]
    asked = [
        indicator(Hits("error")),
        indicator(Tail("cost", histogram.bucket_of(0.5), side)),
        indicator(StratifiedTail("latency", {"low": histogram.bucket_of(-0.5), "high": 0}, side)),
        indicator(StratifiedTail("latency", {"high": histogram.bucket_of(0.7)}, side)),
        indicator(StratifiedTail("absent", {"high": 0}, side)),
    ]
    hits, trials = count_windows(asked, found)
    alone = np.array([[count_asked(one, each) for one in asked] for each in found])
    np.testing.assert_array_equal(hits, alone[..., 0])
    np.testing.assert_array_equal(trials, alone[..., 1])
    assert hits[:, :4].any(axis=0).all()
    assert count_windows(asked, [])[0].shape == (0, 5)
