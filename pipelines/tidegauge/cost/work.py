"""The work of an exchange: what it asked of its upstream, minute by minute.

An exchange that lasts several minutes has a part in each. Its prompt is counted in the minute of
its first token, and its answer evenly from the first token to the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tidegauge.schemas.exchange import ResponseEvent, Usage, outcome_of
from tidegauge.schemas.upstream_events import MINUTE_MS, SLOT_MS, CostLine, WorkAmounts
from tidegauge.streaming.upstream_work import SLOTS, WorkPiece

__all__ = ["line_of", "slots_between", "work_of", "work_tokens"]

_LONGEST_MS = 3_600_000.0
"""Of a longer exchange the last hour is counted."""
_MOST_TOKENS = 100_000_000
_NANO = 1_000_000_000
_CACHED_TOKEN = 0.1
_GENERATED_TOKEN = 4.0
"""What tokens count against one of a prompt, about as APIs that are billed by tokens price them."""


def line_of(event: ResponseEvent) -> CostLine:
    """Return why an exchange is paid for."""
    if event.shadow:
        return "shadow"
    if event.attempts > 1 or event.repeat_of is not None:
        return "retry"
    outcome = event.outcome or outcome_of(event.error)
    return "served" if outcome in {"ok", "pending", "unread"} else "failed"


def work_tokens(usage: Usage) -> float:
    """Return an exchange's work as a number of tokens of a prompt, where no price weighs it.

    The weights are fixed, so that only the exchanges change the number: a token from the cache
    counts a tenth, a generated one four times.

    Example:
        >>> work_tokens(Usage(input_tokens=100, output_tokens=50, cached_tokens=60))
        246.0
    """
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    computed = usage.input_tokens - cached
    return computed + cached * _CACHED_TOKEN + usage.output_tokens * _GENERATED_TOKEN


def slots_between(start_ms: float, end_ms: float) -> int:
    """Return the slots of a minute whose middles lie between two times, as the bits of a number.

    On average over the times, the slots are as long as the time between: a short time is not
    rounded up to a slot, so the busy time of many short exchanges is right.

    Args:
        start_ms: From when, in milliseconds from the start of the minute, included.
        end_ms: Until when, excluded.

    Example:
        >>> slots_between(0.0, 100.0), slots_between(30.0, 70.0), slots_between(20.0, 60_000.0) == (
        ...     1 << SLOTS
        ... ) - 1
        (3, 0, True)
    """
    first = max(0, math.ceil(start_ms / SLOT_MS - 0.5))
    last = min(SLOTS, math.ceil(end_ms / SLOT_MS - 0.5))
    return ((1 << (last - first)) - 1) << first if last > first else 0


def work_of(event: ResponseEvent, customer: str, key_id: str = "") -> Iterator[WorkPiece]:
    """Yield an exchange's pieces, one for each minute; none if no upstream was asked.

    Args:
        event: The response.
        customer: The label under which its customer's amounts are added up.
        key_id: The same for its client key.
    """
    latency = event.latency_ms
    if event.upstream is None or not 0 <= latency < math.inf or event.time_ms < 0:
        return
    end = event.time_ms + latency
    before = event.retried_ms or 0.0
    start = event.time_ms + before if 0 <= before <= latency else float(event.time_ms)
    start = max(start, end - _LONGEST_MS)
    first_token = event.time_to_first_token_ms
    decoding = start
    if first_token is not None and 0 <= first_token <= latency:
        decoding = max(start, event.time_ms + first_token)
    usage = _possible(event.usage)
    line = line_of(event)
    prompt_ms = min(decoding, max(start, end - 1.0))
    for minute in range(int(start) // MINUTE_MS, math.ceil(max(end, start + 1) / MINUTE_MS)):
        from_ms = minute * MINUTE_MS
        has_prompt = from_ms <= prompt_ms < from_ms + MINUTE_MS
        if decoding < end:
            earlier, later = (_share(from_ms + offset, decoding, end) for offset in (0, MINUTE_MS))
        else:  # all of the answer arrived at once
            earlier, later = 0.0, float(has_prompt)
        yield WorkPiece(
            event.upstream,
            from_ms,
            slots_between(start - from_ms, end - from_ms),
            slots_between(decoding - from_ms, end - from_ms),
            customer,
            line,
            _work(event, usage, has_prompt=has_prompt, before=earlier, after=later),
            key_id,
        )


def _share(moment: float, start: float, end: float) -> float:
    """Return the share of the time between two moments that has passed at a third."""
    return min(1.0, max(0.0, (moment - start) / (end - start)))


def _possible(usage: Usage | None) -> Usage | None:
    if usage is None:
        return None
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens or 0,
        usage.reasoning_tokens or 0,
    )
    return usage if all(0 <= count <= _MOST_TOKENS for count in counts) else None


def _work(
    event: ResponseEvent, usage: Usage | None, *, has_prompt: bool, before: float, after: float
) -> WorkAmounts:
    """Return the work of a minute, in which the answer went from one share of it to another."""
    if usage is None:
        return WorkAmounts(requests=int(has_prompt), without_usage=int(has_prompt))
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    computed = usage.input_tokens - cached
    output, context = usage.output_tokens, usage.input_tokens + usage.output_tokens / 2

    def part(amount: float) -> int:
        # Rounded ends instead of rounded parts: the parts add up to the whole.
        return round(amount * after) - round(amount * before)

    decoding = max(0.0, event.latency_ms - (event.time_to_first_token_ms or 0.0))
    prompt = has_prompt and 1
    cost = event.cost_usd
    priced = cost is not None and 0 <= cost < _MOST_TOKENS
    return WorkAmounts(
        requests=int(prompt),
        openings=int(prompt and event.turn == 1 and event.step == 1 and event.repeat_of is None),
        prompt_tokens=prompt * computed,
        cached_tokens=prompt * cached,
        output_tokens=part(output),
        reasoning_tokens=part(usage.reasoning_tokens or 0),
        prompt_pairs=prompt * round(computed * (cached + computed / 2)),
        output_pairs=part(output * context),
        decoding_ms=part(min(decoding, _LONGEST_MS)),
        nanousd=prompt * round((cost or 0.0) * _NANO) if priced else 0,
    )
