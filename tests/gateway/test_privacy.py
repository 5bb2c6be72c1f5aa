"""What may leave the process, and what may not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.gateway.policy.privacy import captured_messages, captured_text, redact
from tidegauge.schemas.exchange import Message


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("mail jo.doe+x@mail.example.co.uk now", "mail [email] now"),
        ("call +49 30 901820 or (030) 901 8200", "call [phone] or [phone]"),
        ("tel 0044 20 7946 0958", "tel [phone]"),
        ("card 4111 1111 1111 1111 please", "card [card] please"),
        ("card 4111-1111-1111-1111", "card [card]"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
        ("GB82WEST12345698765432", "[iban]"),
        ("my key is sk-abcdefghijklmnop1234", "my key is [secret]"),
        ("ghp_0123456789abcdefghij0123456789abcdef", "[secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("Authorization: Bearer abcdefghijklmnopqrstuv", "Authorization: Bearer [secret]"),
        ("password=hunter2hunter2 ok", "password=[secret] ok"),
        (
            "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
            "a [secret] b",
        ),
    ],
)
def test_what_is_redacted(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 of 2024-11-03",
        "version 1.2.3, 100,000 units at 3.14",
        "DE00370400440532013000 is no account",
        "see the @property decorator",
        "the year 2024 and 12345",
        "10:30-11:45, room 12",
        "3 + 4 = 7",
        "user@localhost",
    ],
)
def test_what_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text(alphabet="a1 -.@:/+()\nDEsk_", max_size=400))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize("piece", ["1 ", "a@", "-----BEGIN PRIVATE KEY-----", "AB12 ", "eyJ", "(0"])
def test_no_text_makes_it_slow(piece: str) -> None:
    start = time.perf_counter()
    redact(piece * (100_000 // len(piece)))
    assert time.perf_counter() - start < 2


def test_levels_of_capture() -> None:
    assert captured_text("a@b.org", "full", 100) == "a@b.org"
    assert captured_text("a@b.org", "redacted", 100) == "[email]"
    assert captured_text("a@b.org", "none", 100) is None
    assert captured_text(None, "full", 100) is None
    assert captured_text("abcdef", "full", 2) == "ef"


MESSAGES = (
    Message(role="system", content="s" * 50),
    Message(role="user", content="u" * 50, tool_calls="[]"),
)


def test_the_end_of_a_conversation_is_kept() -> None:
    assert captured_messages(MESSAGES, "full", 1000) is MESSAGES
    (last,) = captured_messages(MESSAGES, "full", 40)
    assert last.content == "u" * 40
    both = captured_messages(MESSAGES, "full", 60)
    assert [len(message.content) for message in both] == [8, 50]
    assert captured_messages(MESSAGES, "none", 1000) == ()
    assert captured_messages(MESSAGES, "full", 0) == ()
