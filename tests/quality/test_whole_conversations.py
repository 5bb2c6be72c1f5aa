"""Conversations are drawn by their id, end once, and are put together from their exchanges."""

from __future__ import annotations

from typing import Any

import pytest

from tidegauge.quality.errors import SamplingError
from tidegauge.quality.whole_conversations import (
    NO_ANSWER,
    ConversationRule,
    OpenConversations,
    assembled,
    is_whole,
)
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import ErrorKind, Message, ResponseEvent

MINUTE = 60_000
RULE = ConversationRule(salt="s", rate=1.0, idle_ms=30 * MINUTE, most_turns=4)


def messages(*said: str) -> tuple[Message, ...]:
    """Return messages by turns: the first is the user's."""
    roles = ("user", "assistant")
    return tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(said))


def exchange(turn: int | None, *said: str, answer: str = "Yes.", **changes: Any) -> ResponseEvent:  # noqa: ANN401 - any field
    fields: dict[str, Any] = {
        "request_id": f"r{turn}",
        "producer_id": "gateway",
        "sequence": turn or 1,
        "time_ms": MINUTE * (turn or 1),
        "segment": Segment(model="m"),
        "customer": "acme",
        "status": 200,
        "latency_ms": 1.0,
        "messages": messages(*said),
        "output": answer,
        "conversation_id": "thread",
        "turn": turn,
    }
    return ResponseEvent(**{**fields, **changes})


FIRST = exchange(1, "A table, please.", answer="When?")
SECOND = exchange(2, "A table, please.", "When?", "At eight.", answer="Done.")


def followed(*events: ResponseEvent, rule: ConversationRule = RULE) -> OpenConversations:
    found = OpenConversations(rule)
    for offset, event in enumerate(events):
        found.add(event, offset)
    return found


def test_a_conversation_ends_when_nothing_follows_for_long_enough() -> None:
    found = followed(FIRST, SECOND)
    assert not found.ended(SECOND.time_ms + RULE.idle_ms - 1, 9)
    (ended,) = found.ended(SECOND.time_ms + RULE.idle_ms, 9)
    assert (ended.offsets, ended.turns, ended.censored) == ((1,), 2, False)


def test_one_exchange_is_no_conversation() -> None:
    found = followed(FIRST)
    assert not found.ended(10 * RULE.idle_ms, 9)
    assert found.state() == OpenConversations(RULE).state()


def test_a_conversation_counts_once() -> None:
    found = followed(FIRST, SECOND)
    found.remove(found.ended(10 * RULE.idle_ms, 9))
    later = exchange(3, "A table, please.", "When?", "At eight.", "Done.", "And wine.")
    assert found.add(later, 2) == {"conversations/resumed": 1}
    assert not found.ended(99 * RULE.idle_ms, 9)


def test_a_long_conversation_is_judged_as_it_stands_and_said_to_be_censored() -> None:
    said = ["a", "b", "c", "d", "e", "f", "g"]
    found = followed(*(exchange(turn, *said[: 2 * turn - 1]) for turn in range(1, 5)))
    (ended,) = found.ended(0, 9)
    assert (ended.turns, ended.censored) == (4, True)


def test_all_exchanges_of_a_conversation_have_the_same_draw() -> None:
    rule = ConversationRule(salt="s", rate=0.2)
    names = [f"thread-{number}" for number in range(400)]
    drawn = [name for name in names if rule.draws("acme", name)]
    assert 50 <= len(drawn) <= 110
    counted = [
        followed(
            exchange(1, "a", conversation_id=name),
            exchange(2, "a", "b", "c", conversation_id=name),
            rule=rule,
        ).ended(10 * rule.idle_ms, 9)
        for name in names
    ]
    assert [name for name, ended in zip(names, counted, strict=True) if ended] == drawn


def test_the_state_goes_on_and_holds_no_text() -> None:
    found = followed(FIRST, SECOND)
    state = found.state()
    assert b"table" not in state
    assert b"thread" not in state
    again = OpenConversations(RULE, state)
    assert again.ended(10 * RULE.idle_ms, 9) == found.ended(10 * RULE.idle_ms, 9)
    assert not OpenConversations(RULE, b"\x01junk").ended(10 * RULE.idle_ms, 9)


def test_shadow_answers_and_unknown_conversations_are_left_out() -> None:
    shadow, unknown = (
        exchange(2, "a", "b", "c", shadow=True),
        exchange(2, "a", "b", "c", conversation_id=None),
    )
    assert not followed(shadow, unknown).ended(10 * RULE.idle_ms, 9)


def test_a_client_without_history_has_all_its_exchanges_kept() -> None:
    alone = [exchange(turn, text) for turn, text in enumerate(("a", "b", "c"), start=1)]
    (ended,) = followed(*alone).ended(10 * RULE.idle_ms, 9)
    assert ended.offsets == (0, 1, 2)
    found = assembled(alone)
    assert [message.content for message in found.messages] == ["a", "Yes.", "b", "Yes.", "c"]
    assert is_whole(found)


@pytest.mark.parametrize(
    "last",
    [
        exchange(3, "a", "1", "b", "2", "c"),
        exchange(3, "b", "2", "c"),
        exchange(3, "c"),
    ],
)
def test_exchanges_are_joined_whatever_they_repeat(last: ResponseEvent) -> None:
    before = [exchange(1, "a", answer="1"), exchange(2, "a", "1", "b", answer="2")]
    found = assembled([*before, last])
    assert [message.content for message in found.messages] == ["a", "1", "b", "2", "c"]


def test_an_edited_message_replaces_what_followed_it() -> None:
    before = exchange(2, "a", "1", "b", answer="2")
    found = assembled([before, exchange(2, "a", "1", "other")])
    assert [message.content for message in found.messages] == ["a", "1", "other"]


def test_a_conversation_without_its_beginning_is_known_as_such() -> None:
    assert not is_whole(assembled([exchange(3, "c"), exchange(4, "d")]))


def test_a_last_exchange_that_failed_is_shown_as_such() -> None:
    failed = exchange(
        2, "a", "b", "c", answer="", error=ErrorKind.UPSTREAM_TIMEOUT, status=504, output=None
    )
    assert assembled([failed]).output == NO_ANSWER


def test_a_share_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(SamplingError, match=r"\(0, 1\]"):
        ConversationRule(salt="s", rate=0.0)


def test_the_exchanges_of_a_conversation_meet_in_one_partition() -> None:
    assert FIRST.key != SECOND.key
    groups = [each.key.rpartition("\n")[0] for each in (FIRST, SECOND)]
    assert groups == ["thread", "thread"]
    derived = exchange(1, "Hi", conversation_id="derived-1")
    assert derived.key == derived.request_id
    assert exchange(2, "Hi", "Yes.", "So?", conversation_id="derived-1").key.startswith(
        "derived-1\n"
    )
