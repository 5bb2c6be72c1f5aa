from __future__ import annotations

from collections import Counter

import pytest

from tidegauge.quality import golden_set


def test_every_question_has_one_answer_of_each_kind() -> None:
    found = Counter(golden_answer.kind for golden_answer in golden_set.built_in())
    assert set(found) == {golden_set.GOOD, *golden_set.KINDS}
    assert set(found.values()) == {golden_set.QUESTIONS}
    assert golden_set.QUESTIONS >= 24


def test_fewer_questions_are_the_first_ones() -> None:
    every, few = golden_set.built_in(), golden_set.built_in(questions=5)
    assert every[: len(few)] == few
    assert len(few) == 5 * (1 + len(golden_set.KINDS))


def test_bad_answers_differ_from_the_good_one() -> None:
    good = {
        golden_answer.exchange.prompt: golden_answer.exchange.answer
        for golden_answer in golden_set.built_in()
        if golden_answer.kind == golden_set.GOOD
    }
    for golden_answer in golden_set.built_in():
        if golden_answer.kind != golden_set.GOOD:
            assert golden_answer.exchange.answer != good[golden_answer.exchange.prompt]


def test_shuffled_answers_have_the_same_words() -> None:
    good = [a.exchange.answer for a in golden_set.built_in() if a.kind == golden_set.GOOD]
    shuffled = [a.exchange.answer for a in golden_set.built_in([golden_set.SHUFFLED])]
    bad = shuffled[1::2]
    assert [sorted(a.split()) for a in good] == [sorted(a.split()) for a in bad]


def test_another_answer_is_a_good_one_elsewhere() -> None:
    good = {a.exchange.answer for a in golden_set.built_in() if a.kind == golden_set.GOOD}
    other = [a for a in golden_set.built_in([golden_set.OTHER_ANSWER]) if a.kind != golden_set.GOOD]
    assert {a.exchange.answer for a in other} == good


def test_the_set_is_the_same_everywhere() -> None:
    assert golden_set.built_in() == golden_set.built_in()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        golden_set.built_in(["rude"])
