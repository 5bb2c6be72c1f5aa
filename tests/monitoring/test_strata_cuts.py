"""Edges by stratum: what they bound, and that a change of the mix of loads moves no rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.detection.indicators import StratifiedTail, Tail, count, count_unseen
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.rate_references import latency_reference
from tidegauge.monitoring.strata_cuts import (
    edges,
    group_strata,
    known_strata,
    quantile_bucket,
)
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Histogram, Sketch
from tidegauge.schemas.strata import LOADS, LoadStratum, class_of
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import merge_sketches

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

SEGMENT = Segment(model="m", version="v1", route="/chat")


def at_load(rng: np.random.Generator, load: int, n: int, slower: float = 1.0) -> Histogram:
    """Draw latencies that grow with the requests in flight, as those of a batching server do."""
    numbers = slower * (200 + 25 * load) * rng.lognormal(0, 0.2, n)
    return histogram.add(histogram.empty(), numbers.tolist())


def window(traffic: Traffic, index: int, loads: dict[int, int], slower: float = 1.0) -> Sketch:
    """Make a sketch of so many answers at each load."""
    strata: dict[str, Histogram] = {}
    for load, n in loads.items():
        name = LoadStratum(class_of(load, LOADS), 0, 1, 1).name
        found = at_load(traffic.rng, load, n, slower)
        strata[name] = histogram.merge(strata[name], found) if name in strata else found
    empty = traffic.writers["vitals"].sketch(index, events=sum(loads.values()))
    whole = histogram.empty()
    for values in strata.values():
        whole = histogram.merge(whole, values)
    return msgspec.structs.replace(
        empty,
        strata={measures.LATENCY_MS: strata},
        histograms={measures.LATENCY_MS: whole},
    )


def reference_of(traffic: Traffic, loads: dict[int, int], windows: int = 60) -> Reference:
    found = latency_reference(
        measures.LATENCY_MS,
        "latency",
        SEGMENT,
        [window(traffic, index, loads) for index in range(windows)],
        "UTC",
    )
    assert isinstance(found, Reference)
    return found


def test_each_group_has_at_most_the_nominal_share_beyond_its_edge() -> None:
    rng = np.random.default_rng(1)
    by_stratum = {LoadStratum(load, 0, 1, 1).name: at_load(rng, 8 * load, 400) for load in range(6)}
    groups = group_strata(by_stratum)
    assert len(groups) == 6
    found = edges(groups, 0.75)
    assert found is not None
    for stratum, bucket in found.items():
        future = at_load(rng, 8 * stratum.load, 20_000)
        assert 0.15 < histogram.split(future, bucket)[1] / 20_000 <= 0.25


def test_strata_that_are_alike_stay_together() -> None:
    rng = np.random.default_rng(2)
    by_stratum = {LoadStratum(load, 0, 1, 1).name: at_load(rng, 5, 400) for load in range(6)}
    assert len(group_strata(by_stratum)) <= 2


def test_a_small_baseline_is_one_group() -> None:
    rng = np.random.default_rng(3)
    by_stratum = {LoadStratum(load, 0, 1, 1).name: at_load(rng, 8 * load, 40) for load in range(6)}
    (group,) = group_strata(by_stratum)
    assert len(group.strata) == 6


def test_known_strata_are_those_that_a_few_events_were_as_heavy_as() -> None:
    def events(n: int) -> Histogram:
        return histogram.add(histogram.empty(), [1.0] * n)

    known = known_strata(
        {"3/1/2/1": events(9), "5/0/2/1": events(4), "9/0/2/1": events(1), "-1/0/2/1": events(5)}
    )
    assert known[LoadStratum(3, 1, 2, 1)] == LoadStratum(3, 1, 2, 1)
    assert known[LoadStratum(2, 1, 1, 1)] == LoadStratum(3, 1, 2, 1)
    assert known[LoadStratum(4, 0, 0, 1)] == LoadStratum(5, 0, 2, 1)
    assert known[LoadStratum(-1, 0, 1, 1)] == LoadStratum(-1, 0, 2, 1)
    for unknown in (LoadStratum(9, 0, 2, 1), LoadStratum(6, 0, 2, 1), LoadStratum(3, 1, 2, 0)):
        assert unknown not in known


def test_more_load_alone_moves_no_rate_and_one_edge_for_all_would(traffic: Traffic) -> None:
    reference = reference_of(traffic, {2: 20, 10: 8, 40: 8})
    busier = [window(traffic, 100 + index, {2: 2, 10: 8, 40: 30}) for index in range(60)]
    for indicator, high in zip(reference.indicators, reference.high, strict=True):
        hits, trials = np.sum([count(indicator, sketch) for sketch in busier], axis=0)
        assert hits / trials <= high
    past = [window(traffic, index, {2: 20, 10: 8, 40: 8}) for index in range(60)]
    whole = histogram.empty()
    for sketch in past:
        whole = histogram.merge(whole, sketch.histograms[measures.LATENCY_MS])
    for indicator, level in zip(reference.indicators, (0.5, 0.75, 0.9), strict=False):
        bucket = quantile_bucket(whole, level)
        common = Tail(measures.LATENCY_MS, bucket, "above")
        plain = type(indicator)(name="", title="", family="", counter=common)
        hits, trials = np.sum([count(plain, sketch) for sketch in busier], axis=0)
        assert hits / trials > 1.5 * (1 - level)


def test_a_slower_service_moves_the_rates_at_any_load(traffic: Traffic) -> None:
    reference = reference_of(traffic, {2: 20, 10: 8, 40: 8})
    slower = [window(traffic, 100 + i, {10: 8, 40: 8}, slower=1.2) for i in range(60)]
    for indicator, high in zip(reference.indicators, reference.high, strict=True):
        hits, trials = np.sum([count(indicator, sketch) for sketch in slower], axis=0)
        assert hits / trials > 1.15 * high


def test_load_that_was_never_seen_is_no_trial(traffic: Traffic) -> None:
    reference = reference_of(traffic, {2: 20, 10: 8})
    sketch = merge_sketches(
        window(traffic, 100, {2: 30}), window(traffic, 101, {100: 10}, slower=3.0)
    )
    counter = reference.indicators[0].counter
    assert isinstance(counter, StratifiedTail)
    assert count(reference.indicators[0], sketch)[1] == 30
    assert count_unseen(counter, sketch) == (10, 40)


@pytest.mark.parametrize(("n", "names"), [(42, ["p50", "p75"]), (60, ["p50", "p75", "p90"])])
def test_a_quantile_that_cannot_be_bounded_is_left_out(
    traffic: Traffic, n: int, names: list[str]
) -> None:
    reference = reference_of(traffic, {2: 1}, windows=n)
    assert [indicator.family for indicator in reference.indicators] == names
    assert sum(reference.weights) == pytest.approx(1)
