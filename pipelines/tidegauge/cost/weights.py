"""What an upstream's time is spent on: seconds for a token of a prompt, seconds for a step.

A server with continuous batching spends its time on prompts, in proportion to their tokens and to
the pairs of tokens in their attention, and on steps that generate one token for each answer under
way, in proportion to the number of steps and to the context that they read. A regression of busy
time on tokens alone is wrong by a third and more, since a step takes about as long for thirty
answers as for one. Steps are not counted anywhere, but they follow from sums that are: while
answers are generated for ``d`` seconds of a minute, and ``n`` tokens in ``r`` seconds summed over
the answers, there are ``d * n / r`` steps.

A prompt is computed in steps of its own, whose length its tokens decide. Beside answers, each of
these steps is also one of theirs, and takes the place of one that generates tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls

__all__ = ["MINUTES_TO_MEASURE", "BusyMinute", "CostWeights", "measure_weights"]

MINUTES_TO_MEASURE: Final = 30
"""Busy minutes from which on weights are measured."""

_NOMINAL_STEP_TOKENS: Final = 100.0
"""Tokens of a prompt that take as long as a step, as long as that is not measured."""

_STEPS_OF_A_PROMPT: Final = 0.3
"""Part of a step's time that a prompt takes besides its tokens.

It is not measured: in minutes with many prompts the regression gives them the blame for all that
it does not know.
"""

_LEAST_BUSY_SECONDS: Final = 0.5
_LEAST_PAUSE: Final = 0.01
"""What a minute without a pause counts, if one without an answer counts 1."""


@dataclass(frozen=True, slots=True)
class BusyMinute:
    """One upstream's minute, all exchanges together.

    Attributes:
        busy_seconds: Time with an exchange in flight.
        decoding_share: Share of the minute in which answers were generated, 0 to 1.
        prompts: Prompts that were computed.
        prompt_tokens: Tokens of prompts that were computed.
        prompt_pairs: Pairs of tokens in their attention.
        steps: Steps in which answers went on, those with a part of a prompt included.
        output_pairs: Pairs of tokens in the attention of generated ones.
    """

    busy_seconds: float
    decoding_share: float
    prompts: float
    prompt_tokens: float
    prompt_pairs: float
    steps: float
    output_pairs: float


@dataclass(frozen=True, slots=True)
class CostWeights:
    """The time that an upstream takes for each kind of work.

    Attributes:
        prompt_token_seconds: For a token of a prompt.
        prompt_pair_seconds: For a pair of tokens in a prompt's attention.
        step_seconds: For a step that generates tokens.
        output_pair_seconds: For a pair of tokens in the attention of generated ones.
        minutes: Busy minutes that they were measured in.
        measured: Whether they were measured; else a step counts as much as a nominal number of
            tokens of a prompt.
    """

    prompt_token_seconds: float
    prompt_pair_seconds: float
    step_seconds: float
    output_pair_seconds: float
    minutes: int
    measured: bool

    def prompt_seconds(self, prompts: float, tokens: float, pairs: float) -> float:
        """Return the time for so many prompts, computed tokens and pairs."""
        return (
            prompts * _STEPS_OF_A_PROMPT * self.step_seconds
            + tokens * self.prompt_token_seconds
            + pairs * self.prompt_pair_seconds
        )


def measure_weights(minutes: Sequence[BusyMinute]) -> CostWeights:
    """Measure an upstream's weights by weighted least squares without negative weights.

    What a minute's work does not explain grows with its busy time, so a minute counts in inverse
    proportion to that. It also counts in proportion to its time without an answer under way: where
    answers go on all the time, a prompt only takes the place of their steps, and such minutes tell
    the difference of both alone. On a busy server they are many, and would decide all weights.

    Args:
        minutes: The upstream's minutes with work, at least one.
    """
    table = np.array([_amounts(minute) for minute in minutes], np.float64)
    busy = np.array([minute.busy_seconds for minute in minutes], np.float64)
    if len(minutes) >= MINUTES_TO_MEASURE:
        scales = np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
        pauses = np.array([1 - minute.decoding_share for minute in minutes], np.float64)
        roots = np.sqrt((pauses + _LEAST_PAUSE) / np.maximum(busy, _LEAST_BUSY_SECONDS))
        found, _ = nnls(table / scales * roots[:, None], busy * roots)
        token, pair, step, output_pair, _ = (found / scales).tolist()
        if token > 0 or step > 0:
            return CostWeights(token, pair, step, output_pair, len(minutes), measured=True)
    tokens = sum(minute.prompt_tokens for minute in minutes)
    steps = sum(minute.steps + _STEPS_OF_A_PROMPT * minute.prompts for minute in minutes)
    whole = tokens / _NOMINAL_STEP_TOKENS + steps
    step = float(busy.sum()) / whole if whole > 0 else 0.0
    return CostWeights(step / _NOMINAL_STEP_TOKENS, 0.0, step, 0.0, len(minutes), measured=False)


def _amounts(minute: BusyMinute) -> tuple[float, ...]:
    """Return what a minute's busy time is a sum of.

    A prompt beside answers, as it is for the share of time in which there are some, takes the place
    of at least one of their steps. Of how many more its tokens decide, by a number that the server
    has and does not tell (that of a step's tokens): the last amount measures it.
    """
    beside = minute.decoding_share
    steps = minute.steps + (_STEPS_OF_A_PROMPT - beside) * minute.prompts
    return (
        minute.prompt_tokens,
        minute.prompt_pairs,
        steps,
        minute.output_pairs,
        -beside * minute.prompt_tokens,
    )
