"""Schemas of strangers: right where they are checked, and never long, far or deep."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from tidegauge.gateway.policy.checks.keywords import UncheckedError, Work
from tidegauge.gateway.policy.checks.schema import Schema
from tidegauge.gateway.policy.checks.structure import (
    check_json,
    check_json_schema,
    check_tool_arguments,
)

DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
DRAFT_2019: Final = "https://json-schema.org/draft/2019-09/schema"

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 1.5, "", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
names = st.lists(st.sampled_from("abc"), max_size=2, unique=True)
counts = st.integers(0, 3)
kinds = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
bounds = st.integers(-2, 2) | st.sampled_from([0.5, 1.0])


def _containing(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds | st.lists(kinds, min_size=1, max_size=2, unique=True),
            "enum": st.lists(values, max_size=3),
            "const": values,
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "required": names,
            "items": inner,
            "prefixItems": several,
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y~1z/not"]),
            "minimum": bounds,
            "exclusiveMaximum": bounds,
            "multipleOf": st.integers(1, 3),
            "minLength": counts,
            "maxItems": counts,
            "minProperties": counts,
            "format": st.just("email"),
            "title": st.just("anything"),
        },
    )


leaves = st.booleans() | st.fixed_dictionaries({"type": kinds})
schemas = st.recursive(leaves, _containing, max_leaves=12).filter(lambda it: isinstance(it, dict))


@given(schemas, values, leaves, leaves)
def test_it_agrees_with_a_general_validator(
    schema: dict[str, Any], value: object, x: object, y: object
) -> None:
    whole = schema | {"$defs": {"x": x, "y/z": {"not": y}}}
    expected = "passed" if Draft202012Validator(whole).is_valid(value) else "failed"
    assert check_json_schema(json.dumps(value), json.dumps(whole).encode()) == expected


@given(schemas, values, leaves, leaves)
def test_it_agrees_in_draft_7(schema: dict[str, Any], value: object, x: object, y: object) -> None:
    whole = schema | {"$schema": DRAFT_7, "$defs": {"x": x, "y/z": {"not": y}}}
    found = check_json_schema(json.dumps(value), json.dumps(whole).encode())
    if found != "unchecked: prefixItems":
        valid = Draft7Validator(whole).is_valid(value)
        assert found == ("passed" if valid else "failed")


def outcome(schema: object, value: object = None) -> str:
    return check_json_schema(json.dumps(value), json.dumps(schema).encode())


def test_recursive_schemas_are_checked() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["name"]}
    assert outcome(tree, {"name": 1, "next": {"name": 2}}) == "passed"
    assert outcome(tree, {"name": 1, "next": {"nome": 2}}) == "failed"


def test_references_point_into_lists_and_through_escapes() -> None:
    schema = {"x%/~": [{"type": "null"}, {"type": "string"}], "$ref": "#/x%25~1~0/1"}
    assert outcome(schema, "a") == "passed"
    assert outcome(schema, None) == "failed"
    assert outcome(schema | {"$ref": "#/x%25~1~0/2"}) == "unchecked: $ref"


def test_numbers_are_what_they_are_written_as() -> None:
    assert outcome({"multipleOf": 0.1}, 0.3) == "passed"
    assert outcome({"multipleOf": 0.1}, 0.35) == "failed"
    assert outcome({"multipleOf": 3}, 7) == "failed"
    assert outcome({"type": "integer", "minimum": 10**399}, 10**400) == "passed"
    assert check_json_schema("1e999", b"{}") == check_json("1e999") == "unchecked: number"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing; nobody may have connected in the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def _reaching(address: str) -> Iterator[dict[str, Any]]:
    """Yield schemas that a validator might follow to an address."""
    for draft in ("03", "04", "06", "07"):
        yield {
            "$schema": f"http://json-schema.org/draft-{draft}/schema#",
            "$ref": "#/unk/a",
            "unk": {
                "a": {
                    "properties": {
                        "b": {"id": address, "properties": {"c": {"$ref": "#/definitions/y"}}}
                    }
                }
            },
            "definitions": {"y": {}},
        }
    for said in ({}, {"$schema": DRAFT_7}, {"$schema": DRAFT_2019}):
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef", "$schema"):
            yield said | {"properties": {"b": {keyword: address}}}
            yield said | {"properties": {"b": {"$ref": "#/x"}}, "x": {keyword: address}}
        for keyword in ("$id", "id"):
            yield said | {"properties": {"b": {keyword: address, "$ref": "y#/a"}}}
            yield said | {"$ref": "#/x/a", "x": {keyword: address, "a": {"$ref": "y"}}}
    yield {"$schema": address, "properties": {"b": {"$ref": address}}}


def test_no_schema_reaches_an_address(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for schema in _reaching(f"http://127.0.0.1:{port}/x"):
        assert outcome(schema, {"b": {"c": 1}}).startswith("unchecked: ")


def test_no_schema_reads_a_file(tmp_path: Path) -> None:
    """A file's schema that nothing meets would fail the answer."""
    file = tmp_path / "schema.json"
    file.write_text("false")
    for schema in _reaching(file.as_uri()):
        assert outcome(schema, {"b": {"c": 1}}).startswith("unchecked: ")


