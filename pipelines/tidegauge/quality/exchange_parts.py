"""The parts of an exchange: what the model was told, given, asked, and what it answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.context import GUESS, ContextRule, ContextState, Passage
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.schemas.exchange import Message

__all__ = ["ExchangeParts", "divide"]

_REDACTED: Final = re.compile(r"\[(?:email|iban|card|phone|secret)\]")
"""What capture writes in place of personal data and secrets."""
_LAST_WORD: Final = re.compile(r"[^\s\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+\s*\Z")
"""The last run of characters that are neither blank nor of a script without blanks."""


@dataclass(frozen=True, slots=True)
class ExchangeParts:
    """An exchange, part by part. No text stands in two parts, but those of tools.

    Attributes:
        system: The system's messages, without context.
        passages: The context, of all turns and in order, what tools returned included where the
            rule counts it.
        state: What is known of the context.
        earlier: The messages before the question, without the system's and without context.
        question: The user's last message, without context.
        steps: The messages after the question: calls of tools and what they returned.
        answer: The answer's text; blank if it only calls tools. Without its last word, if it was
            cut off there.
        tool_calls: The answer's tool calls as JSON text, if there are any.
    """

    system: str
    passages: tuple[Passage, ...]
    state: ContextState
    earlier: tuple[Message, ...]
    question: str
    steps: tuple[Message, ...]
    answer: str
    tool_calls: str | None = None

    @property
    def context(self) -> str:
        """Return the passages as one text, with a blank line between them."""
        return "\n\n".join(passage.text for passage in self.passages)


def divide(exchange: JudgedExchange, rule: ContextRule = GUESS) -> ExchangeParts:
    """Return the parts of an exchange.

    A user's message that holds context alone is not the question, if there is another one.

    Args:
        exchange: The exchange.
        rule: Which of its texts are context.

    Example:
        >>> parts = divide(
        ...     JudgedExchange(
        ...         (
        ...             Message(role="system", content="Be brief."),
        ...             Message(role="user", content="<context>A is 1.</context> What is A?"),
        ...         ),
        ...         "1",
        ...     )
        ... )
        >>> parts.system, parts.context, parts.question, parts.answer
        ('Be brief.', 'A is 1.', 'What is A?', '1')
    """
    marked = [rule.divide(message) for message in exchange.messages]
    place = _question(exchange.messages, [each.rest for each in marked])
    system: list[str] = []
    earlier: list[Message] = []
    steps: list[Message] = []
    for number, (message, parts) in enumerate(zip(exchange.messages, marked, strict=True)):
        if message.role in {"system", "developer"}:
            system += [parts.rest] if parts.rest.strip() else []
        elif number != place:
            tools = message.role in {"tool", "function"}
            shown = message if tools else _with_content(message, parts.rest)
            if shown.content.strip() or shown.tool_calls:
                (earlier if number < place else steps).append(shown)
    passages = tuple(passage for parts in marked for passage in parts.passages)
    return ExchangeParts(
        system="\n\n".join(system),
        passages=passages,
        state=_state(exchange, passages),
        earlier=tuple(earlier),
        question=marked[place].rest if place >= 0 else "",
        steps=tuple(steps),
        answer=_whole_words(exchange.answer) if exchange.cut_off else exchange.answer,
        tool_calls=exchange.tool_calls,
    )


def _whole_words(answer: str) -> str:
    """Return an answer without its last word, of which the end may be missing.

    In scripts without blanks between words, that is its last character.

    Example:
        >>> _whole_words("It takes 12"), _whole_words("需要十二")
        ('It takes', '需要十')
    """
    shorter = _LAST_WORD.sub("", answer).rstrip()
    return shorter if shorter != answer.rstrip() else answer.rstrip()[:-1]


def _with_content(message: Message, content: str) -> Message:
    """Return a message with another content; the same one if it has that content already."""
    if content == message.content:
        return message
    return Message(role=message.role, content=content, tool_calls=message.tool_calls)


def _question(messages: tuple[Message, ...], rests: list[str]) -> int:
    """Return the place of the question among the messages, -1 if there is none."""
    users = [place for place, message in enumerate(messages) if message.role == "user"]
    worded = [place for place in users if rests[place].strip()]
    return max(worded or users, default=-1)


def _state(exchange: JudgedExchange, passages: tuple[Passage, ...]) -> ContextState:
    if exchange.cut:
        return ContextState.CUT
    if not passages:
        return ContextState.NONE
    if exchange.redacted and any(_REDACTED.search(passage.text) for passage in passages):
        return ContextState.REDACTED
    return ContextState.GIVEN
