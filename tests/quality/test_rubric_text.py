from __future__ import annotations

import pytest
from tests.quality.rubrics import built_in_rubric, rubric_of

from tidegauge.quality import golden_set
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.specifications import RubricSpec
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import Message
from tidegauge.workers.judge.judge_files import built_in_rubrics

POLITENESS = """
name: politeness
task: Grade how polite the answer is.
scale:
  - {label: 3, meaning: friendly}
  - {label: 2}
  - {label: 1, meaning: rude}
examples:
  - {question: Hi, answer: Go away., grade: 1}
applies_to:
  models: [support-*]
  routes: [/v1/chat/completions]
"""


def politeness(extra: str = "") -> RubricSpec:
    return rubric_of(POLITENESS + extra, source="politeness.yaml")


def asked(model: str = "support-1", **fields: str | None) -> JudgedExchange:
    return JudgedExchange(
        (Message(role="user", content="Hi"),),
        fields.get("answer") or "",
        fields.get("tool_calls"),
        segment=Segment(model=model, route="/v1/chat/completions"),
        customer="acme",
    )


def test_numbers_are_labels_and_scores_follow_from_the_places() -> None:
    assert politeness().labels == {"3": 1.0, "2": 0.5, "1": 0.0}
    assert politeness().examples[0].grade == "1"
    assert politeness("minimum_mass: 0.7").minimum_mass == 0.7


def test_what_a_file_says_comes_before_what_is_set() -> None:
    assert politeness("model: big").model == "big"
    rule = politeness("context: {sources: [system], tags: [kb]}").context
    assert (list(rule.sources), rule.tags) == (["system"], ("kb",))


def test_a_judge_is_asked_about_what_its_rubric_applies_to() -> None:
    assert politeness().applies(asked(answer="Hello"))
    assert not politeness().applies(asked("sales-1", answer="Hello"))
    assert not politeness().applies(asked(tool_calls="[1]"))
    assert built_in_rubric("tool_use").applies(asked(tool_calls="[1]"))
    assert not built_in_rubric("tool_use").applies(asked(answer="Hello"))


@pytest.mark.parametrize("name", built_in_rubrics())
def test_a_built_in_rubric_is_asked_about_its_golden_answers(name: str) -> None:
    spec = built_in_rubric(name)
    golden = golden_set.built_in(spec.qualified_on)
    assert spec.name == name
    assert all(spec.applies(answer.exchange) for answer in golden)
    good = sum(answer.kind == golden_set.GOOD for answer in golden)
    assert good >= 16, "enough for a judge that errs now and then"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing"),
        ("[1]", "holds list"),
        ("a: [", "no YAML"),
        ("name: x", "scale has to be a list"),
        (POLITENESS + "colour: red", "unknown field 'colour'"),
        (POLITENESS.replace("label: 3", "label: yes"), "put it in quotes"),
        (POLITENESS.replace("label: 2", "label: 33"), "begin another"),
        (POLITENESS.replace("grade: 1", "grade: 7"), "the scale has 3, 2, 1"),
        (POLITENESS.replace("label: 2", "label: 2, score: 4"), "lies in"),
        (POLITENESS.replace("name: politeness", "name: Pol/ite"), "cannot be named"),
        (POLITENESS.replace("models", "modells"), "modells"),
        (POLITENESS + "context: {sources: [web]}", "where context stands"),
        (POLITENESS + "context: 5", "context has sources"),
    ],
)
def test_what_is_no_rubric_is_said_to_be_none(text: str, said: str) -> None:
    with pytest.raises(SpecificationError, match=said) as caught:
        rubric_of(text, source="own.yaml")
    assert str(caught.value).startswith("own.yaml")
