"""How much text an event carries, and that no secret survives where it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.capture.text_limits import captured_messages, captured_text
from tidegauge.schemas.exchange import Message

SYSTEM = Message(role="system", content="s" * 50)
USER = Message(role="user", content="u" * 50, tool_calls="[]")


def test_levels_of_capture() -> None:
    assert captured_text("a@b.org", "full", 100) == ("a@b.org", 0)
    assert captured_text("a@b.org", "redacted", 100) == ("[email]", 0)
    assert captured_text("a@b.org", "none", 100) == (None, 0)
    assert captured_text(None, "full", 100) == (None, 0)
    assert captured_messages((SYSTEM, USER), "none", 1000) == ((), 0)


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text, omitted = captured_text("a" * 1000 + "b" * 5000 + "c" * 1000, "full", 2000)
    assert text == "a" * 1000 + "\n[… 5,000 characters left out …]\n" + "c" * 1000
    assert omitted == 5000


def test_a_conversation_that_fits_stays_the_same_object() -> None:
    messages = (SYSTEM, USER)
    assert captured_messages(messages, "full", 102).messages is messages
    assert captured_messages(messages, "full", 102).omitted == 0


def test_a_long_role_is_cut() -> None:
    ((message,), omitted) = captured_messages((Message(role="r" * 99, content="x"),), "full", 102)
    assert (message.role, message.content, omitted) == ("r" * 32, "x", 0)


def test_a_long_conversation_keeps_its_beginning_and_its_end() -> None:
    kept, omitted = captured_messages((SYSTEM, USER), "full", 60)
    assert [message.role for message in kept] == ["system", "user"]
    assert kept[0].content == "s" * 30 + "\n[… 20 characters left out …]\n"
    assert kept[1].content == "\n[… 22 characters left out …]\n" + "u" * 28
    assert kept[1].tool_calls == "[]"
    assert omitted == 42


def test_messages_in_the_middle_are_left_out_and_counted() -> None:
    turns = tuple(Message(role="user", content=f"{number:03}" + "x" * 97) for number in range(100))
    kept, omitted = captured_messages(turns, "full", 1000)
    assert [message.content[:3] for message in kept] == [
        *("000", "001", "002", "003", "004"),
        *("095", "096", "097", "098", "099"),
    ]
    assert omitted == 9000
    assert kept[4].content.endswith("\n[… 9,000 characters left out …]\n")


def test_a_context_in_one_message_keeps_both_ends() -> None:
    context = Message(role="user", content="CONTEXT" + "x" * 100_000 + "QUESTION")
    (kept,), omitted = captured_messages((context,), "full", 65_536)
    assert kept.content.startswith("CONTEXT")
    assert kept.content.endswith("QUESTION")
    assert omitted == len(context.content) - 65_536


def test_tool_calls_are_cut_in_the_middle_too() -> None:
    called = Message(role="assistant", content="", tool_calls="[" + "1," * 500 + "1]")
    (kept,), omitted = captured_messages((called,), "full", 100)
    assert kept.tool_calls is not None
    assert kept.tool_calls.startswith("[1,1,")
    assert kept.tool_calls.endswith(",1]")
    assert "[… 903 characters left out …]" in kept.tool_calls
    assert omitted == 903


def test_a_million_empty_messages_are_not_kept() -> None:
    kept, omitted = captured_messages((Message(role="user"),) * 100_000, "redacted", 65_536)
    assert len(kept) <= 1024
    assert omitted == 0


def test_nothing_is_kept_with_a_limit_of_0() -> None:
    assert captured_messages((SYSTEM, USER), "full", 0) == ((), 102)
    assert captured_text("abc", "full", 0) == ("\n[… 3 characters left out …]\n", 3)


@given(
    st.lists(st.tuples(st.text("ab", max_size=30), st.none() | st.text("cd", max_size=30))),
    st.integers(1, 80),
)
def test_what_is_kept_and_what_is_omitted_add_up(
    parts: list[tuple[str, str | None]], limit: int
) -> None:
    messages = tuple(
        Message(role="user", content=content, tool_calls=calls) for content, calls in parts
    )
    whole = "".join(content + (calls or "") for content, calls in parts)
    kept, omitted = captured_messages(messages, "full", limit)
    letters = "".join(
        letter
        for message in kept
        for part in (message.content, message.tool_calls or "")
        for line in part.split("\n")
        if not line.startswith("[…")
        for letter in line
    )
    assert len(letters) + omitted == len(whole)
    half = limit // 2
    if len(whole) > limit:
        assert letters == whole[:half] + whole[len(whole) - (limit - half) :]
    else:
        assert letters == whole


SECRETS = (
    "ann.long.name@mail.example.org",
    "4111 1111 1111 1111",
    "de89 3704 0044 0532 0130 00",
    "password = hunter2hunter2",
    "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123",
    "postgres://ann:hunter2hunter2@db.example.org",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIx" * 1000 + ".c2lnbmF0dXJl",
    "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBg\n" * 1000 + "-----END PRIVATE KEY-----",
    "sk-" + "abcdef0123" * 2000,
)
TRACES = (
    *("ann.", "example.org", "4111", "1111", "3704", "0130", "hunter2", "uvwxyz", "abcdefgh"),
)
LONG_TRACES = ("eyJzdWIi", "MIIEvQ", "abcdef0123", "c2lnbm")


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
def test_no_part_of_a_secret_survives_at_a_cut(secret: str) -> None:
    for place in range(0, len(secret) + 1, max(1, len(secret) // 60)):
        for before, after in ((1000 - place, 40_000), (40_000, 1000 - len(secret) + place)):
            text = " . " * (max(0, before) // 3) + secret + " , " * (max(0, after) // 3)
            kept, omitted = captured_text(text, "redacted", 2000)
            assert kept is not None
            found = [trace for trace in (*TRACES, *LONG_TRACES) if trace in kept]
            assert found == [], (place, before)
            assert omitted > 0


def test_what_is_redacted_is_the_same_with_and_without_a_cut_elsewhere() -> None:
    text = "mail ann@example.org " + "x " * 50_000 + " or bob@example.org"
    kept, _ = captured_text(text, "redacted", 1000)
    assert kept is not None
    assert kept.startswith("mail [email] x")
    assert kept.endswith(" or [email]")
