"""What a request shows of its conversation."""

from __future__ import annotations

import pytest

from tidegauge.capture.history import (
    answer_mark,
    derived_id,
    given_id,
    id_in_metadata,
    read_history,
)
from tidegauge.schemas.exchange import DERIVED_CONVERSATION, Message

CALL = '[{"id": "call_7", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]'
LONG = "High tide is at noon. " * 10


def said(*roles: str) -> list[Message]:
    """Messages of these roles; ``call`` is an answer that calls a tool, ``long`` a long answer."""
    made = {
        "call": Message(role="assistant", tool_calls=CALL),
        "long": Message(role="assistant", content=LONG),
    }
    return [made.get(role) or Message(role=role, content=f"{role} {role}") for role in roles]


@pytest.mark.parametrize(
    ("roles", "turn", "step"),
    [
        (["user"], 1, 1),
        (["system", "user"], 1, 1),
        (["developer", "user"], 1, 1),
        (["system", "system", "user", "system"], 1, 1),
        (["user", "user"], 1, 1),
        (["system", "user", "user", "user"], 1, 1),
        (["user", "assistant", "user"], 2, 1),
        (["system", "user", "assistant", "system", "user"], 2, 1),
        (["user", "assistant", "user", "user", "assistant", "user"], 3, 1),
        (["user", "call", "tool"], 1, 2),
        (["user", "call", "tool", "tool", "call", "tool"], 1, 3),
        (["user", "call", "call", "tool", "tool"], 1, 2),
        (["user", "call", "tool", "assistant", "user"], 2, 1),
        (["user", "call", "tool", "assistant", "user", "call", "function"], 2, 2),
        (["assistant", "user"], 1, 1),
        (["system", "assistant", "user"], 1, 1),
        (["user", "assistant"], 1, 1),
        (["user", "long"], 1, 2),
        (["user", "assistant", "user", "assistant"], 2, 1),
        (["tool"], 0, 1),
        (["system"], 0, 1),
        ([], 0, 1),
    ],
)
def test_turn_and_step(roles: list[str], turn: int, step: int) -> None:
    history = read_history(said(*roles))
    assert (history.turn, history.step) == (turn, step)


def test_what_lies_before_the_start_is_no_history() -> None:
    messages = said("system", "user", "assistant", "user", "assistant", "user")
    assert read_history(messages, 5)[:2] == (1, 1)
    assert read_history(messages, 3)[:2] == (2, 1)


def test_an_answer_is_recognised_as_clients_send_it_back() -> None:
    assert answer_mark(" At noon.\n", None) == answer_mark("At noon.", None)
    assert answer_mark(None, CALL) == answer_mark("", CALL.replace(" ", "")) == "call_7"


def test_an_id_depends_on_secret_caller_question_and_answer() -> None:
    question = said("user")
    ids = {
        derived_id(b"", "acme", question, "At noon."),
        derived_id(b"secret", "acme", question, "At noon."),
        derived_id(b"secret", "other", question, "At noon."),
        derived_id(b"secret", "acme", said("long"), "At noon."),
        derived_id(b"secret", "acme", question, "At one."),
        derived_id(b"s" * 200, "acme", question, "At one."),
    }
    assert len(ids) == 6
    assert all(one.startswith(DERIVED_CONVERSATION) for one in ids)
    same = derived_id(b"secret", "acme", question, "At noon.")
    assert same in ids


def test_of_many_messages_the_first_the_last_and_their_number_count() -> None:
    texts = [str(number) for number in range(1000)]
    asked = [texts, texts[1:], texts[:-1], [*texts[:500], "x", *texts[501:]]]
    ids = [
        derived_id(b"", "acme", [Message(role="user", content=text) for text in each], "")
        for each in asked
    ]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]


def test_long_texts_that_differ_at_their_ends_or_in_length_differ() -> None:
    texts = ["a" * 5000, "b" + "a" * 4999, "a" * 4999 + "b", "a" * 5001]
    ids = {derived_id(b"", "acme", [Message(role="user", content=text)], "") for text in texts}
    assert len(ids) == 4


def test_texts_that_are_no_unicode_have_an_id() -> None:
    assert derived_id(b"", "acme", [Message(role="user", content="\ud800")], "x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("thread-7", "thread-7"),
        (7, "7"),
        ("", None),
        ("undefined", None),
        ("NULL", None),
        (None, None),
        (True, None),
        (7.5, None),
        ({"id": "x"}, None),
    ],
)
def test_ids_as_clients_give_them(value: object, expected: str | None) -> None:
    assert given_id(value) == expected


@pytest.mark.parametrize("value", ["mit Leerzeichen", "ü", "x" * 129, "derived-1"])
def test_an_id_that_cannot_be_shown_is_hashed(value: str) -> None:
    hashed = given_id(value)
    assert hashed is not None
    assert hashed.startswith("hashed-")
    assert len(hashed) < 128
    assert given_id(value) == hashed != given_id(value + "y")


def test_the_most_particular_name_in_the_metadata_counts() -> None:
    assert id_in_metadata({"session_id": "s", "conversation_id": "c"}) == "c"
    assert id_in_metadata({"session_id": "s", "thread_id": None}) == "s"
    for nothing in ({}, None, {"user_id": "u"}, "conversation_id", ["conversation_id"]):
        assert id_in_metadata(nothing) is None
