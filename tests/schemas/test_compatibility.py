"""Every change that some reader cannot bear is found, and no other."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tidegauge.schemas.compatibility import breakages

PUBLISHED: dict[str, Any] = {
    "title": "Event",
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "count": {"type": "integer", "default": 0},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "kind": {"enum": ["a", "b"]},
        "part": {"$ref": "#/$defs/Part"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "pairs": {
            "type": "array",
            "items": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "string"}],
                "items": False,
            },
        },
        "labels": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["id", "kind"],
    "$defs": {
        "Part": {
            "type": "object",
            "properties": {"size": {"type": "integer"}, "name": {"type": "string"}},
            "required": ["size"],
        }
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The published schema with one place set to a value, or taken out if it is None."""
    schema = copy.deepcopy(PUBLISHED)
    *steps, last = path.split("/")
    place: Any = schema
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return schema


@pytest.mark.parametrize(
    ("path", "value", "where", "problem"),
    [
        ("properties/count", None, "count", "removed"),
        ("properties/part", None, "part", "removed"),
        ("properties/count/type", "string", "count", "type was 'integer'"),
        ("properties/count/default", 1, "count", "default was 0"),
        ("properties/count/minimum", 1, "count", "minimum was None"),
        ("properties/id", {"enum": ["x"]}, "id", "opened or closed"),
        ("properties/note", {"type": "string", "default": ""}, "note", "anyOf had 2"),
        ("properties/note/anyOf", [{"type": "integer"}, {"type": "null"}], "note", "'integer'"),
        ("properties/kind/enum", ["a"], "kind", "'b' was removed"),
        ("properties/kind/enum", ["a", "b", "c"], "kind", "'c' was added"),
        ("properties/kind", {"type": "string"}, "kind", "opened or closed"),
        ("required", ["id", "kind", "count"], "count", "became required"),
        ("required", ["id"], "kind", "became optional"),
        ("properties/labels/additionalProperties/type", "integer", "labels[]", "'number'"),
        ("properties/labels/additionalProperties", None, "labels[]", "additionalProperties"),
        ("properties/pairs/items/prefixItems", [{"type": "string"}], "pairs[]", "prefixItems"),
        ("properties/parts/items", {"type": "string"}, "parts[].size", "removed"),
        ("$defs/Part/properties/size/type", "number", "part.size", "'integer'"),
        ("$defs/Part/properties/name", None, "parts[].name", "removed"),
        ("$defs/Part/required", ["size", "name"], "part.name", "became required"),
    ],
)
def test_a_change_that_breaks_a_reader(path: str, value: object, where: str, problem: str) -> None:
    found = breakages(PUBLISHED, changed(path, value))
    assert any(breakage.path == where and problem in breakage.problem for breakage in found), found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "Another"),
        ("properties/count/description", "How many."),
        ("properties/more", {"type": "string", "default": ""}),
        ("$defs/Part/properties/more", {"$ref": "#/$defs/Part"}),
        ("$defs/Unused", {"type": "string"}),
        ("properties/part", {"$ref": "#/$defs/Part", "description": "A part."}),
    ],
)
def test_a_change_that_breaks_nobody(path: str, value: object) -> None:
    assert breakages(PUBLISHED, changed(path, value)) == []


def test_a_renamed_definition_breaks_nobody() -> None:
    schema = copy.deepcopy(PUBLISHED)
    schema["$defs"]["Piece"] = schema["$defs"].pop("Part")
    schema["properties"]["part"] = {"$ref": "#/$defs/Piece"}
    schema["properties"]["parts"]["items"] = {"$ref": "#/$defs/Piece"}
    assert breakages(PUBLISHED, schema) == []


def test_the_same_schema_breaks_nobody() -> None:
    assert breakages(PUBLISHED, copy.deepcopy(PUBLISHED)) == []
