from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.quality.context import ContextState, Passage
from tidegauge.quality.errors import ExchangeTooLongError
from tidegauge.quality.exchange_parts import ExchangeParts
from tidegauge.quality.shown_exchange import estimated_tokens, fit
from tidegauge.schemas.exchange import Message


def parts(  # noqa: PLR0913 - each has a default and a name of its own
    *,
    system: str = "",
    context: tuple[str, ...] = (),
    earlier: tuple[str, ...] = (),
    steps: tuple[Message, ...] = (),
    question: str = "Why?",
    answer: str = "Because.",
) -> ExchangeParts:
    return ExchangeParts(
        system=system,
        passages=tuple(Passage("tagged", text) for text in context),
        state=ContextState.GIVEN if context else ContextState.NONE,
        earlier=tuple(Message(role="user", content=text) for text in earlier),
        question=question,
        steps=steps,
        answer=answer,
    )


def test_an_exchange_with_room_is_shown_whole_and_in_order() -> None:
    tool = Message(role="tool", content="42")
    found = fit(
        parts(system="Be kind.", context=("A", "B"), earlier=("Hi",), steps=(tool,)),
        1000,
        reference="So.",
    )
    assert list(found.shown) == [
        *("system", "context", "earlier", "question", "steps", "reference", "answer")
    ]
    assert found.shown["context"] == ["A", "B"]
    assert found.shown["steps"] == [{"role": "tool", "content": "42"}]
    assert (found.state, found.left_out) == (ContextState.GIVEN, 0)


def test_a_long_text_is_cut_in_the_middle_and_says_by_how_much() -> None:
    found = fit(parts(answer="begin " + "x" * 6000 + " end"), 800)
    answer = str(found.shown["answer"])
    assert answer.startswith("begin ")
    assert answer.endswith(" end")
    mark = re.search(r"\[… ([\d,]+) tokens left out\]", answer)
    assert mark is not None
    assert int(mark[1].replace(",", "")) == found.left_out == 2004 - 798


def test_the_question_is_never_cut() -> None:
    question = "q" * 1500
    found = fit(
        parts(question=question, answer="a" * 9000, context=("c" * 9000,), system="s" * 9000), 1000
    )
    assert found.shown["question"] == question
    with pytest.raises(ExchangeTooLongError, match="500 tokens, and the judge reads 600 in all"):
        fit(parts(question=question), 600)


def test_short_parts_leave_their_room_to_long_ones() -> None:
    found = fit(parts(system="Be kind.", answer="Yes.", context=("c" * 1500,)), 600)
    assert found.left_out == 0


def test_passages_with_the_answers_words_come_first() -> None:
    wanted = "The harbour bridge was opened in spring. " * 20
    others = tuple("Unrelated remarks on cooking rice. " * 20 for _ in range(5))
    found = fit(
        parts(context=(*others, wanted), question="When was the harbour bridge opened?"), 300
    )
    context = found.shown["context"]
    assert context[-1] == wanted
    assert found.state is ContextState.CUT
    assert all("left out" in str(text) for text in context[1:-1])


def test_the_newest_of_the_earlier_messages_come_first() -> None:
    found = fit(parts(earlier=("first " * 100, "second " * 100, "third " * 10)), 60)
    earlier = found.shown["earlier"]
    assert json.dumps(earlier).count("left out") == 2
    assert earlier[-1] == {"role": "user", "content": "third " * 10}


def test_context_that_tools_returned_is_shown_once_and_its_cut_is_known() -> None:
    tool = Message(role="tool", content="x" * 3000)
    whole = ExchangeParts(
        system="",
        passages=(Passage("tools", tool.content),),
        state=ContextState.GIVEN,
        earlier=(),
        question="Why?",
        steps=(tool,),
        answer="So.",
    )
    assert "context" not in fit(whole, 5000).shown
    assert fit(whole, 5000).state is ContextState.GIVEN
    assert fit(whole, 500).state is ContextState.CUT


@given(st.text(), st.text(), st.text(), st.lists(st.text()), st.integers(200, 400))
def test_what_is_shown_fits(
    system: str, question: str, answer: str, context: list[str], room: int
) -> None:
    exchange = parts(
        system=system * 20, question=question, answer=answer * 30, context=tuple(context)
    )
    shown = fit(exchange, room).shown
    texts = [
        *(str(shown.get(name, "")) for name in ("system", "question", "answer")),
        *map(str, shown.get("context", [])),
    ]
    marks = re.compile(r" ?\[… [\d,]+ tokens left out\] ?")
    assert sum(estimated_tokens(marks.sub("", text)) for text in texts) <= room + len(texts)
