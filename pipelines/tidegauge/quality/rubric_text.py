"""Reads a judge from YAML: a rubric, or a classifier where ``kind: classifier`` says so.

A rubric has a ``name``, a ``task`` and a ``scale``, and may have all other fields of
``RubricSpec``. The scale is a list of grades from the best to the worst; a grade that tells no
score gets one by its place, from 1 down to 0::

    name: politeness
    task: Grade how polite the answer is.
    scale:
      - {label: "3", meaning: friendly and respectful}
      - {label: "2", meaning: neutral}
      - {label: "1", meaning: rude}
    applies_to:
      routes: [/v1/chat/completions]
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import yaml

from tidegauge.quality.context import ContextRule
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.specifications import ClassifierSpec, RubricSpec

__all__ = ["parse_judge"]

_KINDS: Final[Mapping[str, type[RubricSpec | ClassifierSpec]]] = MappingProxyType(
    {"rubric": RubricSpec, "classifier": ClassifierSpec}
)
_TEXTS: Final = ("label", "grade")
_LONGEST: Final = 200_000


def parse_judge(text: str, *, source: str, **defaults: object) -> RubricSpec | ClassifierSpec:
    """Return the rubric or the classifier of a YAML text.

    Args:
        text: The text.
        source: Where it is from, for messages.
        defaults: Values of fields that the text does not give, such as ``model``; those that its
            kind of judge does not have are left out.

    Raises:
        SpecificationError: The text is no YAML, or no judge.
    """
    found = _fields(text, source)
    kind = found.pop("kind", "rubric")
    if kind not in _KINDS:
        raise SpecificationError(
            f"{source} has the kind {kind!r}: a judge is a rubric or classifier"
        )
    fields = _KINDS[kind].__struct_fields__
    if unknown := [str(name) for name in found if name not in fields]:
        raise SpecificationError(
            f"{source} has the unknown field {unknown[0]!r}: a {kind} has "
            f"{', '.join(sorted(fields))}"
        )
    try:
        whole = {name: value for name, value in defaults.items() if name in fields} | found
        if kind == "rubric" or "scale" in found:
            whole["scale"] = _scale(found.get("scale"), source)
        if "examples" in found:
            whole["examples"] = _worded(found["examples"], source, "examples")
        if "context" in found:
            whole["context"] = _rule(found["context"], source)
        return msgspec.convert(whole, _KINDS[kind])
    except msgspec.ValidationError as error:
        raise SpecificationError(f"{source} is no rubric: {error}") from error
    except SpecificationError as error:
        if str(error).startswith(source):
            raise
        raise SpecificationError(f"{source} is no rubric: {error}") from error


def _fields(text: str, source: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise SpecificationError(f"{source} is no rubric: it has {len(text):,} characters")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecificationError(f"{source} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise SpecificationError(
            f"{source} is no rubric: it needs name, task and scale, and holds "
            f"{'nothing' if found is None else type(found).__name__}"
        )
    return found


def _scale(scale: object, source: str) -> list[dict[str, Any]]:
    grades = _worded(scale, source, "scale")
    last = max(1, len(grades) - 1)
    return [{"score": 1 - place / last, **grade} for place, grade in enumerate(grades)]


def _worded(items: object, source: str, name: str) -> list[dict[str, Any]]:
    """Return a list of mappings in which labels are texts: YAML reads 5 as a number."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SpecificationError(f"{source}: {name} has to be a list of mappings")
    worded = []
    for item in items:
        plain = dict(item)
        for field in _TEXTS:
            value = plain.get(field)
            if isinstance(value, bool):
                raise SpecificationError(
                    f"{source}: YAML reads the {field} {str(value).lower()!r} (or yes, no, on, "
                    'off) as a truth value: put it in quotes, such as "yes"'
                )
            if isinstance(value, int | float):
                plain[field] = str(value)
        worded.append(plain)
    return worded


def _rule(context: object, source: str) -> ContextRule:
    if not isinstance(context, dict) or not {*context} <= {"sources", "tags"}:
        raise SpecificationError(f"{source}: context has sources, tags or both, each a list")
    lists = {name: _joined(context.get(name, []), f"{source}: {name}") for name in context}
    return ContextRule.parse(lists.get("sources", "guess"), lists.get("tags", ""))


def _joined(names: object, where: str) -> str:
    if isinstance(names, str):
        return names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SpecificationError(f"{where} has to be a list of names")
    return ",".join(names)
