"""The usage of an exchange whose upstream reports none, or that has two answers."""

from __future__ import annotations

from tidegauge.capture.answer import Ending, ParsedAnswer
from tidegauge.gateway.apis import ParsedRequest, prompt_tokens, text_tokens
from tidegauge.gateway.exchange_state import Exchange
from tidegauge.schemas.exchange import Usage

__all__ = ["added", "usage_of"]


def usage_of(
    exchange: Exchange, asked: ParsedRequest, answer: ParsedAnswer, ending: Ending
) -> Usage | None:
    """Return the usage: as reported, or estimated where the upstream reported none.

    Estimated are complete answers and what was sent of others. An answer of which the upstream
    itself says that it failed costs what the upstream reports, and nothing if it reports nothing.
    """
    usage = answer.usage
    if usage is None:
        known = answer.input_tokens is not None or answer.output_tokens is not None
        if known or _is_charged(exchange, answer, ending):
            usage = _estimated(exchange, asked, answer)
    return usage if exchange.discarded is None else added(usage, exchange.discarded)


def added(usage: Usage | None, discarded: Usage | None) -> Usage | None:
    """Return the sum of an answer's usage and that of an answer that was not passed on."""
    if usage is None or discarded is None:
        return usage or discarded
    return Usage(
        input_tokens=usage.input_tokens + discarded.input_tokens,
        output_tokens=usage.output_tokens + discarded.output_tokens,
        estimated=usage.estimated or discarded.estimated,
        cached_tokens=_sum(usage.cached_tokens, discarded.cached_tokens),
        reasoning_tokens=_sum(usage.reasoning_tokens, discarded.reasoning_tokens),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def _is_charged(exchange: Exchange, answer: ParsedAnswer, ending: Ending) -> bool:
    if ending.outcome == "ok" or answer.ended:
        return ending.outcome == "ok"
    if ending.outcome == "cancelled":
        return exchange.attempt is not None and exchange.attempt.started
    return exchange.first_piece is not None


def _estimated(exchange: Exchange, asked: ParsedRequest, answer: ParsedAnswer) -> Usage:
    """Return the usage with an estimate of what the upstream did not report."""
    prompt, output = answer.input_tokens or None, answer.output_tokens
    if not output:
        pieces = 0 if exchange.first_piece is None else len(exchange.gaps) + 1
        output = max(text_tokens(answer.text or "") + text_tokens(answer.tool_calls or ""), pieces)
    return Usage(
        input_tokens=prompt_tokens(asked.messages) if prompt is None else prompt,
        output_tokens=output,
        estimated=True,
        cached_tokens=answer.cached_tokens,
        reasoning_tokens=answer.reasoning_tokens,
    )
