from __future__ import annotations

import msgspec
from tests.monitoring.conftest import Writer

from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.monitoring.trends import TOPIC_SLOT_MS, TopicHistory, TopicTrend
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch

SEGMENT = Segment(model="m", route="/chat")


def topics() -> tuple[Indicator, ...]:
    names = ("cluster/1", "cluster/2", "novelty/above_0.99")
    return tuple(
        Indicator(name=name, title=f"topic {name}", family="topics", counter=Hits(name))
        for name in names
    )


def window(
    time_ms: int, hits: dict[str, int], *, baseline: str = "b", segment: Segment = SEGMENT
) -> Sketch:
    made = Writer("drift").sketch(0, segment=segment, hits=hits, trials=dict.fromkeys(hits, 50))
    return msgspec.structs.replace(made, window_start_ms=time_ms, baseline=baseline)


def test_windows_add_up_to_hours() -> None:
    history = TopicHistory()
    for minute in range(0, 120, 10):
        history.add(window(minute * 60_000, {"cluster/1": 5, "cluster/2": 0}), topics)
    found = history.state()[SEGMENT.key]
    assert found.titles == {"cluster/1": "topic cluster/1", "cluster/2": "topic cluster/2"}
    assert [(slot.time_ms, slot.requests, slot.hits) for slot in found.slots] == [
        (0, 300, {"cluster/1": 30}),
        (TOPIC_SLOT_MS, 300, {"cluster/1": 30}),
    ]


def test_another_baseline_has_other_topics() -> None:
    history = TopicHistory()
    history.add(window(0, {"cluster/1": 5}), topics)
    history.add(window(TOPIC_SLOT_MS, {"cluster/1": 7}, baseline="c"), topics)
    found = history.state()[SEGMENT.key]
    assert found.baseline == "c"
    assert [slot.hits for slot in found.slots] == [{"cluster/1": 7}]


def test_without_a_baseline_nothing_is_kept() -> None:
    history = TopicHistory()
    history.add(window(0, {"cluster/1": 5}), tuple)
    assert history.state() == {}


def test_three_days_of_some_segments_are_kept() -> None:
    history = TopicHistory()
    for hour in range(100):
        history.add(window(hour * TOPIC_SLOT_MS, {"cluster/1": 1}), topics)
    assert len(history.state()[SEGMENT.key].slots) == 72
    for number in range(20):
        other = Segment(model=f"m{number}")
        history.add(window(0, {"cluster/1": 1}, segment=other), topics)
    assert len(history.state()) == 16
    assert SEGMENT.key not in history.state()


def test_a_restart_goes_on_with_the_hour() -> None:
    history = TopicHistory()
    history.add(window(0, {"cluster/1": 5}), topics)
    kept = msgspec.msgpack.decode(
        msgspec.msgpack.encode(history.state()), type=dict[str, TopicTrend]
    )
    again = TopicHistory(kept)
    again.add(window(600_000, {"cluster/1": 5}), topics)
    (slot,) = again.state()[SEGMENT.key].slots
    assert slot.hits == {"cluster/1": 10}
