"""What a client asks an answer to look like: JSON, a schema, calls of tools."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["NOTHING_EXPECTED", "Expectations", "expectations", "form_name"]


class Expectations(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The form that the client asked the answer to have.

    Attributes:
        json_object: Whether the answer must be one JSON value.
        json_schema: The schema that the answer must match, as JSON text.
        tools: The tools offered, as JSON text in the chat API's form; None without tools.
    """

    json_object: bool = False
    json_schema: bytes | None = None
    tools: bytes | None = None

    def size(self) -> int:
        """Return the length of the schema and the tools in bytes."""
        return len(self.json_schema or b"") + len(self.tools or b"")


NOTHING_EXPECTED: Final = Expectations()
"""Expectations of a request that asks for no particular form of the answer."""

_FORMS: Final = ("text", "json_object", "json_schema", "structural_tag")


def form_name(form: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Return the type of a ``response_format``; None for none that is known."""
    name = form.get("type") if isinstance(form, dict) else None
    return name if name in _FORMS else None


def expectations(form: Any, structured: Any, tools: bytes | None) -> Expectations:  # noqa: ANN401
    """Return the form that the answer must have.

    Args:
        form: ``response_format``, any JSON.
        structured: vLLM's ``structured_outputs``, any JSON.
        tools: ``tools`` as JSON text.
    """
    if form is None and structured is None and tools is None:
        return NOTHING_EXPECTED
    schema: Any = None
    kind = form_name(form)
    if kind == "json_schema" and isinstance(form.get("json_schema"), dict):
        schema = form["json_schema"].get("schema")
    if isinstance(structured, dict) and structured.get("json") is not None:
        schema = structured["json"]
    if isinstance(schema, str):
        encoded: bytes | None = schema.encode()
    else:
        encoded = None if schema is None else msgspec.json.encode(schema)
    return Expectations(json_object=kind == "json_object", json_schema=encoded, tools=tools)
