from __future__ import annotations

import numpy as np
import pytest

from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.simulation.conversations import Script, play, request_events, topical_scripts

SCRIPTS = [
    Script((("hello", "hi"), ("book a table", "where?"), ("here", "done")), "tables"),
    Script((("weather", "sunny"),), "weather", customer="batch"),
]


@pytest.fixture
def events() -> list[RequestEvent]:
    openings = np.array([0.0, 5.0, 10.0])
    played = play(SCRIPTS, np.array([0, 1, 0]), openings, np.random.default_rng(1))
    return list(
        request_events(played, SCRIPTS, start_ms=1_000, segment=Segment(model="m"), producer_id="g")
    )


def test_each_turn_is_one_request_in_order_of_time(events: list[RequestEvent]) -> None:
    assert len(events) == 3 + 1 + 3
    assert [one.sequence for one in events] == list(range(1, 8))
    assert [one.time_ms for one in events] == sorted(one.time_ms for one in events)


def test_a_conversation_opens_when_it_is_told_to(events: list[RequestEvent]) -> None:
    openings = [one.time_ms for one in events if one.is_opening]
    assert openings == [1_000, 6_000, 11_000]


def test_a_follow_up_carries_what_was_said_before(events: list[RequestEvent]) -> None:
    last = next(one for one in events if one.turn == 3)
    assert [message.content for message in last.messages] == [
        "hello",
        "hi",
        "book a table",
        "where?",
        "here",
    ]
    own = [one.turn for one in events if one.conversation_id == last.conversation_id]
    assert own == [1, 2, 3]


def test_conversations_on_one_topic_stay_on_it() -> None:
    topics = [("a", ["a1", "a2"]), ("b", ["b1", "b2"])]
    made = topical_scripts(topics, np.array([3.0, 1.0]), 400, np.random.default_rng(2))
    assert all({asked[0] for asked, _ in one.turns} == {one.topic} for one in made)
    assert all(5 <= len(one.turns) <= 20 for one in made)
    assert sum(one.topic == "a" for one in made) == pytest.approx(300, abs=40)
