"""What is judged, one prompt with its answer, and the score that a judge gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from tidegauge.schemas.exchange import (
    CUT_OFF_REASONS,
    Message,
    ResponseEvent,
    last_user_message,
)
from tidegauge.schemas.segments import Segment

__all__ = ["JudgedExchange", "JudgedUnit", "Score", "SkipReason", "judgeable", "question_key"]

_OK = 200
JudgedUnit: TypeAlias = Literal["answer", "conversation"]
"""What a judge scores: one answer, or a whole conversation after its end."""
NO_SEGMENT: Final = Segment(model="")
"""Segment of an exchange that is not of the traffic, such as a golden answer's."""


class SkipReason(StrEnum):
    """Why a sampled answer was not judged; skipped answers are counted by reason."""

    FAILED = "failed"
    """The client got an error, which the vitals worker counts."""
    NOT_CAPTURED = "not_captured"
    """The event does not carry the text."""
    CUT = "cut"
    """The event carries the answer without its middle."""
    EMPTY = "empty"
    """There is nothing to judge: the answer has neither text nor tool calls."""
    NO_PROMPT = "no_prompt"
    """The conversation holds no message of a user."""
    SHED = "shed"
    """The judges were overloaded: the plan that drew the answer was scaled down."""
    TOO_OLD = "too_old"
    """The answer had waited longer than the limit."""
    LATE = "judge_late"
    """The judge had not been called, or had not replied, when the time limit ended."""
    UNREACHABLE = "judge_unreachable"
    """The judge's server was unavailable until the time limit ended."""
    REFUSED = "judge_refused"
    """The judge's server refused this exchange."""
    FAILED_ON = "judge_failed"
    """The judge's server answers others, and failed on this exchange each time."""
    TOO_LONG = "too_long"
    """The question alone is longer than the judge can read."""
    CANNOT_BE_ASKED = "judge_cannot_be_asked"
    """The judge's server lacks what the judge needs, or has another model."""


@dataclass(frozen=True, slots=True)
class JudgedExchange:
    """A conversation and the answer to it.

    Attributes:
        messages: The conversation, its last message the user's or a tool's.
        answer: The answer's text; blank only if it calls tools.
        tool_calls: The answer's tool calls as JSON text, if there are any.
        cut: Whether a part of the conversation was not captured.
        redacted: Whether personal data and secrets were replaced before it was captured.
        reference: An answer that is known to be right, if there is one.
        segment: Slice of the traffic.
        customer: Name of the customer.
        cut_off: Whether the answer ended because it had reached its largest number of tokens, so
            that its last word may be a part of one.
        unit: Whether the answer alone is judged, or the whole conversation, which has ended.
    """

    messages: tuple[Message, ...]
    answer: str
    tool_calls: str | None = None
    cut: bool = False
    redacted: bool = False
    reference: str | None = None
    segment: Segment = NO_SEGMENT
    customer: str = ""
    cut_off: bool = False
    unit: JudgedUnit = "answer"

    @property
    def prompt(self) -> str:
        """Return the last message of a user."""
        return last_user_message(self.messages)


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's verdict on one answer.

    Attributes:
        values: Score's name -> value; empty when ``invalid``.
        invalid: Why there is no score, None if there is one.
        label_mass: Probability on a rubric's labels; None for other judges.
        answer_tokens: Tokens of the answer that were scored, where the judge counts them.
        tokens: Tokens used for the judgment, prompts and replies of all calls together.
        retried: Whether the first reply was invalid and a second call followed.
        reason: The judge's own reason, if it gave one.
        disagreement: Largest difference between the scores of the judge and its jury; None
            where no jury was asked, or none of it replied.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    invalid: str | None = None
    label_mass: float | None = None
    answer_tokens: int | None = None
    tokens: int = 0
    retried: bool = False
    reason: str = ""
    disagreement: float | None = None


def judgeable(event: ResponseEvent) -> JudgedExchange | SkipReason:
    """Return the exchange to judge in a response, or why it cannot be judged.

    Whether an answer can be judged depends on facts that are counted, never on its quality;
    a candidate's answers to mirrored requests are judged like any others.
    """
    if event.error is not None or event.status != _OK:
        return SkipReason.FAILED
    if event.capture == "none" or (event.output is None and event.output_characters):
        return SkipReason.NOT_CAPTURED
    if event.omitted_output_characters:
        return SkipReason.CUT
    if not (event.output or "").strip() and not _calls_tools(event.tool_calls):
        return SkipReason.EMPTY
    if not any(message.role == "user" and message.content.strip() for message in event.messages):
        return SkipReason.NO_PROMPT
    return JudgedExchange(
        event.messages,
        event.output or "",
        event.tool_calls or None,
        cut=event.omitted_characters > 0,
        redacted=event.capture == "redacted",
        segment=event.segment,
        customer=event.customer,
        cut_off=(event.finish_reason or "").lower() in CUT_OFF_REASONS,
    )


def question_key(question: str) -> str:
    """Return a question as references are found by: blanks, upper and lower case do not count.

    Example:
        >>> question_key("  How tall   IS it? ")
        'how tall is it?'
    """
    return " ".join(question.split()).casefold()


def _calls_tools(tool_calls: str | None) -> bool:
    return tool_calls not in {None, "", "[]", "null"}
