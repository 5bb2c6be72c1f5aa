"""Whether an answer has the form that the client asked for: JSON, a schema, tool arguments."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any, Final

import msgspec
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from referencing.exceptions import Unresolvable

from tidegauge.schemas.exchange import CheckOutcome

__all__ = ["check_json", "check_json_schema", "check_tool_arguments"]

_LONGEST: Final = 256 * 1024
_LARGEST: Final = 5_000
_NOT_CHECKED: Final = frozenset(
    {"pattern", "patternProperties", "$dynamicRef", "$recursiveRef", "$id", "$anchor"}
)
"""Keywords whose check may run for minutes or reach elsewhere: expressions, moved references."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None
    parameters: Any = None


class _Call(msgspec.Struct):
    function: _Function | None = None


_calls: Final = msgspec.json.Decoder(list[_Call])


def check_json(text: str) -> CheckOutcome:
    """Say whether the text is one JSON object, as ``json_object`` promises."""
    try:
        return "passed" if isinstance(msgspec.json.decode(text), dict) else "failed"
    except msgspec.DecodeError:
        return "failed"


def check_json_schema(text: str, schema: bytes) -> CheckOutcome | None:
    """Say whether the text is JSON of the schema.

    None where that cannot be decided safely: the schema is invalid, recursive, huge or
    refers elsewhere, uses regular expressions, or the text is longer than 256 KiB.

    Example:
        >>> check_json_schema('{"a": "x"}', b'{"properties": {"a": {"type": "number"}}}')
        'failed'
    """
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return "failed"
    return _matches(value, schema) if len(text) <= _LONGEST else None


def check_tool_arguments(tool_calls: str, tools: bytes | None) -> CheckOutcome | None:
    """Say whether every call names a tool that was offered, with arguments of its schema.

    Args:
        tool_calls: The answer's calls in chat's form, JSON text.
        tools: The tools offered, JSON text.
    """
    try:
        calls = _calls.decode(tool_calls)
        offered = _calls.decode(tools or b"[]")
    except msgspec.DecodeError:
        return None
    schemas = {tool.function.name: tool.function.parameters for tool in offered if tool.function}
    outcomes = [_check_call(call.function, schemas) for call in calls]
    if "failed" in outcomes:
        return "failed"
    return None if None in outcomes else "passed"


def _check_call(call: _Function | None, schemas: dict[str | None, Any]) -> CheckOutcome | None:
    if call is None or call.name not in schemas:
        return "failed"
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return "failed"
    schema = schemas[call.name]
    return "passed" if schema is None else _matches(arguments, msgspec.json.encode(schema))


def _matches(value: object, schema: bytes) -> CheckOutcome | None:
    validator = _validator(schema)
    if validator is None:
        return None
    try:
        return "passed" if validator.is_valid(value) else "failed"
    except (Unresolvable, RecursionError):
        return None


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:  # noqa: ANN401 - a class made at run time
    """Return a validator, or None for a schema that is not checked."""
    try:
        content = msgspec.json.decode(schema)
        if not isinstance(content, dict) or _size(content, content, ()) > _LARGEST:
            return None
        kind = validator_for(content)
        kind.check_schema(content)
        return kind(content)
    except (msgspec.DecodeError, SchemaError, Unresolvable, RecursionError):
        return None


def _size(schema: object, whole: object, within: tuple[str, ...]) -> float:
    """Return how many parts a schema has once its references are written out.

    Infinite for one that is recursive or uses what is not checked.
    """
    total = 1.0
    if isinstance(schema, list):
        parts = schema
    elif isinstance(schema, dict):
        if _NOT_CHECKED & schema.keys():
            return inf
        parts = [part for name, part in schema.items() if name not in ("$defs", "definitions")]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in within or not reference.startswith("#/"):
                return inf
            total += _size(_resolve(reference, whole), whole, (*within, reference))
    else:
        return total
    for part in parts:
        total += _size(part, whole, within)
        if total > _LARGEST:
            return inf
    return total


def _resolve(reference: str, whole: object) -> object:
    place = whole
    for step in reference[2:].split("/"):
        place = place.get(step) if isinstance(place, dict) else None
    return place
