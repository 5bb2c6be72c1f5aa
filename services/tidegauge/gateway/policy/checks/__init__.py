"""Checks of an answer, each a pure function from texts to a finding.

A check that does not apply returns None. The finding of a check that applies but was not made
gives the reason. Both are absent from the event, so absence never means that the answer passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import Expectations
from tidegauge.gateway.policy.checks.answer_forms import (
    Form,
    check_form,
    form_of,
    form_unchecked,
    has_form,
)
from tidegauge.gateway.policy.checks.structure import Finding
from tidegauge.gateway.policy.checks.wording import (
    check_language,
    check_refusal,
    check_repetition,
)
from tidegauge.schemas.exchange import Message

__all__ = ["Finding", "check", "check_wording", "forms_unchecked", "has_form"]


def check(
    messages: Sequence[Message],
    wanted: Expectations,
    answer: ParsedAnswer,
    check_form: Callable[[Form], dict[str, Finding]] = check_form,
) -> dict[str, Finding]:
    """Return the finding of every check that applies to a complete answer.

    Args:
        messages: The request's messages.
        wanted: The form that the client asked the answer to have.
        answer: The answer, one that a model generated.
        check_form: Checks the form; services pass ``FormProcess.check``.
    """
    found = check_wording(messages, answer)
    if wanted.json_object or wanted.json_schema or answer.tool_calls:
        form = form_of(wanted, answer)
        found |= {} if form is None else check_form(form)
    return found


def check_wording(messages: Sequence[Message], answer: ParsedAnswer) -> dict[str, Finding]:
    """Return the findings of the cheap checks, which read at most some hundred characters."""
    text, cut_off = answer.text or "", answer.is_cut_off
    found = {
        "truncation": None if cut_off is None else _finding(failed=cut_off),
        "empty": _finding(failed=answer.is_empty),
        "refusal": check_refusal(text, answer.refusal),
        "repetition": check_repetition(text),
        "language": check_language(messages, text),
    }
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def _finding(*, failed: bool) -> Finding:
    return "failed" if failed else "passed"


def forms_unchecked(wanted: Expectations, answer: ParsedAnswer, reason: str) -> dict[str, Finding]:
    """Return ``unchecked`` with a reason for each check of an answer's form that applies."""
    form = form_of(wanted, answer)
    return {} if form is None else form_unchecked(form, reason)
