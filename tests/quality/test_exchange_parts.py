# ruff: noqa: RUF001 - headings in many scripts

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.quality.context import ContextRule, ContextState
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.exchange_parts import ExchangeParts, divide
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.schemas.exchange import Message

FACT = "The bridge was opened in 1932 and is 503 metres long."


def parts(*said: tuple[str, str], sources: str = "guess", tags: str = "") -> ExchangeParts:
    messages = tuple(Message(role=role, content=text) for role, text in said)
    return divide(JudgedExchange(messages, "In 1932."), ContextRule.parse(sources, tags))


def test_every_part_of_an_exchange_has_its_place() -> None:
    call = '[{"name":"search","arguments":{"q":"bridge"}}]'
    found = divide(
        JudgedExchange(
            (
                Message(role="system", content="Be brief."),
                Message(role="user", content="Hello"),
                Message(role="assistant", content="Hello!"),
                Message(role="user", content="When was the bridge opened?"),
                Message(role="assistant", tool_calls=call),
                Message(role="tool", content=FACT),
            ),
            "",
            '[{"name":"answer"}]',
        )
    )
    assert found.system == "Be brief."
    assert [message.content for message in found.earlier] == ["Hello", "Hello!"]
    assert found.question == "When was the bridge opened?"
    assert [(step.role, step.tool_calls) for step in found.steps] == [
        ("assistant", call),
        ("tool", None),
    ]
    assert (found.context, found.state) == (FACT, ContextState.GIVEN)
    assert (found.answer, found.tool_calls) == ("", '[{"name":"answer"}]')


@pytest.mark.parametrize(
    ("message", "question"),
    [
        (f"<context>\n{FACT}\n</context>\nWhen?", "When?"),
        (f"When?\n<documents><doc id='1'>{FACT}</doc></documents>", "When?"),
        (f'<Document source="wiki">{FACT}</Document>When?', "When?"),
        (f"Use the context.\n\nContext:\n{FACT}\n\nQuestion: When?", "Use the context."),
        (f"## Context:\n{FACT}\n\n## Question: When?", "Question: When?"),
        (f"**Context:** {FACT}\n**Question:** When?", "When?"),
        (f"Kontext: {FACT}\nFrage: Wann?", "Wann?"),
        (f"Контекст: {FACT}\nВопрос: Когда?", "Когда?"),
        (f"上下文：{FACT}\n问题：什么时候？", "什么时候？"),
        (f"資料：{FACT}\n質問：いつ？", "いつ？"),
        (f"컨텍스트: {FACT}\n질문: 언제?", "언제?"),
        (f"When was it opened?\n\nContext: {FACT}", "When was it opened?"),
        (f"Summarize the following article:\n\n{FACT}\n\noutput:", "Summarize the following"),
    ],
)
def test_context_is_found_where_it_plainly_is(message: str, question: str) -> None:
    found = parts(("user", message))
    assert FACT in found.context
    assert question in found.question
    assert FACT not in found.question
    assert found.state is ContextState.GIVEN


@pytest.mark.parametrize(
    "message",
    [
        "What is the context: of this remark?",
        "Explain <context> in XML.",
        "Context: I am a nurse.",
        "Write code:\nimport this",
        "Do the following:\nsit",
    ],
)
def test_other_texts_are_no_context(message: str) -> None:
    found = parts(("user", message))
    assert (found.question, found.context, found.state) == (message, "", ContextState.NONE)


def test_context_in_a_message_of_its_own_is_not_the_question() -> None:
    for role, text in (("document 1", FACT), ("context", FACT), ("user", f"<doc>{FACT}</doc>")):
        found = parts(("user", "When?"), (role, text))
        assert (found.question, found.context) == ("When?", FACT)
        assert not found.steps


def test_a_system_message_is_context_by_a_setting() -> None:
    said = (("system", FACT), ("user", "When?"))
    assert parts(*said).state is ContextState.NONE
    found = parts(*said, sources="system")
    assert (found.system, found.context) == ("", FACT)


def test_context_between_tags_of_ones_own() -> None:
    said = (("system", f"Be brief. <kb>{FACT}</kb>"), ("user", "When?"))
    assert parts(*said).context == ""
    found = parts(*said, tags="kb, facts")
    assert (found.system, found.context) == ("Be brief.", FACT)


def test_no_source_means_no_context() -> None:
    found = parts(("user", f"<context>{FACT}</context> When?"), ("tool", FACT), sources="none")
    assert found.state is ContextState.NONE


@pytest.mark.parametrize(("sources", "tags"), [("metadata", ""), ("guess", "<context>")])
def test_a_rule_that_cannot_be_is_refused(sources: str, tags: str) -> None:
    with pytest.raises(SpecificationError, match="cannot be"):
        ContextRule.parse(sources, tags)


def test_context_that_is_not_known_in_full_has_a_state_of_its_own() -> None:
    given = (Message(role="user", content=f"<context>{FACT}</context> When?"),)
    private = (Message(role="user", content="<context>Write to [email].</context> Where to?"),)
    bare = (Message(role="user", content="When?"),)
    states = [
        divide(JudgedExchange(given, "x", cut=True)).state,
        divide(JudgedExchange(bare, "x", cut=True)).state,
        divide(JudgedExchange(private, "x", redacted=True)).state,
        divide(JudgedExchange(private, "x")).state,
        divide(JudgedExchange(given, "x", redacted=True)).state,
        divide(JudgedExchange(bare, "x", redacted=True)).state,
    ]
    assert states == ["cut", "cut", "redacted", "given", "given", "none"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["system", "user", "assistant", "tool", "document"]),
            st.lists(
                st.sampled_from(
                    ["<context>", "</context>", "Context:", "\n", "Question:", "words ", "<doc>"]
                )
            ).map("".join),
        )
    )
)
def test_no_text_is_lost_and_none_breaks_it(said: list[tuple[str, str]]) -> None:
    found = parts(*said)
    whole = " ".join(
        [found.system, found.context, found.question]
        + [message.content for message in (*found.earlier, *found.steps)]
    )
    assert whole.count("words") >= sum(text.count("words") for _, text in said)


def test_many_tags_that_are_never_closed_take_linear_time() -> None:
    found = parts(("user", "<context>" * 100_000 + "Context: " * 10_000))
    assert found.state is ContextState.NONE
