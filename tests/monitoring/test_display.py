from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.display import Display
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Exemplar, Sampled

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

DISPLAY_RANGE_MS = 24_000


def test_the_window_forgets_and_the_total_does_not(traffic: Traffic) -> None:
    display = Display(traffic.window_ms, DISPLAY_RANGE_MS)
    for window in range(100):
        display.add(traffic.vitals(window, 5))
    (view,) = display.views()
    assert view.total["vitals"].events == 500
    assert view.display_range["vitals"].events == 5 * DISPLAY_RANGE_MS // traffic.window_ms
    assert len(view.trend) == 12
    assert sum(point.requests for point in view.trend) == view.display_range["vitals"].events
    assert (view.first_ms, view.last_ms) == (traffic.start_of(0), traffic.start_of(100))


def test_a_segment_that_is_gone_leaves_the_window(traffic: Traffic) -> None:
    display = Display(traffic.window_ms, DISPLAY_RANGE_MS)
    display.add(traffic.vitals(0, 5))
    for window in range(20, 40):
        display.add(traffic.vitals(window, 5, version=2))
    first, second = display.views()
    assert first.display_range == {}
    assert first.total["vitals"].events == 5
    assert second.segment == traffic.version(2)


def test_trends_have_the_numbers_of_both_workers(traffic: Traffic) -> None:
    display = Display(traffic.window_ms, DISPLAY_RANGE_MS)
    display.add(traffic.vitals(0, 50))
    quality = traffic.quality(0, 50)
    moments = quality.moments[measures.score(traffic.judge, "fluency")]
    weighted = measures.weighted(traffic.judge, "fluency")
    display.add(msgspec.structs.replace(quality, moments={**quality.moments, weighted: moments}))
    (point,) = display.views()[0].trend
    assert point.requests == 50
    assert point.latency_p50_ms is not None
    assert point.latency_p95_ms is not None
    assert point.latency_p50_ms < point.latency_p95_ms
    assert point.first_token_p95_ms is None
    assert point.scores[f"{traffic.judge}/fluency"] == pytest.approx(-1, abs=0.3)
    assert point.cost_usd > 0


def test_indicators_of_a_new_baseline_begin_anew(traffic: Traffic) -> None:
    display, writer = Display(traffic.window_ms, DISPLAY_RANGE_MS), traffic.writers["drift"]
    display.add(writer.sketch(0, events=3, hits={"cluster/0": 3}, baseline="a"))
    display.add(writer.sketch(1, events=2, hits={"cluster/9": 2}, baseline="b"))
    (view,) = display.views()
    assert view.total["drift"].hits == view.display_range["drift"].hits == {"cluster/9": 2}


def test_exemplars_come_from_the_window(traffic: Traffic) -> None:
    display, writer = Display(traffic.window_ms, DISPLAY_RANGE_MS), traffic.writers["drift"]

    def shown(number: int) -> dict[str, tuple[Exemplar, ...]]:
        exemplar = Exemplar(request_id=f"r{number}", rank=0.5, text="?", customer="c")
        return {"cluster/0": (exemplar,)}

    for window in (0, 50):
        sketch = writer.sketch(window, events=1)
        display.add(msgspec.structs.replace(sketch, exemplars=shown(window)))
    found = display.exemplars("drift", display.segments()[0].of_all_versions, "cluster/0")
    assert [exemplar.request_id for exemplar in found] == ["r50"]


def test_a_sample_is_of_the_windows_stretches_since_a_moment(traffic: Traffic) -> None:
    display, writer = Display(traffic.window_ms, DISPLAY_RANGE_MS), traffic.writers["drift"]
    for window in (0, 45, 48, 50):
        for version in (1, 2):
            sketch = writer.sketch(window, events=1, segment=traffic.version(version))
            found = Sampled(1_000 * version - window, f"c{version}", ("embedded",))
            display.add(msgspec.structs.replace(sketch, sample=(found,)))
    watched = traffic.version(1).of_all_versions
    everything = display.sample("drift", watched, 0)
    assert {one.rank for one in everything} == {950, 952, 955, 1950, 1952, 1955}
    since = display.sample("drift", watched, traffic.start_of(48))
    assert {one.rank for one in since} == {950, 952, 1950, 1952}
    assert display.sample("drift", watched, traffic.start_of(51)) == ()
    assert all(view.total["drift"].sample == () for view in display.views())


def test_state_is_plain_data_and_goes_on(traffic: Traffic) -> None:
    display = Display(traffic.window_ms, DISPLAY_RANGE_MS)
    for window in range(30):
        display.add(traffic.vitals(window, 5))
        display.add(traffic.quality(window, 5))
    data = msgspec.msgpack.encode(display.state())
    state = msgspec.msgpack.decode(data, type=type(display.state()))
    restored = Display(traffic.window_ms, DISPLAY_RANGE_MS, state)
    more = traffic.vitals(30, 5)
    display.add(more)
    restored.add(more)
    assert restored.views() == display.views()
    assert msgspec.msgpack.encode(restored.state()) == msgspec.msgpack.encode(display.state())
