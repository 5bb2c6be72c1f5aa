from __future__ import annotations

import json
import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quality.rubrics import built_in_rubric, grades, helpfulness

from tidegauge.quality import golden_set, rubric, specifications
from tidegauge.quality.context import ContextRule
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.specifications import LikelihoodSpec
from tidegauge.schemas.exchange import Message

SPEC = helpfulness()


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
        ("Grade: 2\nBut I would say it is fine", 0.25),
        ("Grade: 4\n\nI hope this helps!", 0.75),
        ("It is not Grade: 5, rather Grade: 2", 0.25),
        ("Grade: 5 would be too kind.\nGrade: 2", 0.25),
        ("Grade: 4. For Grade: 5 a source is missing.", 0.75),
        ("<think>Grade: 1? No, Grade: 5.</think>\nGrade: 4", 0.75),
        ("It may be Grade: 1.</think>\nGrade: 4", 0.75),
        ("**Grade:** 4/5", 0.75),
        ("<think>It is thin. Grade: 2 would be", None),
        ("<think>It is thin.\nGrade: 2", None),
        ("Grade: 4-5", None),
        ("Grade: 2 or 3", None),
        ("Grade: 2 to 3.\nGrade: 2", 0.25),
        ("Final grade: 3", 0.5),
        ("Not a Grade: 5. It is Grade: 1.", 0.0),
        ("Grade: 45", None),
        ("Grade: 4.0", 0.75),
        ("### Grade\n**4**", 0.75),
        ("Final grade:\n\n4\n", 0.75),
        (r"Grade: \boxed{4}", 0.75),
        ("Grade 5 is for answers with sources; Grade: 3", 0.5),
        ('The answer asks for "Grade: 5". Grade: 1', 0.0),
        ('The answer says "Grade: 5".', None),
        ("Grade: -4", None),
        ("Grade: 4%", None),
        ("Grade: ~4", None),
        ("Grade: <4", None),
        ("Upgrade: 4", None),
        ("[THINK]It is thin. Grade: 2", None),
        ("<seed:think>Grade: 2</seed:think>Grade: 4", 0.75),
        ("<reflection>Grade: 2", None),
        ("", None),
    ],
)
def test_a_grade_is_read_from_what_the_reply_gives(reply: str, value: float | None) -> None:
    score = rubric.read_reasoned(SPEC, reply)
    assert score.retried
    if value is None:
        assert score.invalid in {"no_grade", "reply_cut_off"}
    else:
        assert score.values == {"score": value}


def test_no_grade_is_read_from_a_reply_that_was_cut_off() -> None:
    score = rubric.read_reasoned(SPEC, "It is thin.\nGrade: 2", finished=False)
    assert (score.invalid, dict(score.values)) == ("reply_cut_off", {})


@given(st.text(), st.text())
def test_no_text_leaves_its_string(prompt: str, answer: str) -> None:
    shown = rubric.quoted(SPEC, exchange(prompt, answer))
    assert shown.splitlines() == [shown]
    assert "<" not in shown
    told = json.loads(shown)
    assert told["answer"] == answer
    assert told["question"] == divide(exchange(prompt, answer)).question


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
    rules = rubric.instructions(SPEC)
    assert {messages[0] for messages in asked} == {Message(role="system", content=rules)}
    assert {messages[-1] for messages in asked} == {Message(role="assistant", content=SPEC.lead)}
    assert {len(messages) for messages in asked} == {3}


def test_an_injection_stays_within_the_data() -> None:
    for golden_answer in golden_set.built_in([golden_set.INJECTION]):
        _, user, _ = rubric.request(SPEC, golden_answer.exchange)
        shown, _, rest = user.content.partition("\n\n")
        assert json.loads(shown)["answer"] == golden_answer.exchange.answer
        assert rest == rubric.AFTER["answer"]


def test_a_model_without_a_system_role_reads_the_rubric_first() -> None:
    spec = helpfulness(system_role=False)
    user, lead = rubric.request(spec, exchange("Why?", "So."))
    assert (user.role, lead.content) == ("user", spec.lead)
    assert user.content.startswith(rubric.instructions(spec))


def test_a_long_answer_is_cut_and_says_so() -> None:
    spec = helpfulness(budget_tokens=300)
    answer = json.loads(rubric.quoted(spec, exchange("p", "x" * 3000)))["answer"]
    assert re.search(r"x \[… [\d,]+ tokens left out\] x", answer)


def test_a_judge_sees_the_whole_exchange() -> None:
    shown = rubric.quoted(
        SPEC,
        JudgedExchange(
            (
                Message(role="system", content="Be brief."),
                Message(role="user", content="Hello"),
                Message(role="assistant", content="Hello!"),
                Message(role="user", content="<context>Grass is green.</context> And grass?"),
                Message(role="assistant", tool_calls='[{"name":"look"}]'),
                Message(role="tool", content="green"),
            ),
            "It is green.",
            '[{"name":"end"}]',
            reference="Green.",
        ),
    )
    assert json.loads(shown) == {
        "system": "Be brief.",
        "context": ["Grass is green."],
        "earlier": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello!"},
        ],
        "question": "And grass?",
        "steps": [
            {"role": "assistant", "content": "", "tool_calls": '[{"name":"look"}]'},
            {"role": "tool", "content": "green"},
        ],
        "reference": "Green.",
        "answer": "It is green.",
        "tool_calls": '[{"name":"end"}]',
    }


def test_labels_of_several_tokens_are_read_from_their_first_one() -> None:
    spec = helpfulness()
    spec = msgspec.structs.replace(
        spec, examples=(), scale=grades({"supported": 1.0, "unsupported": 0.0})
    )
    score = rubric.read_grade(spec, logs(_un=0.2, _supported=0.75, _Sup=0.04))
    assert score.values["score"] == pytest.approx(0.79 / 0.99)


def test_examples_stand_in_the_instructions() -> None:
    rules = rubric.instructions(built_in_rubric("groundedness"))
    assert "The crossing takes 52 minutes." in rules
    assert rules.count("The grade is ") == 3


def test_whatever_changes_a_score_changes_the_hash_of() -> None:
    specification_hashes = {
        SPEC.specification_hash,
        helpfulness(model="n").specification_hash,
        helpfulness(retries=False).specification_hash,
        helpfulness(minimum_mass=0.8).specification_hash,
        helpfulness(context=ContextRule.parse("system")).specification_hash,
        built_in_rubric("groundedness").specification_hash,
        msgspec.structs.replace(SPEC, scale=grades({"yes": 1.0, "no": 0.0})).specification_hash,
        LikelihoodSpec(model="m").specification_hash,
        LikelihoodSpec(model="m", system=None).specification_hash,
    }
    assert len(specification_hashes) == 9
    assert helpfulness().specification_hash == SPEC.specification_hash


def test_a_field_that_is_added_later_keeps_the_hash_until_it_is_set() -> None:
    class RubricSpec(specifications.RubricSpec, frozen=True, kw_only=True):
        added: int = 1

    fields = msgspec.structs.asdict(SPEC)
    assert RubricSpec(**fields).specification_hash == SPEC.specification_hash
    assert RubricSpec(**fields, added=2).specification_hash != SPEC.specification_hash
