"""Usage and cost of an exchange, and the times between the pieces of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tidegauge.capture.answer import Ending, ParsedAnswer
from tidegauge.gateway.apis import ParsedRequest, prompt_tokens, text_tokens
from tidegauge.gateway.exchange import Exchange
from tidegauge.gateway.proxy.upstreams import Attempt
from tidegauge.schemas.exchange import InterToken, Usage

__all__ = ["added", "cost_of", "inter_token", "usage_of"]


def inter_token(gaps: Sequence[float]) -> InterToken:
    """Return the inter-token latency.

    Args:
        gaps: Seconds between the pieces of an answer, at least one.

    Example:
        >>> inter_token([0.25, 0.5])
        InterToken(mean_ms=375.0, p95_ms=500.0, max_ms=500.0)
    """
    ordered = sorted(gaps)
    return InterToken(
        mean_ms=sum(ordered) / len(ordered) * 1e3,
        p95_ms=ordered[ceil(0.95 * len(ordered)) - 1] * 1e3,
        max_ms=ordered[-1] * 1e3,
    )


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
    prompt, output = answer.input_tokens, answer.output_tokens
    if output is None:
        pieces = 0 if exchange.first_piece is None else len(exchange.gaps) + 1
        output = max(text_tokens(answer.text or "") + text_tokens(answer.tool_calls or ""), pieces)
    return Usage(
        input_tokens=prompt_tokens(asked.messages) if prompt is None else prompt,
        output_tokens=output,
        estimated=True,
        cached_tokens=answer.cached_tokens,
        reasoning_tokens=answer.reasoning_tokens,
    )


def cost_of(attempt: Attempt, usage: Usage | None) -> float | None:
    """Return the cost of the tokens; None if they have no price, or their number is not known.

    What a server's time costs, no gateway can say alone: others may use the server, too.
    """
    price = attempt.target.upstream.price
    return None if price is None or usage is None else price.of(usage)
