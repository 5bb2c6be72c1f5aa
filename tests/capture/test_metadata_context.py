"""Context in a request's metadata becomes a message of what is captured."""

from __future__ import annotations

import pytest

from tidegauge.capture.metadata_context import context_in_metadata, with_context
from tidegauge.capture.text_limits import captured_messages
from tidegauge.quality.context import ContextState
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.schemas.exchange import Message

ASKED = (Message(role="system", content="Be brief."), Message(role="user", content="What is A?"))


@pytest.mark.parametrize(
    ("metadata", "texts"),
    [
        ({"context": "A is 1."}, ["A is 1."]),
        ({"context": ["A is 1.", {"page_content": "B is 2."}]}, ["A is 1.", "B is 2."]),
        ({"context": {"A": 1}}, ['{"A":1}']),
        ({"context": "  ", "user": "me"}, []),
        ({"context": None}, []),
        ("context", []),
        (None, []),
    ],
)
def test_texts_are_read_in_every_usual_form(metadata: object, texts: list[str]) -> None:
    found = context_in_metadata(metadata, ["context"])
    assert [message.content for message in found] == texts


def test_a_judge_takes_it_for_the_context_and_leaves_the_question() -> None:
    context = context_in_metadata({"context": "A is 1."}, ["context"])
    captured = with_context(captured_messages(ASKED, "full", 100), context, "full", 100)
    parts = divide(JudgedExchange(captured.messages, "1"))
    assert (parts.context, parts.question, parts.state) == (
        "A is 1.",
        "What is A?",
        ContextState.GIVEN,
    )
    assert captured.omitted == 0


def test_it_is_captured_as_the_messages_are() -> None:
    context = context_in_metadata({"context": "Write to ann@example.org. " * 9}, ["context"])
    found = with_context(captured_messages(ASKED, "redacted", 50), context, "redacted", 50)
    assert "ann@example.org" not in str(found.messages)
    assert found.omitted > 0
    nothing = captured_messages(ASKED, "none", 50)
    assert with_context(nothing, context, "none", 50) == nothing
