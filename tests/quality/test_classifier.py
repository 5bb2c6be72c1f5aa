from __future__ import annotations

import math

import pytest

from tidegauge.quality.classifier import (
    answer_tokens,
    classifier_texts,
    read_classes,
    read_pair,
    read_tokens,
    worst_spans,
)
from tidegauge.quality.errors import ExchangeTooLongError, SpecificationError
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.rubric_text import parse_judge
from tidegauge.quality.specifications import ClassifierSpec
from tidegauge.schemas.exchange import Message

PAIR = """
kind: classifier
name: entailed
model: nli
method: score
text: "{context}"
second: "{question} {answer}"
applies_to: {has: [answer, context]}
"""
CLASSES = """
kind: classifier
name: toxic
model: toxicity
method: classify
text: "{answer}"
scale: [{label: kind}, {label: rude}, {label: toxic}]
"""
EXCHANGE = JudgedExchange(
    (Message(role="user", content="<context>It is 5 m.</context> How tall?"),), "5 {question} m."
)


def classifier(text: str) -> ClassifierSpec:
    found = parse_judge(text, source="own.yaml", model="default", retries=True)
    assert isinstance(found, ClassifierSpec)
    return found


def test_a_classifier_is_asked_about_the_exchanges_parts() -> None:
    assert classifier_texts(classifier(PAIR), EXCHANGE) == (
        "It is 5 m.",
        "How tall? 5 {question} m.",
    )
    assert classifier_texts(classifier(CLASSES), EXCHANGE) == ("5 {question} m.",)
    assert classifier(PAIR).applies(EXCHANGE)


def test_a_context_that_does_not_fit_is_not_asked_about() -> None:
    long = JudgedExchange(
        (Message(role="user", content=f"<context>{'x ' * 9000}</context> How tall?"),), "5 m."
    )
    with pytest.raises(ExchangeTooLongError, match="the context does not fit into the 500 tokens"):
        classifier_texts(classifier(PAIR + "budget_tokens: 500"), long)
    assert classifier_texts(classifier(CLASSES + "budget_tokens: 500"), long) == ("5 m.",)


def test_a_score_is_the_mean_over_the_classes() -> None:
    spec = classifier(CLASSES)
    assert read_classes(spec, [0.5, 0.4, 0.1]).values["score"] == pytest.approx(0.7)
    for bad in ([0.5, 0.5], [], [0.0, 0.0, 0.0], [1.0, math.nan, 0.0], [1.0, -1.0, 1.0]):
        assert read_classes(spec, bad).invalid == "other_classes"


def test_the_worst_token_counts() -> None:
    tokens = classifier(CLASSES.replace("classify", "tokens"))
    found = read_tokens(tokens, [[0.9, 0.1, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert (found.values, found.answer_tokens) == ({"score": 0.0}, 3)
    assert read_tokens(tokens, []).invalid == "no_answer_tokens"
    assert read_tokens(tokens, [[0.9, 0.1, 0.0], [1.0]]).invalid == "other_classes"


def test_the_worst_spans_are_told_in_their_order() -> None:
    tokens = classifier(CLASSES.replace("classify", "tokens"))
    good, bad, worse = [1.0, 0.0, 0.0], [0.0, 0.4, 0.6], [0.0, 0.0, 1.0]
    assert worst_spans(tokens, [good, good]) == []
    assert worst_spans(tokens, [bad, good, worse, bad, good, worse, good, worse]) == [
        (2, 4),
        (5, 6),
        (7, 8),
    ]


def test_classes_in_another_order_are_no_score() -> None:
    spec = classifier(CLASSES)
    assert read_classes(spec, [0.5, 0.4, 0.1], "kind").invalid is None
    assert read_classes(spec, [0.5, 0.4, 0.1], "LABEL_0").invalid is None
    assert read_classes(spec, [0.5, 0.4, 0.1], "Toxic").invalid == "other_order"


@pytest.mark.parametrize(
    ("numbers", "probed", "place"),
    [
        ([2, 7, 3, 8, 9, 3], [2, 7, 3, 5, 3], (3, 5)),
        ([2, 8, 3], [2, 5, 3], (1, 2)),
        ([2, 7, 8, 7, 3], [2, 7, 5, 7, 3], (2, 3)),
        ([7, 8], [7, 8], (2, 2)),
        ([1, 1, 1], [1, 1], (2, 3)),
        ([], [], (0, 0)),
    ],
)
def test_an_answers_tokens_are_those_that_another_answer_changes(
    numbers: list[int], probed: list[int], place: tuple[int, int]
) -> None:
    found = answer_tokens(numbers, probed)
    assert (found.start, found.stop) == place


@pytest.mark.parametrize("mark", ["[SEP]", "</s>", "<s>", "<|im_end|>", "<end_of_turn>", "[/INST]"])
def test_an_exchange_sets_no_mark_of_the_tokenizer(mark: str) -> None:
    spec = classifier(CLASSES.replace("{answer}", "{question}[SEP]{answer}"))
    exchange = JudgedExchange((Message(role="user", content=f"Is {mark} kind?"),), f"No{mark}ne")
    (text,) = classifier_texts(spec, exchange)
    assert text == f"Is {mark[0]} {mark[1:]} kind?[SEP]No{mark[0]} {mark[1:]}ne"
    plain = JudgedExchange((Message(role="user", content="[1] <b>a</b> x<s"),), "[a] < s>")
    assert classifier_texts(spec, plain) == ("[1] <b>a</b> x<s[SEP][a] < s>",)


@pytest.mark.parametrize(("score", "invalid"), [(0.3, None), (1.5, "no_probability")])
def test_a_pairs_score_is_a_probability(score: float, invalid: str | None) -> None:
    assert read_pair(score).invalid == invalid
    assert read_pair(math.nan).invalid == "no_probability"


def test_what_changes_a_score_changes_the_hash_and_the_server_does_not() -> None:
    spec = classifier(PAIR)
    assert classifier(PAIR + "url: http://other").specification_hash == spec.specification_hash
    assert classifier(PAIR + "version: 2").specification_hash != spec.specification_hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PAIR.replace("second", "# second"), "a pair to score has text and second"),
        (CLASSES + "second: '{answer}'", "has text alone"),
        (CLASSES.replace("scale", "# scale"), "needs a scale"),
        (CLASSES.replace("classify", "guess"), "guess"),
        (CLASSES.replace("classify", "tokens").replace("{answer}", "{context}"), "needs {answer}"),
        (CLASSES.replace("classifier", "oracle"), "the kind 'oracle'"),
        (CLASSES + "lead: x", "a classifier has"),
    ],
)
def test_what_is_no_classifier_is_said_to_be_none(text: str, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        classifier(text)
