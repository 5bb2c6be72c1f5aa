"""Rubrics for tests: the built-in ones, for a model called ``m``."""

from __future__ import annotations

from tidegauge.quality.rubric_text import parse_judge
from tidegauge.quality.specifications import Grade, RubricSpec
from tidegauge.workers.judge.judge_files import built_in_rubrics

__all__ = ["built_in_rubric", "grades", "helpfulness", "rubric_of"]


def built_in_rubric(name: str, **defaults: object) -> RubricSpec:
    return rubric_of(built_in_rubrics()[name], source=name, **defaults)


def rubric_of(text: str, *, source: str, **defaults: object) -> RubricSpec:
    fields = {"model": "m", **defaults}
    found = parse_judge(text, source=source, **fields)
    assert isinstance(found, RubricSpec)
    return found


def helpfulness(**defaults: object) -> RubricSpec:
    return built_in_rubric("helpfulness", **defaults)


def grades(labels: dict[str, float]) -> tuple[Grade, ...]:
    return tuple(Grade(label=label, score=score) for label, score in labels.items())
