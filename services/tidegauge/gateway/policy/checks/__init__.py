"""Checks of an answer, each a pure function from texts to a finding.

A check that does not apply returns None. The finding of a check that applies but was not made
gives the reason. Both are absent from the event, so absence never means that the answer passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import Expectations
from tidegauge.gateway.policy.checks.structure import (
    Finding,
    check_json,
    check_json_schema,
    check_tool_arguments,
    unchecked,
)
from tidegauge.gateway.policy.checks.wording import (
    check_empty,
    check_language,
    check_refusal,
    check_repetition,
    check_truncation,
)
from tidegauge.schemas.exchange import Message

__all__ = ["Finding", "check", "check_wording", "forms_unchecked", "has_form"]


def check(
    messages: Sequence[Message], wanted: Expectations, answer: ParsedAnswer
) -> dict[str, Finding]:
    """Return the finding of every check that applies to a complete answer.

    Args:
        messages: The request's messages.
        wanted: The form that the client asked the answer to have.
        answer: The answer, one that a model generated.
    """
    return check_wording(messages, answer) | {
        name: finding for name, make in _forms(wanted, answer) if (finding := make()) is not None
    }


def check_wording(messages: Sequence[Message], answer: ParsedAnswer) -> dict[str, Finding]:
    """Return the findings of the cheap checks, which read at most some hundred characters."""
    text = answer.text or ""
    found = {
        "truncation": check_truncation(answer.finish_reason),
        "empty": check_empty(answer),
        "refusal": check_refusal(text, answer.refusal),
        "repetition": check_repetition(text),
        "language": check_language(messages, text),
    }
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def has_form(wanted: Expectations, answer: ParsedAnswer) -> bool:
    """Whether the answer has a form to check, which can take a tenth of a second."""
    asked_for = wanted.json_object or wanted.json_schema is not None
    return (asked_for and _is_content(answer)) or answer.tool_calls is not None


def forms_unchecked(wanted: Expectations, answer: ParsedAnswer, reason: str) -> dict[str, Finding]:
    """Return ``unchecked`` with a reason for each check of an answer's form that applies."""
    return {name: unchecked(reason) for name, _ in _forms(wanted, answer)}


def _forms(
    wanted: Expectations, answer: ParsedAnswer
) -> list[tuple[str, Callable[[], Finding | None]]]:
    """Return the applicable checks of an answer's form, by name."""
    text, schema, calls = answer.text or "", wanted.json_schema, answer.tool_calls
    forms: list[tuple[str, Callable[[], Finding | None]]] = []
    if _is_content(answer):
        if wanted.json_object:
            forms.append(("json", partial(check_json, text)))
        if schema is not None:
            forms.append(("json_schema", partial(check_json_schema, text, schema)))
    if calls is not None:
        forms.append(("tool_arguments", partial(check_tool_arguments, calls, wanted.tools)))
    return forms


def _is_content(answer: ParsedAnswer) -> bool:
    """Whether the answer is one whose text should have the form that was asked for.

    A model that calls a tool or refuses says nothing in that form, and an image has none.
    """
    if answer.tool_calls or answer.refusal:
        return False
    return not answer.media or bool((answer.text or "").strip())
