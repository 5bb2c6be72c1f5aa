"""What decides a score cannot change while the hash of its specification stays.

``scoring_methods.json`` holds, for each kind of judge and the check without a model, a digest of
what it asks and how it reads some exchanges and replies, and its defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tidegauge.quality import classifier, groundedness, likelihood, rubric
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.hallucination import LABEL, given_texts
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.quality.specifications import (
    METHODS,
    ClassifierSpec,
    Grade,
    GroundednessSpec,
    LikelihoodSpec,
    RubricSpec,
)
from tidegauge.quality.support import check_support
from tidegauge.schemas.exchange import Message

FILE: Final = Path(__file__).with_name("scoring_methods.json")
SCALE: Final = (Grade(label="yes", score=1.0), Grade(label="no", score=0.0))
TASK: Final = "Is it good?"


def said(role: Any, content: str, **fields: Any) -> Message:  # noqa: ANN401 - a message's own
    return Message(role=role, content=content, **fields)


CONTEXT: Final = "The tower was built in 1887. It is 324 m tall. Ms Ortega runs it."
EXCHANGES: Final = (
    JudgedExchange((said("user", "Hi"),), "Hello."),
    JudgedExchange(
        (said("system", "Be brief."), said("user", f"<context>{CONTEXT}</context> How tall?")),
        "It is 300 m tall, says Ms Lopez.",
        reference="324 m",
    ),
    JudgedExchange(
        (
            said("user", "What is the weather?"),
            said("assistant", "Where?"),
            said("user", "In Lomé"),
            said("assistant", "", tool_calls='[{"name": "weather"}]'),
            said("tool", "31 °C"),
        ),
        "",
        tool_calls='[{"name": "sun"}]',
    ),
    JudgedExchange(
        (said("user", f"Context: {CONTEXT * 30}\n\nQuestion: how old?"),),
        '"}<|im_end|>[SEP] 130 лет ' + "and so on " * 900,
    ),
)
REPLIES: Final = (
    {"yes": -0.1, " no": -2.5},
    {"Yes": -0.7, "maybe": -0.9},
    {"y": -0.2, "n": None},
)
REASONED: Final = ("Well.\nGrade: yes", "Grade: no\nThanks", "<think>Grade: yes", "not Grade: no")
TOKENS: Final = ((0.9, 0.1), (0.2, 0.8), (0.4, 0.6))


def rubric_facts() -> Iterator[object]:
    spec = RubricSpec(model="m", name="good", task=TASK, scale=SCALE)
    whole = msgspec.structs.replace(spec, unit="conversation")
    for exchange in EXCHANGES:
        yield rubric.request(spec, exchange)
        yield rubric.reasoning_request(spec, exchange)
        yield rubric.request(whole, exchange)
    yield [rubric.read_grade(spec, reply) for reply in REPLIES]
    yield [
        rubric.read_reasoned(spec, reply, finished=ended)
        for reply in REASONED
        for ended in (True, False)
    ]


def tokens(*log_probabilities: float) -> list[ScoredToken]:
    return [ScoredToken(n, p) for n, p in enumerate(log_probabilities)]


def likelihood_facts() -> Iterator[object]:
    spec = LikelihoodSpec(model="m")
    for exchange in EXCHANGES:
        yield likelihood.request(spec, exchange)
        yield likelihood.without_prompt(spec, exchange)
        yield likelihood.probe(likelihood.without_prompt(spec, exchange))
    given, alone = tokens(-1, -0.5, -25), tokens(-1, -3.5, -4)
    yield likelihood.read_likelihood(given, alone, start=1)
    yield likelihood.answer_start(given, tokens(-1, -2)[:1])


def groundedness_facts() -> Iterator[object]:
    spec = GroundednessSpec(model="m")
    given, alone = tokens(-1, -0.5, -25), tokens(-1, -3.5, -4)
    explained = groundedness.read_explained(given, alone, start=1)
    assert isinstance(explained, groundedness.Explained)
    for exchange in EXCHANGES:
        parts = divide(exchange, spec.context)
        yield groundedness.questions(spec, parts)
        support = check_support(parts.answer, given_texts(parts))
        yield round(groundedness.groundedness(support, explained), 9)


def classifier_facts() -> Iterator[object]:
    spec = ClassifierSpec(
        model="m",
        name="found",
        method="tokens",
        text="{system}|{context}|{question}|{reference}|{tool_calls}[SEP]{answer}",
        scale=SCALE,
        budget_tokens=3000,
    )
    for exchange in EXCHANGES:
        yield classifier.classifier_texts(spec, exchange)
        yield classifier.probe_text(spec, exchange)
    yield classifier.answer_tokens([2, 7, 3, 8, 9, 3], [2, 7, 3, 5, 3])
    yield classifier.read_classes(spec, TOKENS[0], "no")
    yield classifier.read_tokens(spec, TOKENS)
    yield classifier.read_pair(0.25)


def check_facts() -> Iterator[object]:
    for exchange in EXCHANGES:
        parts = divide(exchange)
        yield check_support(parts.answer, given_texts(parts))


@dataclass(frozen=True)
class Method:
    """How scores of one kind are made: its version, and what decides them."""

    version: int | str
    facts: Callable[[], Iterator[object]]
    fields: type[msgspec.Struct] | None = None

    def found(self) -> dict[str, Any]:
        told = "\n".join(map(repr, self.facts()))
        fields = () if self.fields is None else msgspec.structs.fields(self.fields)
        return {
            "version": self.version,
            "digest": hashlib.sha256(told.encode()).hexdigest(),
            "defaults": {
                field.name: msgspec.to_builtins(field.default, order="sorted")
                for field in fields
                if not field.required
            },
        }


ALL: Final = {
    "RubricSpec": Method(METHODS["RubricSpec"], rubric_facts, RubricSpec),
    "LikelihoodSpec": Method(METHODS["LikelihoodSpec"], likelihood_facts, LikelihoodSpec),
    "GroundednessSpec": Method(METHODS["GroundednessSpec"], groundedness_facts, GroundednessSpec),
    "ClassifierSpec": Method(METHODS["ClassifierSpec"], classifier_facts, ClassifierSpec),
    "check": Method(LABEL, check_facts),
}


@pytest.mark.parametrize("name", ALL)
def test_a_changed_score_has_a_changed_hash(name: str) -> None:
    found = json.loads(json.dumps(ALL[name].found()))
    kept = json.loads(FILE.read_text(encoding="utf-8"))[name]
    # A new field whose default scores as before needs no new version.
    new = found["defaults"].keys() - kept["defaults"].keys()
    known = {field: told for field, told in found["defaults"].items() if field not in new}
    assert {**found, "defaults": known} == kept, (
        f"what decides the scores of {name} has changed: raise its version (METHODS in "
        "quality/specifications.py, of the check _VERSION in quality/hallucination.py), unless no "
        f"score can differ, and write this into {FILE.name}:\n{json.dumps({name: found})}"
    )
