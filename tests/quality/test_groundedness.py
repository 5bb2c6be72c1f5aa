from __future__ import annotations

from collections.abc import Sequence

import pytest

from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.groundedness import (
    Explained,
    closest,
    groundedness,
    questions,
    read_explained,
)
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.quality.specifications import GroundednessSpec
from tidegauge.quality.support import Support
from tidegauge.schemas.exchange import Message

SPEC = GroundednessSpec(model="m")


def tokens(*log_probabilities: float | None) -> Sequence[ScoredToken]:
    return [ScoredToken(number, each) for number, each in enumerate(log_probabilities)]


def test_the_share_of_the_information_that_the_context_explains_is_read() -> None:
    found = read_explained(
        [ScoredToken(7, None), ScoredToken(8, -9.0), *tokens(-1.0, -2.0)],
        [ScoredToken(7, None), *tokens(-4.0, -8.0)],
        start=1,
    )
    assert found == Explained(share=0.75, lowest=-2.0, tokens=2)


def test_one_odd_token_counts_as_much_as_twenty_nats() -> None:
    given, alone = [ScoredToken(7, None), *tokens(-500.0)], tokens(-10.0)
    found = read_explained(given, alone, start=0)
    assert found == Explained(share=-1.0, lowest=-20.0, tokens=1)


def test_other_tokens_give_no_number() -> None:
    found = read_explained(
        [ScoredToken(7, None), ScoredToken(9, -1.0)], [ScoredToken(8, -1.0)], start=0
    )
    assert isinstance(found, Score)
    assert found.invalid == "token_mismatch"


def test_the_answer_is_read_with_its_context_and_without_it() -> None:
    asked = Message(role="user", content="<context>Tea is hot.</context>\nHow is tea?")
    with_context, without = questions(SPEC, divide(JudgedExchange((asked,), " Hot. ")))
    assert [message.content for message in with_context] == [
        "",
        "Tea is hot.\n\nHow is tea?",
        "Hot.",
    ]
    assert [message.content for message in without] == ["", "How is tea?", "Hot."]


def test_of_a_long_context_the_closest_sentences_are_shown() -> None:
    filler = "Nothing of interest happens here at all. "
    context = f"{filler * 50}Ana Lima opened it in 1998. {filler * 50}It closed in May. {filler}"
    found = closest(context, "It was opened by Ana Lima and closed in May.", 60)
    assert found == "Ana Lima opened it in 1998. It closed in May."
    assert closest(context, "x", 10_000) == context.strip()
    assert len(closest("a" * 900, "b", 100)) == 100


@pytest.mark.parametrize(
    ("worse_support", "worse_explained"),
    [
        (Support(1, (), 0.5), Explained(0.5, -6.0, 9)),
        (Support(1, (), 0.9), Explained(0.2, -6.0, 9)),
        (Support(1, (), 0.9), Explained(0.5, -9.0, 9)),
    ],
)
def test_each_number_moves_the_score(worse_support: Support, worse_explained: Explained) -> None:
    good = groundedness(Support(1, (), 0.9), Explained(0.5, -6.0, 9))
    assert 0 < groundedness(worse_support, worse_explained) < good < 1
