from __future__ import annotations

import pytest

from tidegauge.drift.preparation import Preparation, Selection, prepare
from tidegauge.schemas.exchange import Message

TALK = (
    Message(role="system", content="be brief"),
    Message(role="user", content="first"),
    Message(role="assistant", content="answer"),
    Message(role="user", content="  second\n question "),
)


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ("last_user", "second question"),
        ("system", "be brief"),
        ("conversation", "system: be brief user: first assistant: answer user: second question"),
    ],
)
def test_what_is_embedded_is_a_setting(selection: Selection, text: str) -> None:
    assert prepare(TALK, Preparation(selection=selection)).text == text


def test_without_such_a_message_there_is_nothing_to_embed() -> None:
    assert prepare((Message(role="assistant", content="hi"),), Preparation()).text == ""
    assert prepare((), Preparation()).text == ""


def test_an_enormous_prompt_is_cut_and_said_to_be() -> None:
    huge = prepare((Message(role="user", content="word " * 1_000_000),), Preparation())
    assert len(huge.text) <= 4_000
    assert huge.truncated
    assert not prepare(TALK, Preparation()).truncated


def test_white_space_alone_is_nothing() -> None:
    blank = prepare((Message(role="user", content=" \n\t" * 10),), Preparation())
    assert (blank.text, blank.truncated) == ("", False)
