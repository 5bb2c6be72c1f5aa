"""The texts of an exchange as people are shown them: short, with the middle left out."""

from __future__ import annotations

from dataclasses import dataclass

from tidegauge.quality.context import GUESS, ContextRule
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.hallucination import CheckedAnswer, check_hallucination
from tidegauge.quality.judged_exchange import JudgedExchange, SkipReason, judgeable
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent, last_user_message
from tidegauge.schemas.sketches import EXEMPLAR_CHARACTERS

__all__ = ["ExchangeTexts", "exchange_texts", "middle_cut", "unsupported_facts"]


@dataclass(frozen=True, slots=True)
class ExchangeTexts:
    """What was asked, given and answered; empty where nothing is.

    Attributes:
        question: The user's question.
        context: The context that the answer was given.
        answer: The answer, and the tools that it calls.
    """

    question: str
    context: str = ""
    answer: str = ""


def exchange_texts(
    event: RequestEvent | ResponseEvent, rule: ContextRule = GUESS
) -> ExchangeTexts | None:
    """Return the texts of an exchange; None if they were not captured.

    Args:
        event: The request or the response.
        rule: Which texts are context.
    """
    if event.capture == "none" or not event.messages:
        return None
    answer, tool_calls = "", None
    if isinstance(event, ResponseEvent):
        answer, tool_calls = event.output or "", event.tool_calls
    parts = divide(JudgedExchange(event.messages, answer, tool_calls), rule)
    return ExchangeTexts(
        question=middle_cut(parts.question or last_user_message(event.messages)),
        context=middle_cut(parts.context),
        answer=middle_cut(" ".join(filter(None, (parts.answer.strip(), parts.tool_calls)))),
    )


def unsupported_facts(event: ResponseEvent, rule: ContextRule) -> str:
    """Return in a sentence which facts of an answer its context does not hold; empty for none."""
    exchange = judgeable(event)
    if isinstance(exchange, SkipReason) or not exchange.answer.strip():
        return ""
    found = check_hallucination(exchange, rule)
    if not isinstance(found, CheckedAnswer) or not found.unsupported:
        return ""
    return middle_cut(f"not in the context: {'; '.join(each.text for each in found.unsupported)}")


def middle_cut(text: str) -> str:
    """Return a text without its middle, if it is longer than an exemplar shows."""
    half = EXEMPLAR_CHARACTERS // 2
    if len(text) <= EXEMPLAR_CHARACTERS:
        return text
    return f"{text[: half - 2]} … {text[len(text) - half + 1 :]}"