def nested(levels: int, within: str = "allOf", **beside: object) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {within: [schema], **beside}
    return schema


def doubling(within: str) -> dict[str, Any]:
    """Return a schema whose evaluation doubles 40 times."""
    defs: dict[str, Any] = {
        f"a{n}": {within: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)
    }
    return {"$ref": "#/$defs/a0", "$defs": defs | {"a40": {"type": "null"}}}


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        (nested(25, unevaluatedProperties=False), {"a": 1}, "unevaluatedProperties"),
        (nested(25, unevaluatedItems=False), [1], "unevaluatedItems"),
        ({"uniqueItems": True}, [{"a": n} for n in range(1000)], "uniqueItems"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, {"a": "a" * 40 + "!"}, "pattern"),
        ({"patternProperties": {"(a+)+$": {}}}, {"a" * 40: 1}, "patternProperties"),
        ({"contains": {}}, [], "contains"),
        ({"dependentSchemas": {}}, {}, "dependentSchemas"),
        ({"propertyNames": {}}, {}, "propertyNames"),
        ({"items": [{}]}, [], "items"),
        ({"required": True}, {}, "required"),
        ({"exclusiveMinimum": True}, 1, "exclusiveMinimum"),
        ({"type": "nonsense"}, 1, "type"),
        ({"allOf": []}, 1, "allOf"),
        ({"allOf": [1]}, 1, "allOf"),
        ({"$ref": "#/nowhere"}, 1, "$ref"),
        ({"$ref": "#anchor"}, 1, "$ref"),
        ({"$ref": "#"}, 1, "depth"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, {"a": 1}, "depth"),
        (nested(150), 1, "depth"),
        (doubling("allOf"), None, "budget"),
        (doubling("anyOf"), 1, "budget"),
        (doubling("oneOf"), 1, "budget"),
        ({"items": {"not": {"anyOf": [{"type": "string"}] * 2000}}}, [0] * 10_000, "budget"),
        ({"items": {"not": {"const": [[0]] * 2000}}}, [[0]] * 2000, "budget"),
        ({"anyOf": [{"items": False}] * 2000}, [0] * 10_000, "budget"),
        ({"anyOf": [{"additionalProperties": False}] * 2000}, dict.fromkeys("abc" * 9), "failed"),
        ({"items": {"multipleOf": 5e-324}}, [1e308] * 10_000, "budget"),
        ({"anyOf": [{}] * 6000}, 1, "size"),
        ({}, "a" * (256 * 1024), "size"),
        ({"title": "a" * (256 * 1024)}, 1, "size"),
        ([], 1, "invalid"),
        (3, 1, "invalid"),
    ],
)
def test_what_would_take_long_is_not_checked(schema: object, value: object, reason: str) -> None:
    found = outcome(schema, value)
    assert found == (reason if reason == "failed" else f"unchecked: {reason}")


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"not":'])
def test_depth_is_bounded_on_both_sides(opening: str) -> None:
    deep = opening * 5_000 + "1" + ("]" if opening == "[" else "}") * 5_000
    assert check_json_schema(deep, b"{}") == check_json(deep) == "unchecked: depth"
    assert check_json_schema("1", deep.encode()) == "unchecked: depth"


def test_work_is_counted_in_steps_and_ends() -> None:
    schema = Schema.read(b'{"items": {"type": "integer"}}', Work())
    work = Work(1000)
    assert schema.accepts(list(range(100)), work)
    assert 1000 - work.left < 500
    with pytest.raises(UncheckedError, match="budget"):
        schema.accepts(list(range(1000)), work)


def test_all_calls_of_an_answer_share_one_measure_of_work() -> None:
    parameters = {"anyOf": [{"type": "string"}] * 2000}
    tools = [{"function": {"name": f"t{n}", "parameters": parameters}} for n in range(12)]
    calls = [{"function": {"name": f"t{n}", "arguments": '"a"'}} for n in range(12)]
    few, many = json.dumps(calls[:2]), json.dumps(calls)
    assert check_tool_arguments(few, json.dumps(tools).encode()) == "passed"
    assert check_tool_arguments(many, json.dumps(tools).encode()) == "unchecked: budget"
    assert check_tool_arguments("[" * 5000, b"[]") is None
    assert check_tool_arguments(" " * (1 << 20), b"[]") == "unchecked: size"
