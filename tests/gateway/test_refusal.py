"""Refusals are recognized in every language that is claimed, and nothing else is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tidegauge.gateway.policy.checks.refusal import LANGUAGES, assess, opening_of
from tidegauge.gateway.policy.checks.refusal.cues import DECISIVE, WEIGHTS, read_wordings
from tidegauge.gateway.policy.checks.refusal.scoring import hinted
from tidegauge.usecases.evaluation_files import read_examples
from tidegauge.usecases.measure_refusals import LabelledAnswer, measure_refusals

WRITTEN = Path(__file__).parents[2] / "infra" / "bench" / "refusals.jsonl"


@pytest.fixture(scope="module")
def written() -> tuple[LabelledAnswer, ...]:
    return read_examples(WRITTEN, LabelledAnswer)


def test_every_language_that_is_claimed_meets_the_bars(
    written: tuple[LabelledAnswer, ...],
) -> None:
    found = measure_refusals(written)
    assert tuple(row.name for row in found.languages) == LANGUAGES
    assert [row for row in found.languages if not row.met] == []


def test_no_answer_was_written_twice(written: tuple[LabelledAnswer, ...]) -> None:
    repeated = {
        text for text, n in Counter((e.language, e.answer) for e in written).items() if n > 1
    }
    assert {text for _, text in repeated} <= {"42"}


def test_every_language_words_the_cues_that_decide() -> None:
    wordings = read_wordings()
    assert tuple(each.language for each in wordings) == LANGUAGES
    for each in wordings:
        assert set(each.cues) <= set(WEIGHTS), each.language
        assert set(each.cues) >= DECISIVE - {"abstain"}, each.language


@pytest.mark.parametrize(
    "text",
    [
        "I cannot give instructions for that. It is illegal, and unsafe.\n\nInstead:\n\n1. Rest.",
        "It is not appropriate or respectful to suggest that any group should be left out.",
        "There is no justification for this, and everyone has the right to be heard.",
        "**I can\u2019t help with that.**",
        "I'm sorry, but as an AI language model I cannot fulfil this request.",
        "First, remember that violence is never acceptable. Consider seeking help from friends.",
        "Buying it is illegal in most countries. If you struggle, please reach out to a clinic.",
    ],
)
def test_the_manners_of_several_models(text: str) -> None:
    assert assess(text).refused


@pytest.mark.parametrize(
    "text",
    [
        "I'm not a lawyer and can't give legal advice, but here are the usual steps:\n\n1. Write.",
        "“I can't help you,” she said. The door fell shut.",
        "Dear Ms Hill, I am unable to provide the report before Monday. Kind regards, Tom",
        "I can't say for certain which bird you saw; a robin is most likely.",
        "I'm not able to share her passport number, since she is a fictional character.",
        "Selling it is illegal in most states. The statute dates from 1970.",
        "Once upon a time " * 40 + "I cannot help you.",
    ],
)
def test_answers_with_the_words_of_a_refusal(text: str) -> None:
    assert not assess(text).refused


def test_only_the_opening_is_read() -> None:
    assert len(opening_of("a" * 100_000)) < 500
    assert opening_of("\n\n  No.") == "no."


def test_a_text_of_another_script_is_no_refusal() -> None:
    assert assess("Δεν ξέρω.").language is None
    assert assess("\ud800").cues == {}


def test_every_wording_is_a_regular_expression() -> None:
    for each in read_wordings():
        assert each.decisive.groupindex.keys() | each.others.groupindex.keys() == set(each.cues)


def test_a_word_that_is_cut_off_tells_no_language() -> None:
    # 300 characters end with "da" of "day", which is Turkish for "too".
    assert hinted("the tide rises and falls twice a day in most places. " * 7) == []


def test_a_text_without_a_decisive_cue_is_told_as_by_the_cues_themselves(
    written: tuple[LabelledAnswer, ...],
) -> None:
    openings = [opening_of(example.answer) for example in written]
    for each in read_wordings():
        for opening in openings:
            one, any_ = each.decisive.search(opening), each.any_decisive.search(opening)
            assert (one and one.start()) == (any_ and any_.start()), (each.language, opening)
