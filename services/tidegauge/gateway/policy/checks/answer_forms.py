"""The form of an answer and its checks: JSON, a JSON schema, tool arguments.

Clients write the schemas and models the answers, so these checks are made in a process that can
be killed; see ``form_process``.
"""

from __future__ import annotations

import msgspec

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import Expectations
from tidegauge.gateway.policy.checks.structure import (
    Finding,
    check_json,
    check_json_schema,
    check_tool_arguments,
    unchecked,
)

__all__ = ["Form", "check_form", "form_of", "form_unchecked", "has_form"]


class Form(msgspec.Struct, array_like=True, frozen=True):
    """What the checks of an answer's form need.

    Attributes:
        json_object: The text that has to be a JSON object; None without that check.
        json_text: The text that has to match ``json_schema``; None without that check.
        json_schema: A schema, as JSON text.
        tool_calls: The answer's tool calls in the chat API's form, as JSON text; None without.
        tools: The tools offered, as JSON text.
    """

    json_object: bytes | None = None
    json_text: bytes | None = None
    json_schema: bytes = b""
    tool_calls: bytes | None = None
    tools: bytes | None = None

    def size(self) -> int:
        """Return the size in bytes."""
        parts = (self.json_object, self.json_text, self.json_schema, self.tool_calls, self.tools)
        return sum(len(part) for part in parts if part is not None)


def has_form(wanted: Expectations, answer: ParsedAnswer) -> bool:
    """Whether the answer has a form to check."""
    asked_for = wanted.json_object or wanted.json_schema is not None
    return (asked_for and _is_content(answer)) or answer.tool_calls is not None


def form_of(wanted: Expectations, answer: ParsedAnswer) -> Form | None:
    """Return the form of an answer that there is to check; None if there is none."""
    if not has_form(wanted, answer):
        return None
    calls, schema = answer.tool_calls, wanted.json_schema
    text = _utf8(answer.text or "") if _is_content(answer) else None
    return Form(
        json_object=text if wanted.json_object else None,
        json_text=None if schema is None else text,
        json_schema=schema or b"",
        tool_calls=None if calls is None else _utf8(calls),
        tools=None if calls is None else wanted.tools,
    )


def check_form(form: Form) -> dict[str, Finding]:
    """Return the findings of the checks of a form."""
    found: dict[str, Finding] = {}
    if form.json_object is not None:
        found["json"] = check_json(form.json_object)
    if form.json_text is not None:
        found["json_schema"] = check_json_schema(form.json_text, form.json_schema)
    if form.tool_calls is not None:
        finding = check_tool_arguments(form.tool_calls, form.tools)
        if finding is not None:
            found["tool_arguments"] = finding
    return found


def form_unchecked(form: Form, reason: str) -> dict[str, Finding]:
    """Return ``unchecked`` with a reason for each check of a form."""
    made = {
        "json": form.json_object,
        "json_schema": form.json_text,
        "tool_arguments": form.tool_calls,
    }
    return {name: unchecked(reason) for name, part in made.items() if part is not None}


def _is_content(answer: ParsedAnswer) -> bool:
    """Whether the answer is one whose text should have the form that was asked for.

    A model that calls a tool or refuses says nothing in that form, and an image has none.
    """
    if answer.tool_calls or answer.refusal:
        return False
    return not answer.media or bool((answer.text or "").strip())


def _utf8(text: str) -> bytes:
    """Encode a text; one with lone surrogates becomes no UTF-8, and therefore no JSON."""
    return text.encode("utf-8", "surrogatepass")
