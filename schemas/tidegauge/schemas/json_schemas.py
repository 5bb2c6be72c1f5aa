"""JSON Schemas of the events, with descriptions from the events' docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tidegauge.schemas.codec import type_name

__all__ = ["DIALECT", "components", "event_schema", "file_name", "schema_version"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTES = "\n\nAttributes:\n"
_ATTRIBUTE = re.compile(r"^    (?P<name>\w+): (?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)


def schema_version(kind: type[msgspec.Struct]) -> int:
    """Return the schema version of an event that this code writes."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    return int(fields["schema_version"].default)


def file_name(kind: type[msgspec.Struct]) -> str:
    """Return the name of an event's published schema.

    Example:
        >>> from tidegauge.schemas.exchange import RequestEvent
        >>> file_name(RequestEvent)
        'tidegauge.request.v1.json'
    """
    return f"{type_name(kind)}.v{schema_version(kind)}.json"


def event_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return an event's self-contained JSON Schema (draft 2020-12)."""
    roots, definitions = components([kind], "#/$defs/{name}")
    name = roots[0].rpartition("/")[2]
    return {
        "$schema": DIALECT,
        "$id": f"urn:tidegauge:event:{type_name(kind)}:{schema_version(kind)}",
        **definitions.pop(name),
        "$defs": definitions,
    }


def components(
    kinds: Iterable[type[msgspec.Struct]], template: str
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Return the references to some events, and the definitions that they and their parts use.

    Args:
        kinds: The events.
        template: Template of the references, with ``{name}`` for a definition's name.
    """
    kinds = list(kinds)
    references, definitions = msgspec.json.schema_components(kinds, ref_template=template)
    for definition in definitions.values():
        _describe(definition)
    for reference, kind in zip(references, kinds, strict=True):
        definition = definitions[reference["$ref"].rpartition("/")[2]]
        definition["properties"]["schema_version"]["const"] = schema_version(kind)
    return [reference["$ref"] for reference in references], definitions


def _describe(definition: dict[str, Any]) -> None:
    """Move the attributes' descriptions from the docstring to the properties."""
    text = inspect.cleandoc(definition.get("description", ""))
    summary, _, attributes = text.partition(_ATTRIBUTES)
    definition["description"] = _line(summary)
    properties: Mapping[str, dict[str, Any]] = definition.get("properties", {})
    for match in _ATTRIBUTE.finditer(attributes):
        if (field := properties.get(match["name"])) is not None:
            field["description"] = _line(match["text"])


def _line(text: str) -> str:
    return " ".join(text.split())
