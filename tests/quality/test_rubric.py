from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.quality import golden_set, rubric
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.specifications import LikelihoodSpec, RubricSpec
from tidegauge.schemas.exchange import Message

SPEC = RubricSpec(model="m")


def exchange(prompt: str, answer: str) -> JudgedExchange:
    return JudgedExchange((Message(role="user", content=prompt),), answer)


def logs(**probabilities: float) -> dict[str, float | None]:
    return {token.strip("_"): math.log(p) for token, p in probabilities.items()}


def test_the_score_is_the_mean_over_the_labels() -> None:
    score = rubric.read_grade(SPEC, logs(_5=0.6, _4=0.2, _1=0.15, _x=0.05))
    assert score.values["score"] == pytest.approx((0.6 * 1 + 0.2 * 0.75) / 0.95)
    assert score.label_mass == pytest.approx(0.95)
    assert score.invalid is None


def test_blanks_around_a_label_do_not_count() -> None:
    score = rubric.read_grade(SPEC, {" 5": math.log(0.5), "5": math.log(0.45)})
    assert score.values == {"score": pytest.approx(1.0)}


def test_too_little_mass_is_invalid_and_no_zero() -> None:
    score = rubric.read_grade(SPEC, logs(_5=0.5, _the=0.5))
    assert (score.invalid, dict(score.values)) == ("label_mass", {})
    assert score.label_mass == pytest.approx(0.5)


@pytest.mark.parametrize(
    "found", [{}, {"the": -0.1}, {"5": None}, {"5": math.nan}, {"5": -math.inf}]
)
def test_no_label_is_invalid(found: dict[str, float | None]) -> None:
    score = rubric.read_grade(SPEC, found)
    assert (score.invalid, dict(score.values)) == ("no_label", {})


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("It is clear.\nGrade: 4", 0.75),
        ("Fine. grade is **5**", 1.0),
        ("Grade: 1.", 0.0),
        ("Grade: 3.5", None),
        ("Grade: 2\nBut I would say it is fine", None),
        ("Grade: 45", None),
        ("", None),
    ],
)
def test_a_reasoned_reply_is_read_from_its_last_line(reply: str, value: float | None) -> None:
    score = rubric.read_reasoned(SPEC, reply)
    assert score.retried
    if value is None:
        assert score.invalid == "no_grade"
    else:
        assert score.values == {"score": value}


@given(st.text(), st.text())
def test_no_text_leaves_its_string(prompt: str, answer: str) -> None:
    shown = rubric.quoted(SPEC, exchange(prompt, answer))
    assert shown.splitlines() == [shown]
    assert "<" not in shown
    assert json.loads(shown) == {"prompt": prompt, "answer": answer}


@pytest.mark.parametrize("mark", ["<|im_end|>", "</s>", "[INST]", "[/INST]", "<start_of_turn>"])
def test_marks_of_chat_templates_are_not_spelt(mark: str) -> None:
    shown = rubric.quoted(SPEC, exchange(mark, f"a {mark} b"))
    assert mark not in shown
    assert json.loads(shown)["answer"] == f"a {mark} b"


def test_code_keeps_its_brackets() -> None:
    assert "xs[0]" in rubric.quoted(SPEC, exchange("code?", "xs[0]"))


def test_the_rubric_comes_first_and_never_changes() -> None:
    every = golden_set.built_in()
    asked = [rubric.request(SPEC, golden_answer.exchange) for golden_answer in every]
    assert {messages[0] for messages in asked} == {Message(role="system", content=SPEC.rubric)}
    assert {messages[-1] for messages in asked} == {Message(role="assistant", content=SPEC.lead)}
    assert {len(messages) for messages in asked} == {3}


def test_an_injection_stays_within_the_data() -> None:
    for golden_answer in golden_set.built_in([golden_set.INJECTION]):
        _, user, _ = rubric.request(SPEC, golden_answer.exchange)
        shown, _, rest = user.content.partition("\n\n")
        assert json.loads(shown)["answer"] == golden_answer.exchange.answer
        assert rest == rubric.AFTER


def test_a_long_answer_is_cut_and_says_so() -> None:
    spec = RubricSpec(model="m", text_bytes=10)
    assert json.loads(rubric.quoted(spec, exchange("p", "x" * 50)))["answer"] == "x" * 10 + " […]"


def test_whatever_changes_a_score_changes_the_hash_of() -> None:
    specification_hashes = {
        SPEC.specification_hash,
        RubricSpec(model="n").specification_hash,
        RubricSpec(model="m", rubric="Be strict.").specification_hash,
        RubricSpec(model="m", minimum_mass=0.8).specification_hash,
        RubricSpec(model="m", labels={"yes": 1.0, "no": 0.0}).specification_hash,
        LikelihoodSpec(model="m").specification_hash,
        LikelihoodSpec(model="m", system=None).specification_hash,
    }
    assert len(specification_hashes) == 7
    assert RubricSpec(model="m").specification_hash == SPEC.specification_hash


@pytest.mark.parametrize("labels", [{}, {"5": 1.0}, {"good": 2.0, "bad": 0.0}])
def test_labels_that_say_nothing_are_refused(labels: dict[str, float]) -> None:
    with pytest.raises(SpecificationError):
        RubricSpec(model="m", labels=labels)
