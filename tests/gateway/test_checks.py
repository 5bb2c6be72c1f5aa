"""Each check of an answer, and the rule that what was not checked is not named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.gateway.apis import Expectations, ParsedAnswer
from tidegauge.gateway.policy.checks import check
from tidegauge.gateway.policy.checks.all_checks import (
    check_language,
    check_refusal,
    check_repetition,
    guess_language,
)
from tidegauge.gateway.policy.checks.structure import (
    check_json,
    check_json_schema,
    check_tool_arguments,
)
from tidegauge.schemas.exchange import Message

ASKED = (Message(role="user", content="How do I get to the station?"),)
NOTHING = Expectations()


def test_only_what_was_checked_is_named() -> None:
    short = check(ASKED, NOTHING, ParsedAnswer(text="Left."))
    assert short == {"empty": "passed", "refusal": "passed"}
    answer = ParsedAnswer(text="You can walk to it: it is on the left.", finish_reason="stop")
    found = check(ASKED, NOTHING, answer)
    assert found == dict.fromkeys(("truncation", "empty", "refusal", "language"), "passed")


def test_a_check_that_was_not_made_says_why() -> None:
    wanted = Expectations(json_schema=b'{"uniqueItems": true}')
    assert check((), wanted, ParsedAnswer(text="[]"))["json_schema"] == "unchecked: uniqueItems"


def test_expectations_decide_which_checks_are_made() -> None:
    wanted = Expectations(json_object=True, json_schema=b'{"required": ["a"]}')
    found = check((), wanted, ParsedAnswer(text='{"b": 1}'))
    assert (found["json"], found["json_schema"]) == ("passed", "failed")


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("stop", "passed"),
        ("tool_use", "passed"),
        ("length", "failed"),
        ("LENGTH", "failed"),
        ("max_tokens", "failed"),
        (None, None),
    ],
)
def test_truncation(reason: str | None, outcome: str | None) -> None:
    answer = ParsedAnswer(text="Left.", finish_reason=reason)
    assert check(ASKED, NOTHING, answer).get("truncation") == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ParsedAnswer(), "failed"),
        (ParsedAnswer(text=" \n"), "failed"),
        (ParsedAnswer(text="Left."), "passed"),
        (ParsedAnswer(tool_calls="[]"), "passed"),
        (ParsedAnswer(refusal="no"), "passed"),
        (ParsedAnswer(media=True), "passed"),
    ],
)
def test_empty(answer: ParsedAnswer, outcome: str) -> None:
    assert check(ASKED, NOTHING, answer)["empty"] == outcome


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I\u2019m sorry, but I can\u2019t help with that.",
        "Sorry, I cannot do this.",
        "I cannot provide medical advice.",
        "As an AI language model, I don't have opinions.",
        "Unfortunately, I am not able to help.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas vous aider.",
    ],
)
def test_refusals(text: str) -> None:
    assert check_refusal(text, None) == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "Sorry to hear that! Here is what to do.",
        "The answer is 4.",
        "You can help by asking them whether they can provide it.",
        "Here is a story. " * 20 + "I cannot help it, she said.",
    ],
)
def test_answers_that_are_no_refusals(text: str) -> None:
    assert check_refusal(text, None) == "passed"


def test_the_upstreams_own_refusal_counts() -> None:
    assert check_refusal("", "No.") == "failed"
    assert check_refusal("", None) is None


@given(st.text(min_size=1, max_size=60), st.text(max_size=30))
def test_every_loop_is_found(passage: str, start: str) -> None:
    passage = passage.strip() or "x"
    assert check_repetition(start + passage * (5 + 80 // len(passage))) == "failed"


def test_ordinary_text_is_no_loop() -> None:
    text = " ".join(f"Sentence number {n} says something of its own." for n in range(60))
    assert check_repetition(text) == "passed"
    assert check_repetition("short") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I reset the password of my account?", "en"),
        ("Wie kann ich das Passwort für mein Konto ändern und wo ist es?", "de"),
        ("Comment est-ce que je change le mot de passe de mon compte pour la banque ?", "fr"),
        ("¿Cómo cambio la contraseña de mi cuenta en el banco que uso?", "es"),
        ("Как мне сменить пароль?", "cyrillic"),
        ("パスワードを変更するには?", "kana"),
        ("如何更改我的密码", "han"),
        ("42", None),
        ("", None),
    ],
)
def test_languages(text: str, language: str | None) -> None:
    assert guess_language(text) == language


def test_a_switch_of_language() -> None:
    english = "To reset your password, go to the settings and click on the link that is in it."
    german = (Message(role="user", content="Wie kann ich das Passwort ändern und wo ist es?"),)
    assert check_language(ASKED, english) is not None
    assert check_language(german, english) == "failed"
    assert check_language(ASKED, "42") is None
    assert check_language((), english) is None


def test_json() -> None:
    assert check_json('{"a": 1}') == "passed"
    assert check_json("[1]") == "failed"
    assert check_json("```json\n{}\n```") == "failed"


def schema_of(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_schemas() -> None:
    schema = schema_of(
        type="object",
        properties={"p": {"$ref": "#/$defs/Place"}},
        **{"$defs": {"Place": {"type": "string", "maxLength": 3}}},
    )
    assert check_json_schema('{"p": "Rom"}', schema) == "passed"
    assert check_json_schema('{"p": "Paris"}', schema) == "failed"
    assert check_json_schema("no json", schema) == "failed"


TOOLS = json.dumps(
    [
        {"type": "function", "function": {"name": "f", "parameters": {"required": ["x"]}}},
        {"type": "function", "function": {"name": "g"}},
        {"type": "function", "function": {"name": "p", "parameters": {"pattern": "x"}}},
    ]
).encode()


@pytest.mark.parametrize(
    ("name", "arguments", "outcome"),
    [
        ("f", '{"x": 1}', "passed"),
        ("f", "{}", "failed"),
        ("f", "{", "failed"),
        ("g", "{}", "passed"),
        ("nobody", "{}", "failed"),
        ("p", "{}", "unchecked: pattern"),
    ],
)
def test_tool_arguments(name: str, arguments: str, outcome: str | None) -> None:
    calls = json.dumps([{"function": {"name": name, "arguments": arguments}}])
    assert check_tool_arguments(calls, TOOLS) == outcome
