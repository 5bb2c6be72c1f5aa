from __future__ import annotations

from collections import Counter

import pytest

from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.units import (
    NotCounted,
    Unit,
    beginning_of,
    conversation_of,
    counted_turn,
    join_openings,
    unit_at,
    unit_of,
)
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import Message, RequestEvent


def event(*roles: str, **fields: object) -> RequestEvent:
    given: dict[str, object] = {
        "request_id": "r1",
        "producer_id": "gateway-1",
        "sequence": 1,
        "time_ms": 1,
        "segment": Segment(model="m"),
        "customer": "acme",
        "messages": tuple(Message(role=role, content="…") for role in roles),
    }
    return RequestEvent(**(given | fields))  # type: ignore[arg-type]


def test_half_of_the_conversations_are_counted_at_turn_2_and_so_on() -> None:
    turns = Counter(counted_turn(f"acme\0{number}") for number in range(64_000))
    expected = {turn: 64_000 / 2 ** (turn - 1) for turn in range(2, 8)} | {8: 64_000 / 2**6}
    assert turns.keys() == expected.keys()
    for turn, number in expected.items():
        assert abs(turns[turn] - number) < 4 * number**0.5


def test_a_conversation_is_counted_once_as_each_kind() -> None:
    for number in range(200):
        units = [unit_at(turn, f"c{number}") for turn in range(1, 21)]
        assert units[0] is Unit.OPENING
        assert units.count(Unit.FOLLOWUP) == 1
        assert units.count(NotCounted.LATER_TURN) == 18


def test_a_past_request_counts_as_the_same_in_the_stream() -> None:
    for number in range(50):
        for turn in range(1, 9):
            one = event("user", conversation_id=f"c{number}", turn=turn)
            past = HistoricalRequest("…", conversation_id=f"acme\0c{number}", turn=turn)
            assert unit_of(one) == past.unit


def test_conversations_of_two_customers_are_two() -> None:
    turns = {
        customer: [
            unit_of(event("user", customer=customer, conversation_id=str(number), turn=2))
            for number in range(50)
        ]
        for customer in ("acme", "globex")
    }
    assert turns["acme"] != turns["globex"]


@pytest.mark.parametrize(
    ("fields", "unit"),
    [
        ({"turn": 1}, Unit.OPENING),
        ({"turn": 1, "conversation_id": "c"}, Unit.OPENING),
        ({"turn": 1, "repeat_of": "r0"}, NotCounted.REPEAT),
        ({"turn": 1, "step": 2}, NotCounted.SAME_TURN),
        ({"turn": 1, "messages": (Message(role="tool", content="4"),)}, NotCounted.SAME_TURN),
        ({"turn": 3}, NotCounted.NO_CONVERSATION),
        ({"turn": 40, "conversation_id": "c"}, NotCounted.LATER_TURN),
    ],
)
def test_the_place_that_a_producer_gives_decides(
    fields: dict[str, object], unit: Unit | NotCounted
) -> None:
    assert unit_of(event("user", **fields)) == unit


@pytest.mark.parametrize(
    ("roles", "unit"),
    [
        (("user",), Unit.OPENING),
        (("system", "user"), Unit.OPENING),
        (("user", "user"), Unit.OPENING),
        (("system", "user", "system"), Unit.OPENING),
        (("system",), Unit.OPENING),
        (("user", "assistant", "user"), NotCounted.NO_CONVERSATION),
        (("assistant", "user"), NotCounted.NO_CONVERSATION),
        (("user", "assistant", "tool"), NotCounted.SAME_TURN),
        (("user", "assistant"), NotCounted.SAME_TURN),
    ],
)
def test_without_a_turn_the_messages_decide(
    roles: tuple[str, ...], unit: Unit | NotCounted
) -> None:
    assert unit_of(event(*roles)) == unit


def test_without_a_turn_the_users_turns_are_counted() -> None:
    turns = ("system", *("user", "user", "assistant") * 9)
    units = [unit_of(event(*turns[: 3 * turn], conversation_id="c")) for turn in range(1, 10)]
    assert units[0] is Unit.OPENING
    assert units.index(Unit.FOLLOWUP) + 1 == counted_turn("acme\0c")
    assert units.count(Unit.FOLLOWUP) == 1


def asking(*texts: str, **fields: object) -> RequestEvent:
    """Return a request of a conversation in which the user has said these texts."""
    messages = [Message(role="user", content=texts[0])]
    for text in texts[1:]:
        messages += [Message(role="assistant", content="…"), Message(role="user", content=text)]
    return event(messages=tuple(messages), turn=len(texts), **fields)


def test_an_opening_without_an_id_has_that_of_the_follow_up_that_begins_with_it() -> None:
    events = [
        asking("high tide?"),
        asking("hi"),
        asking("hi"),
        asking("hi", customer="globex"),
        asking("low tide?", conversation_id="named"),
        asking("hi", "and now?", conversation_id="second"),
        asking("high tide?", "and low?", conversation_id="first"),
        asking("low tide?", "and high?", conversation_id="named"),
        asking("and so on", "and on", conversation_id="before"),
    ]
    units = [Unit.OPENING if one.turn == 1 else Unit.FOLLOWUP for one in events]
    found = join_openings(
        units, [conversation_of(one) for one in events], [beginning_of(one) for one in events]
    )
    names = ["first", "second", None, None, "named", "second", "first", "named", "before"]
    assert found == [None if name is None else f"acme\0{name}" for name in names]
