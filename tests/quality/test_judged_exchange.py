from __future__ import annotations

from typing import Any

import pytest

from tidegauge.quality.judged_exchange import JudgedExchange, SkipReason, judgeable
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import ErrorKind, Message, ResponseEvent

ASKED = (Message(role="system", content="Be kind."), Message(role="user", content="Hi?"))


def response(**changes: Any) -> ResponseEvent:  # noqa: ANN401 - any field of the event
    fields: dict[str, Any] = {
        "request_id": "r1",
        "producer_id": "g1",
        "sequence": 1,
        "time_ms": 1_000,
        "segment": Segment(model="m"),
        "customer": "acme",
        "status": 200,
        "latency_ms": 12.0,
        "messages": ASKED,
        "output": "Hello!",
        "output_characters": 6,
    }
    return ResponseEvent(**{**fields, **changes})


def test_an_answer_is_shown_with_its_conversation() -> None:
    assert judgeable(response()) == JudgedExchange(
        ASKED, "Hello!", segment=Segment(model="m"), customer="acme"
    )


def test_an_answer_that_only_calls_tools_can_be_judged() -> None:
    calls = '[{"name":"look"}]'
    found = judgeable(response(output=None, output_characters=0, tool_calls=calls))
    assert isinstance(found, JudgedExchange)
    assert (found.answer, found.tool_calls) == ("", calls)


def test_what_was_not_captured_in_full_is_known() -> None:
    found = judgeable(response(capture="redacted", omitted_characters=9))
    assert isinstance(found, JudgedExchange)
    assert (found.cut, found.redacted) == (True, True)


def test_a_shadow_answer_is_judged_too() -> None:
    assert isinstance(judgeable(response(shadow=True)), JudgedExchange)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": 502, "error": ErrorKind.UPSTREAM_ERROR, "output": None}, SkipReason.FAILED),
        ({"error": ErrorKind.CLIENT_DISCONNECTED}, SkipReason.FAILED),
        ({"capture": "none", "output": None, "messages": ()}, SkipReason.NOT_CAPTURED),
        ({"output": None}, SkipReason.NOT_CAPTURED),
        ({"omitted_output_characters": 1}, SkipReason.CUT),
        ({"output": None, "output_characters": 0, "tool_calls": "[]"}, SkipReason.EMPTY),
        ({"output": " \n\t"}, SkipReason.EMPTY),
        ({"messages": ()}, SkipReason.NO_PROMPT),
        ({"messages": (Message(role="user", content="  "),)}, SkipReason.NO_PROMPT),
        ({"messages": (Message(role="system", content="x"),)}, SkipReason.NO_PROMPT),
    ],
)
def test_what_cannot_be_judged_has_its_reason(changes: dict[str, Any], reason: SkipReason) -> None:
    assert judgeable(response(**changes)) is reason


def test_the_prompt_is_the_last_message_of_a_user() -> None:
    messages = (
        Message(role="user", content="first"),
        Message(role="assistant", content="answer"),
        Message(role="user", content="second"),
        Message(role="tool", content="result"),
    )
    assert JudgedExchange(messages, "x").prompt == "second"


@pytest.mark.parametrize(("reason", "cut_off"), [("length", True), ("stop", False), (None, False)])
def test_an_answer_at_its_largest_number_of_tokens_is_known(
    reason: str | None,
    cut_off: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    found = judgeable(response(finish_reason=reason))
    assert isinstance(found, JudgedExchange)
    assert found.cut_off is cut_off
