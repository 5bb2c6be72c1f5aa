from __future__ import annotations

import math

import pytest

from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.likelihood import (
    ScoredToken,
    answer_start,
    probe,
    read_likelihood,
    request,
    without_prompt,
)
from tidegauge.quality.specifications import LikelihoodSpec
from tidegauge.schemas.exchange import Message

SPEC = LikelihoodSpec(model="m")
USER = Message(role="user", content="How?")


def text(*tokens: tuple[int, float | None]) -> list[ScoredToken]:
    return [ScoredToken(*token) for token in tokens]


GIVEN = text((1, None), (2, -3.0), (9, -1.0), (8, -2.0))
ALONE = text((1, None), (9, -4.0), (8, -3.0))


def test_both_scores_are_means_per_token() -> None:
    score = read_likelihood(GIVEN, ALONE, start=1)
    assert score.values == {"fluency": pytest.approx(-1.5), "relevance": pytest.approx(2.0)}
    assert score.answer_tokens == 2


@pytest.mark.parametrize(
    ("given", "alone", "start", "invalid"),
    [
        (GIVEN, ALONE, 3, "no_answer_tokens"),
        (GIVEN[-2:], ALONE, 1, "no_answer_tokens"),
        ([], [], 0, "no_answer_tokens"),
        (text((1, -1.0), (7, -1.0), (8, -1.0)), ALONE, 1, "token_mismatch"),
        ([*GIVEN[:-1], ScoredToken(8, math.nan)], ALONE, 1, "not_finite"),
        (GIVEN, [*ALONE[:-1], ScoredToken(8, None)], 1, "not_finite"),
        ([*GIVEN[:-1], ScoredToken(8, -math.inf)], ALONE, 1, "not_finite"),
        ([*GIVEN[:-1], ScoredToken(8, -9999.0)], ALONE, 1, "impossible_token"),
        ([*GIVEN[:-1], ScoredToken(8, 2.5)], ALONE, 1, "impossible_token"),
    ],
)
def test_what_cannot_be_read_is_invalid(
    given: list[ScoredToken], alone: list[ScoredToken], start: int, invalid: str
) -> None:
    score = read_likelihood(given, alone, start=start)
    assert (score.invalid, dict(score.values)) == (invalid, {})


def test_the_answer_ends_both_conversations() -> None:
    exchange = JudgedExchange((USER,), "  Like this. ")
    answer = Message(role="assistant", content="Like this.")
    system = Message(role="system", content="")
    assert request(SPEC, exchange) == (system, USER, answer)
    assert without_prompt(SPEC, exchange) == (system, Message(role="user", content=""), answer)


def test_the_conversations_own_system_message_stands_in_both() -> None:
    own = Message(role="system", content="Be brief.")
    exchange = JudgedExchange((own, USER), "So.")
    assert request(SPEC, exchange)[0] == own
    assert without_prompt(SPEC, exchange)[0] == own


def test_without_a_system_message_the_template_decides() -> None:
    spec = LikelihoodSpec(model="m", system=None)
    assert request(spec, JudgedExchange((USER,), "So."))[0] == USER


def test_a_long_conversation_loses_its_oldest_part() -> None:
    spec = LikelihoodSpec(model="m", prompt_bytes=8, answer_bytes=4)
    old = Message(role="user", content="old" * 100)
    between = Message(role="assistant", content="between")
    shown = request(spec, JudgedExchange((old, between, USER), "answered"))
    assert [message.content for message in shown[1:]] == ["ween", "How?", "answ"]


def test_no_character_is_cut_in_two() -> None:
    spec = LikelihoodSpec(model="m", prompt_bytes=4, answer_bytes=4)
    exchange = JudgedExchange((Message(role="user", content="潮汐"),), "涨落")
    assert [message.content for message in request(spec, exchange)] == ["", "汐", "涨"]


def test_the_answer_begins_where_two_answers_differ() -> None:
    header = [(1, None), (2, -1.0), (3, -1.0)]
    thought = [(50, -1.0), (51, -1.0), (52, -1.0), (53, -1.0)]
    one, other = text(*header, *thought, (9, -4.0), (8, -3.0)), text(*header, *thought, (7, -2.0))
    assert answer_start(one, other) == 7, "also behind what a template writes before an answer"
    assert answer_start(one, one) == len(one)
    assert answer_start([], other) == 0


def test_a_message_that_the_server_has_closed_has_no_answer_to_read() -> None:
    end = (2, -0.1)
    one, other = text((1, None), (9, -4.0), end), text((1, None), (7, -2.0), end)
    assert answer_start(one, other) == len(one)


@pytest.mark.parametrize("answer", ["Like this.", "0 of them", "Q", "q", "", "0 or Q", "Q #", "#0"])
def test_a_probe_begins_and_ends_with_other_characters(answer: str) -> None:
    messages = without_prompt(SPEC, JudgedExchange((USER,), answer))
    probed = probe(messages)
    assert probed[:-1] == messages[:-1]
    assert probed[-1].content.casefold() not in {answer[:1].casefold(), answer[-1:].casefold()}
