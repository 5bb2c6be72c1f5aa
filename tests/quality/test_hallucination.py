from __future__ import annotations

from dataclasses import replace

import pytest

from tidegauge.quality.context import ContextRule
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.hallucination import (
    KINDS,
    CheckedAnswer,
    NotChecked,
    check_hallucination,
    given_texts,
    qualify_check,
)
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.schemas.exchange import Message

CONTEXT = "<context>Returns are free for 30 days. Ask Ana Lima in Porto.</context>"


def exchange(answer: str, *before: Message, cut: bool = False) -> JudgedExchange:
    asked = Message(role="user", content=f"{CONTEXT}\nHow long do I have, since order 7788?")
    return JudgedExchange((*before, asked), answer, cut=cut)


def test_an_answer_is_held_against_all_that_the_model_was_given() -> None:
    system = Message(role="system", content="Today is 3 May 2024.")
    found = check_hallucination(
        exchange("Order 7788: 30 days from 2024-05-03, says Ana Lima.", system)
    )
    assert isinstance(found, CheckedAnswer)
    assert not found.hallucinated
    assert found.question == "How long do I have, since order 7788?"


def test_an_answer_that_invents_hallucinates() -> None:
    found = check_hallucination(exchange("You have 90 days, ask Bo Andersen."))
    assert isinstance(found, CheckedAnswer)
    assert found.hallucinated
    assert [each.text for each in found.unsupported] == ["90 days", "Bo Andersen"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            JudgedExchange((Message(role="user", content="Tell me of Porto."),), "90 bridges."),
            NotChecked.NO_CONTEXT,
        ),
        (exchange("You have 90 days.", cut=True), NotChecked.CUT),
        (
            JudgedExchange(
                (Message(role="user", content="<context>Ask [email].</context> Whom?"),),
                "Ask 90 people.",
                redacted=True,
            ),
            NotChecked.REDACTED,
        ),
    ],
)
def test_without_the_whole_context_nothing_is_said(
    asked: JudgedExchange, reason: NotChecked
) -> None:
    assert check_hallucination(asked) == reason


def test_where_context_stands_is_a_setting() -> None:
    asked = JudgedExchange(
        (
            Message(role="system", content="Returns are free for 30 days."),
            Message(role="user", content="How long?"),
        ),
        "60 days.",
    )
    assert check_hallucination(asked) is NotChecked.NO_CONTEXT
    found = check_hallucination(asked, ContextRule.parse("system"))
    assert isinstance(found, CheckedAnswer)
    assert found.hallucinated


def test_what_tools_returned_supports_an_answer() -> None:
    parts = divide(
        JudgedExchange(
            (
                Message(role="user", content="How warm is it?"),
                Message(role="assistant", tool_calls='[{"name": "weather"}]'),
                Message(role="tool", content='{"celsius": 21}'),
            ),
            "It is 21 degrees.",
        )
    )
    assert '{"celsius": 21}' in given_texts(parts)


def test_the_check_qualifies_on_the_golden_set() -> None:
    found = qualify_check()
    assert found.qualified
    assert set(found.kinds) == set(KINDS)
    assert found.scored == found.asked


@pytest.mark.parametrize("answer", ["It takes 3 days, or 12", "It takes 3 days, says Ansel"])
def test_a_word_that_was_cut_off_is_no_unknown_fact(answer: str) -> None:
    asked = (Message(role="user", content="<context>It takes 3 days.</context>\n\nHow long?"),)
    whole = JudgedExchange(asked, answer.rpartition(" ")[0])
    expected = check_hallucination(whole)
    assert check_hallucination(replace(whole, answer=answer, cut_off=True)) == expected
    assert check_hallucination(replace(whole, answer=answer)) != expected
