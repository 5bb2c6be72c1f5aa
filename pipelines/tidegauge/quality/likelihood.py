"""The likelihood judge: how well a language model would have predicted the answer.

With ``c_t = log p(token t | prompt, answer so far)`` and ``u_t`` the same without the
prompt: ``fluency = mean(c)`` and ``relevance = mean(c - u)``, the pointwise mutual
information per token. It detects a broken sampler, shuffled words, another language or the
answer to another question. It cannot distinguish true from false, and scores of different
models cannot be compared.

Source: the ratio of conditional to unconditional likelihood as a measure of relevance, cf.
PPLqa, arXiv 2411.15320.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.specifications import LikelihoodSpec, shortened
from tidegauge.schemas.exchange import Message

__all__ = ["FLUENCY", "RELEVANCE", "ScoredToken", "read_likelihood", "request", "without_prompt"]

FLUENCY: Final = "fluency"
RELEVANCE: Final = "relevance"


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token of a text with its log-probability under a model.

    Attributes:
        token_id: Its number in the vocabulary; None if the server does not return it.
        log_probability: Log-probability of the token after those before it; None for the
            first one.
    """

    token_id: int | None
    log_probability: float | None


def request(specification: LikelihoodSpec, exchange: JudgedExchange) -> tuple[Message, ...]:
    """Return the conversation with the answer as its last message."""
    kept: list[Message] = []
    room = specification.prompt_bytes
    for message in reversed(exchange.messages):
        if message.role == "system":
            continue
        content = message.content.encode(errors="replace")[-room:].decode(errors="ignore")
        kept.append(Message(role=message.role, content=content))
        room -= len(content.encode())
        if room <= 0:
            break
    answer = _answer(specification, exchange)
    return (*_system(specification, exchange), *reversed(kept), answer)


def without_prompt(specification: LikelihoodSpec, exchange: JudgedExchange) -> tuple[Message, ...]:
    """Return the same answer after an empty question."""
    nothing = Message(role="user", content="")
    return (*_system(specification, exchange), nothing, _answer(specification, exchange))


def read_likelihood(
    conditional: Sequence[ScoredToken], unconditional: Sequence[ScoredToken], *, preamble: int
) -> Score:
    """Read both scores from the two texts' tokens.

    Both texts end with the same answer, so the answer's length is that of the second text
    without its ``preamble`` tokens.

    Args:
        conditional: Tokens of the conversation and the answer.
        unconditional: Tokens of the empty question and the answer.
        preamble: Tokens of the empty question's text before the answer.
    """
    length = len(unconditional) - preamble
    if length <= 0 or length >= len(conditional):
        return Score(invalid="no_answer_tokens")
    c, u = conditional[-length:], unconditional[-length:]
    if any(a.token_id != b.token_id for a, b in zip(c, u, strict=True)):
        return Score(invalid="token_mismatch", answer_tokens=length)
    given = [_number(token) for token in c]
    alone = [_number(token) for token in u]
    if not all(map(math.isfinite, (*given, *alone))):
        return Score(invalid="not_finite", answer_tokens=length)
    fluency = math.fsum(given) / length
    relevance = fluency - math.fsum(alone) / length
    return Score(values={FLUENCY: fluency, RELEVANCE: relevance}, answer_tokens=length)


def _number(token: ScoredToken) -> float:
    return math.nan if token.log_probability is None else token.log_probability


def _system(specification: LikelihoodSpec, exchange: JudgedExchange) -> tuple[Message, ...]:
    own = [message for message in exchange.messages if message.role == "system"]
    if own:
        text = "\n".join(message.content for message in own)
        return (Message(role="system", content=shortened(text, specification.prompt_bytes)),)
    if specification.system is None:
        return ()
    return (Message(role="system", content=specification.system),)


def _answer(specification: LikelihoodSpec, exchange: JudgedExchange) -> Message:
    text = shortened(exchange.answer.strip(), specification.answer_bytes)
    return Message(role="assistant", content=text)
