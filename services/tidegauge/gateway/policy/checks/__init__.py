"""Checks of an answer, each a pure function from texts to a finding.

A check that does not apply returns None. The finding of a check that applies but was not made
gives the reason. Both are absent from the event, so absence never means that the answer passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tidegauge.gateway.apis import Expectations, ParsedAnswer
from tidegauge.gateway.policy.checks.language import check_language
from tidegauge.gateway.policy.checks.outcomes import check_empty, check_refusal, check_truncation
from tidegauge.gateway.policy.checks.repetition import check_repetition
from tidegauge.gateway.policy.checks.structure import (
    Finding,
    check_json,
    check_json_schema,
    check_tool_arguments,
    unchecked,
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
        answer: The answer; one without text (an embedding's) has no checks.
    """
    return check_wording(messages, answer) | {
        name: finding for name, make in _forms(wanted, answer) if (finding := make()) is not None
    }


def check_wording(messages: Sequence[Message], answer: ParsedAnswer) -> dict[str, Finding]:
    """Return the findings of the cheap checks, which read at most some hundred characters."""
    text = answer.text
    if text is None:
        return {}
    found = {
        "truncation": check_truncation(answer.finish_reason),
        "empty": check_empty(text, answer.tool_calls, answer.refusal),
        "refusal": check_refusal(text, answer.refusal),
        "repetition": check_repetition(text),
        "language": check_language(messages, text),
    }
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def has_form(wanted: Expectations, answer: ParsedAnswer) -> bool:
    """Whether the answer has a form to check, which can take a tenth of a second."""
    asked_for = wanted.json_object or wanted.json_schema is not None
    return answer.text is not None and (asked_for or answer.tool_calls is not None)


def forms_unchecked(wanted: Expectations, answer: ParsedAnswer, reason: str) -> dict[str, Finding]:
    """Return ``unchecked`` with a reason for each check of an answer's form that applies."""
    return {name: unchecked(reason) for name, _ in _forms(wanted, answer)}


def _forms(
    wanted: Expectations, answer: ParsedAnswer
) -> list[tuple[str, Callable[[], Finding | None]]]:
    """Return the applicable checks of an answer's form, by name."""
    text, schema, calls = answer.text, wanted.json_schema, answer.tool_calls
    forms: list[tuple[str, Callable[[], Finding | None]]] = []
    if text is None:
        return forms
    if wanted.json_object:
        forms.append(("json", partial(check_json, text)))
    if schema is not None:
        forms.append(("json_schema", partial(check_json_schema, text, schema)))
    if calls is not None:
        forms.append(("tool_arguments", partial(check_tool_arguments, calls, wanted.tools)))
    return forms
