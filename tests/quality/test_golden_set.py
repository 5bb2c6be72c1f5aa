from __future__ import annotations

from collections import Counter

import pytest

from tidegauge.quality import golden_set
from tidegauge.quality.golden_contexts import GROUNDED, GroundedText
from tidegauge.quality.golden_set import GoldenAnswer
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.schemas.exchange import Message

EVERYDAY, _ = golden_set.FAMILIES["everyday"]


@pytest.mark.parametrize("family", golden_set.FAMILIES)
def test_every_question_has_one_answer_of_each_kind(family: str) -> None:
    kinds, _ = golden_set.FAMILIES[family]
    found = Counter(answer.kind for answer in golden_set.built_in(kinds))
    assert set(found) == {golden_set.GOOD, *kinds}
    assert len(set(found.values())) == 1
    assert max(found.values()) >= 16


def test_fewer_questions_are_the_first_ones() -> None:
    every, few = golden_set.built_in(EVERYDAY), golden_set.built_in(EVERYDAY, questions=5)
    assert every[: len(few)] == few
    assert len(few) == 5 * (1 + len(EVERYDAY))


def test_bad_answers_differ_from_the_good_one() -> None:
    good = {
        answer.exchange.messages: (answer.exchange.answer, answer.exchange.tool_calls)
        for answer in golden_set.built_in()
        if answer.kind == golden_set.GOOD
    }
    for answer in golden_set.built_in():
        if answer.kind != golden_set.GOOD:
            exchange = answer.exchange
            assert (exchange.answer, exchange.tool_calls) != good[exchange.messages]
    assert len({answer.key for answer in golden_set.built_in()}) == len(golden_set.built_in())


def test_shuffled_answers_have_the_same_words() -> None:
    found = golden_set.built_in([golden_set.SHUFFLED])
    good, bad = found[::2], found[1::2]
    words = [sorted(answer.exchange.answer.split()) for answer in good]
    assert words == [sorted(answer.exchange.answer.split()) for answer in bad]


def test_another_answer_is_a_good_one_elsewhere() -> None:
    found = golden_set.built_in([golden_set.OTHER_ANSWER])
    good, bad = found[::2], found[1::2]
    texts = {answer.exchange.answer for answer in good}
    assert {answer.exchange.answer for answer in bad} == texts


@pytest.mark.parametrize("text", GROUNDED, ids=lambda text: text.question)
def test_what_makes_an_answer_unsupported_is_not_in_its_context(text: GroundedText) -> None:
    for right, wrong in (text.number, text.name):
        assert right in text.good
        assert right in text.context
        assert wrong not in text.context
    assert text.added not in text.context


def test_a_judge_is_asked_of_its_kinds_and_of_ones_own() -> None:
    exchange = JudgedExchange((Message(role="user", content="Hi"),), "Hello")
    rude, good = GoldenAnswer("rude", exchange), GoldenAnswer(golden_set.GOOD, exchange)
    every = (*golden_set.built_in(), rude, good)
    found = golden_set.asked_of(every, [golden_set.WRONG_TOOL])
    assert {answer.kind for answer in found} == {golden_set.GOOD, golden_set.WRONG_TOOL, "rude"}
    assert {answer.family for answer in found} == {"tools", golden_set.OWN}
    assert golden_set.asked_of(golden_set.built_in(), []) == ()


def test_the_set_is_the_same_everywhere() -> None:
    assert golden_set.built_in() == golden_set.built_in()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        golden_set.built_in(["rude"])
