"""Checks of an answer, each a pure function from texts to an outcome.

A check that could not be made returns None and is absent from the event: absence never
means that the answer passed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidegauge.gateway.apis import Expectations, ParsedAnswer
from tidegauge.gateway.policy.checks.language import check_language
from tidegauge.gateway.policy.checks.outcomes import check_empty, check_refusal, check_truncation
from tidegauge.gateway.policy.checks.repetition import check_repetition
from tidegauge.gateway.policy.checks.structure import (
    check_json,
    check_json_schema,
    check_tool_arguments,
)
from tidegauge.schemas.exchange import CheckOutcome, Message

__all__ = ["check"]


def check(
    messages: Sequence[Message], wanted: Expectations, answer: ParsedAnswer
) -> dict[str, CheckOutcome]:
    """Return the outcome of every check that could be made of a complete answer.

    Args:
        messages: What was asked.
        wanted: What the answer must look like.
        answer: One without text (an embedding's) has no checks.
    """
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
    if wanted.json_object:
        found["json"] = check_json(text)
    if wanted.json_schema is not None:
        found["json_schema"] = check_json_schema(text, wanted.json_schema)
    if answer.tool_calls is not None:
        found["tool_arguments"] = check_tool_arguments(answer.tool_calls, wanted.tools)
    return {name: outcome for name, outcome in found.items() if outcome is not None}
