"""What is judged, one prompt with its answer, and the score that a judge gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegauge.schemas.exchange import Message, ResponseEvent, last_user_message

__all__ = ["JudgedExchange", "Score", "SkipReason", "judgeable"]

_OK = 200


class SkipReason(StrEnum):
    """Why a sampled answer was not judged; every one is counted."""

    FAILED = "failed"
    """The client got an error: the vitals count it."""
    NOT_CAPTURED = "not_captured"
    """The event does not carry the text."""
    EMPTY = "empty"
    """There is no text to judge: nothing at all, or only tool calls."""
    NO_PROMPT = "no_prompt"
    """The conversation holds no message of a user."""
    SHED = "shed"
    """The judges were too busy: drawn by a plan that was then scaled down."""
    TOO_OLD = "too_old"
    """The answer had waited longer than the limit."""
    LATE = "judge_late"
    """The judge's turn had not come, or it had not answered, when the time was over."""
    UNREACHABLE = "judge_unreachable"
    """The judge's server was away until the time was over."""
    REFUSED = "judge_refused"
    """The judge's server would not take this exchange, for its length for instance."""


@dataclass(frozen=True, slots=True)
class JudgedExchange:
    """A conversation and the answer to it.

    Attributes:
        messages: The conversation, its last message the user's or a tool's.
        answer: The answer's text, not blank.
    """

    messages: tuple[Message, ...]
    answer: str

    @property
    def prompt(self) -> str:
        """Return the last message of a user."""
        return last_user_message(self.messages)


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's verdict on one answer.

    Attributes:
        values: Score's name -> value; empty when ``invalid``.
        invalid: Why there is no score, None when there is one.
        label_mass: Probability on a rubric's labels; None for other judges.
        answer_tokens: Tokens of the answer that were scored, where the judge counts them.
        tokens: Tokens that the judgment took, prompt and reply, all calls together.
        retried: Whether the first reply was invalid and it was asked again.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    invalid: str | None = None
    label_mass: float | None = None
    answer_tokens: int | None = None
    tokens: int = 0
    retried: bool = False


def judgeable(event: ResponseEvent) -> JudgedExchange | SkipReason:
    """Return what a judge is shown of a response, or why it cannot be judged.

    Whether an answer can be judged depends on facts that are counted, never on how good
    it is; answers given to a candidate's shadow copy are judged like any other.
    """
    if event.error is not None or event.status != _OK:
        return SkipReason.FAILED
    if event.capture == "none" or (event.output is None and event.output_characters):
        return SkipReason.NOT_CAPTURED
    if not (event.output or "").strip():
        return SkipReason.EMPTY
    if not any(message.role == "user" and message.content.strip() for message in event.messages):
        return SkipReason.NO_PROMPT
    return JudgedExchange(event.messages, event.output or "")
