from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.trends import (
    RESOLUTIONS,
    AlarmTrends,
    RatePoint,
    SegmentHistory,
    SegmentHistoryState,
)
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

MINUTE = 60_000
START_MS = 1_700_006_400_000  # a whole six hours


def minute(traffic: Traffic, number: int, latency_ms: float = 500.0) -> Sketch:
    """Return four answers of one minute."""
    sketch = traffic.writers["vitals"].sketch(
        0,
        values={measures.LATENCY_MS: [latency_ms] * 4, measures.COST_USD: [0.01] * 4},
        events=4,
        hits={measures.ERROR: 1},
        trials={measures.ERROR: 4},
    )
    return msgspec.structs.replace(
        sketch, window_start_ms=START_MS + number * MINUTE, window_ms=MINUTE
    )


def test_slots_grow_with_their_age_and_lose_no_request(traffic: Traffic) -> None:
    history = SegmentHistory()
    hours = 40
    for number in range(hours * 60):
        history.add(minute(traffic, number))
    fine, middle, coarse = history.points(traffic.version(1))
    assert [len(fine), len(middle), len(coarse)] == [72 + 1, hours, -(-hours // 6)]
    assert {point.requests for point in fine} == {20}
    assert sum(point.requests for point in middle) == 4 * 60 * hours - 20, "the open five minutes"
    assert {point.duration_ms for point in coarse} == {RESOLUTIONS[2][0]}
    assert middle[3].errors == middle[3].requests / 4
    assert middle[3].latency_p95_ms == pytest.approx(500, rel=0.02)
    assert middle[3].cost_usd == pytest.approx(2.4)


def test_responses_and_judgments_of_a_slot_are_one_point(traffic: Traffic) -> None:
    history = SegmentHistory()
    for number in range(7):
        history.add(minute(traffic, number))
    for number in range(7):
        judged = msgspec.structs.replace(
            traffic.quality(0, 5), window_start_ms=START_MS + number * MINUTE, window_ms=MINUTE
        )
        weighted = measures.weighted(traffic.judge, "fluency")
        score = judged.moments[measures.score(traffic.judge, "fluency")]
        history.add(msgspec.structs.replace(judged, moments={**judged.moments, weighted: score}))
    first, open_one = history.points(traffic.version(1))[0]
    assert first.requests == 20
    (mean,) = first.scores.values()
    assert mean < 0
    assert (open_one.requests, len(open_one.scores)) == (8, 1)


def test_it_goes_on_from_its_state(traffic: Traffic) -> None:
    whole, first = SegmentHistory(), SegmentHistory()
    for number in range(130):
        sketch = minute(traffic, number)
        whole.add(sketch)
        first.add(sketch)
        if number == 64:
            stored = msgspec.msgpack.encode(first.state())
            first = SegmentHistory(msgspec.msgpack.decode(stored, type=SegmentHistoryState))
    assert first.points(traffic.version(1)) == whole.points(traffic.version(1))
    assert msgspec.msgpack.encode(first.state()) == msgspec.msgpack.encode(whole.state())


def test_thirty_days_of_a_segment_are_small(traffic: Traffic) -> None:
    history = SegmentHistory()
    for number in range(0, 30 * 24 * 60, 5):
        history.add(minute(traffic, number))
    assert sum(len(points) for points in history.points(traffic.version(1))) <= 72 * 2 + 120 + 3
    assert len(msgspec.msgpack.encode(history.state())) < 60_000


def test_an_alarms_trend_keeps_what_was_before_and_doubles_its_slots() -> None:
    trends = AlarmTrends()
    for start in range(0, 600, 3):
        newest = [RatePoint(1_000 * n, 1, 10) for n in range(max(0, start - 12), start + 1)]
        trends.update("a", "latency/above_p95", 1_000, newest)
    found = trends.get("a")
    assert found is not None
    assert len(found.points) <= 240
    assert found.slot_ms > 1_000
    assert found.points[0].time_ms == 0
    assert found.points[-1].time_ms >= 597_000 - found.slot_ms
    assert {point.hits * 10 == point.trials for point in found.points} == {True}
    assert sum(point.trials for point in found.points) <= 5_980
    trends.keep_only([])
    assert trends.get("a") is None
