"""Shares of a minute's busy time: the prompts pay what the weights say, the answers the rest.

A step's time is shared by the tokens that are generated in it, so an answer beside others pays less
for a token, by the number that is expected beside it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from tidegauge.cost.weights import BusyMinute, CostWeights
from tidegauge.schemas.upstream_events import MINUTE_MS, SLOT_MS, WorkAmounts
from tidegauge.streaming.upstream_work import MinuteOfWork

__all__ = ["SLOT_SECONDS", "busy_minute", "shares_of_minute"]

SLOT_SECONDS: Final = SLOT_MS / 1000
_MINUTE_SECONDS: Final = MINUTE_MS / 1000
_LEAST_BESIDE: Final = 1e-6

_FIELDS: Final = WorkAmounts.__struct_fields__
_REQUESTS: Final = _FIELDS.index("requests")
_WITHOUT_USAGE: Final = _FIELDS.index("without_usage")
_PROMPT_TOKENS: Final = _FIELDS.index("prompt_tokens")
_PROMPT_PAIRS: Final = _FIELDS.index("prompt_pairs")
_OUTPUT_TOKENS: Final = _FIELDS.index("output_tokens")
_OUTPUT_PAIRS: Final = _FIELDS.index("output_pairs")
_DECODING_MS: Final = _FIELDS.index("decoding_ms")
"""Places of amounts in a row, which is read millions of times for a bill of a month."""


def busy_minute(minute: MinuteOfWork, work: WorkAmounts) -> BusyMinute:
    """Return what weights are measured by.

    Args:
        minute: A minute with a busy slot.
        work: The sum of its rows.
    """
    decoding = minute.decoding.bit_count() * SLOT_SECONDS
    summed = work.decoding_ms / 1000
    prompts = work.requests - work.without_usage
    tokens = _later_tokens(work.output_tokens, prompts)
    return BusyMinute(
        busy_seconds=minute.busy.bit_count() * SLOT_SECONDS,
        decoding_share=decoding / _MINUTE_SECONDS,
        prompts=prompts,
        prompt_tokens=work.prompt_tokens,
        prompt_pairs=work.prompt_pairs,
        steps=decoding * tokens / summed if summed else 0.0,
        output_pairs=work.output_pairs,
    )


def shares_of_minute(
    minute: MinuteOfWork, weights: CostWeights | None, busy_seconds: float
) -> list[float]:
    """Return each row's share of a minute's busy time, in seconds.

    Args:
        minute: The minute.
        weights: What the upstream's time is spent on; None if it never was busy.
        busy_seconds: The minute's busy time.
    """
    rows = minute.rows.values()
    if weights is None:
        return [0.0] * len(rows)
    prompts = [
        weights.prompt_seconds(_prompts(row), row[_PROMPT_TOKENS], row[_PROMPT_PAIRS])
        for row in rows
    ]
    answers = _answers(rows, weights)
    answer = sum(answers)
    if not answer and not any(prompts):
        prompts = [float(row[_PROMPT_TOKENS]) for row in rows]
        if not any(prompts):  # the end of an answer, of which no whole token is left
            prompts = [float(row[_DECODING_MS]) for row in rows]
    prompt = sum(prompts)
    of_prompts = min(busy_seconds, prompt) if answer else busy_seconds
    a_prompt = of_prompts / prompt if prompt else 0.0
    an_answer = (busy_seconds - of_prompts) / answer if answer else 0.0
    return [a_prompt * p + an_answer * a for p, a in zip(prompts, answers, strict=True)]


def _prompts(row: Sequence[int]) -> int:
    """Return the row's exchanges whose work is known."""
    return row[_REQUESTS] - row[_WITHOUT_USAGE]


def _later_tokens(tokens: float, answers: float) -> float:
    """Return the tokens that answers have after their first, which comes with the prompt."""
    return max(0.0, tokens - answers)


def _answers(rows: Collection[Sequence[int]], weights: CostWeights) -> list[float]:
    """Return the parts of the rows' answers in the steps, in proportion to seconds.

    An answer pays its part of the steps that it is in: of the step's own time and of the context
    that it reads itself, and for the rest of its part, of the context of those beside it, which is
    that of the minute at the mean.
    """
    tokens = [_later_tokens(row[_OUTPUT_TOKENS], _prompts(row)) for row in rows]
    generated = sum(tokens)
    context = sum(row[_OUTPUT_PAIRS] for row in rows) / generated if generated else 0.0
    step, pair = weights.step_seconds, weights.output_pair_seconds
    if not step and not pair:
        step = 1.0
    return [
        part * (step * count + pair * row[_OUTPUT_PAIRS]) + (1 - part) * pair * context * count
        if count
        else 0.0
        for row, count, part in zip(rows, tokens, _parts_of_steps(rows), strict=True)
    ]


def _parts_of_steps(rows: Collection[Sequence[int]]) -> list[float]:
    """Return, for each row, the expected part of its steps that one of its answers pays for.

    It is the mean of ``1 / (1 + N)``, if N of the minute's other answers are under way. Each of
    them is for its share of the minute, at random moments. N is taken for a binomial variable with
    its mean ``b`` and variance ``b (1 - p)``: of ``b / p`` answers, each with the chance ``p``,

        E[1 / (1 + N)] = (1 - (1 - p)^(b / p + 1)) / (b + p).
    """
    under_way = [row[_DECODING_MS] / MINUTE_MS for row in rows]
    # Of as many answers as began in the minute: those that go on after it are, at the mean, as long
    # in it as those that went on from before, so that each is counted with its whole length.
    chances = [
        min(1.0, at_once / max(1, row[_REQUESTS]))
        for row, at_once in zip(rows, under_way, strict=True)
    ]
    mean = sum(under_way)
    squares = sum(at_once * chance for at_once, chance in zip(under_way, chances, strict=True))
    return [_part_of_step(mean - chance, squares - chance * chance) for chance in chances]


def _part_of_step(beside: float, squares: float) -> float:
    """Return ``E[1 / (1 + N)]``; see ``_parts_of_steps``.

    Args:
        beside: Mean of N.
        squares: How much less than its mean its variance is.
    """
    if beside <= _LEAST_BESIDE:
        return 1.0
    chance = min(max(squares / beside, _LEAST_BESIDE), 1 - _LEAST_BESIDE)
    return -math.expm1((beside / chance + 1) * math.log1p(-chance)) / (beside + chance)
