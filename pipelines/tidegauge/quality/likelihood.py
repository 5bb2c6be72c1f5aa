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

__all__ = [
    "FLUENCY",
    "RELEVANCE",
    "ScoredToken",
    "answer_likelihoods",
    "answer_start",
    "other_answer",
    "probe",
    "read_likelihood",
    "request",
    "without_prompt",
]

FLUENCY: Final = "fluency"
RELEVANCE: Final = "relevance"

_IMPOSSIBLE: Final = -1000.0
"""A server tells such a log-probability of a token that it has not scored, or has forbidden."""
_CERTAIN: Final = 1e-3
"""Rounding may leave a log-probability a little above 0."""
_PROBES: Final = ("0", "Q", "#", "é")


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


def probe(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the same messages with another answer, with other characters at its two ends."""
    return (*messages[:-1], Message(role="assistant", content=other_answer(messages[-1].content)))


def other_answer(answer: str) -> str:
    """Return an answer with other characters at its two ends."""
    folded = answer.strip().casefold()
    ends = {folded[:1], folded[-1:]}
    return next(text for text in _PROBES if text.casefold() not in ends)


def answer_start(tokens: Sequence[ScoredToken], probed: Sequence[ScoredToken]) -> int:
    """Return the place of an answer's first token: the first in which two answers differ.

    The chat template's tokens before the answer are compared, not counted: what a template
    writes before an answer that is given differs from what it writes before one to come.

    Args:
        tokens: Tokens of the empty question and the answer.
        probed: Tokens of the empty question and the answer of ``probe``.

    Returns:
        The place; the number of tokens if there is no such place, or if the two end alike: then
        the server has closed the message, and what follows the answer is not the answer.
    """
    if tokens and probed and tokens[-1].token_id == probed[-1].token_id:
        return len(tokens)
    pairs = enumerate(zip(tokens, probed, strict=False))
    return next((place for place, (a, b) in pairs if a.token_id != b.token_id), len(tokens))


def read_likelihood(
    conditional: Sequence[ScoredToken], unconditional: Sequence[ScoredToken], *, start: int
) -> Score:
    """Read both scores from the two texts' tokens.

    Both texts end with the same answer, so the answer's length is that of the second text
    without the tokens before ``start``.

    Args:
        conditional: Tokens of the conversation and the answer.
        unconditional: Tokens of the empty question and the answer.
        start: Place of the answer's first token in the second text.
    """
    found = answer_likelihoods(conditional, unconditional, start=start)
    if isinstance(found, Score):
        return found
    given, alone = found
    length = len(given)
    fluency = math.fsum(given) / length
    relevance = fluency - math.fsum(alone) / length
    return Score(values={FLUENCY: fluency, RELEVANCE: relevance}, answer_tokens=length)


def answer_likelihoods(
    conditional: Sequence[ScoredToken], unconditional: Sequence[ScoredToken], *, start: int
) -> tuple[list[float], list[float]] | Score:
    """Return the log-probabilities of an answer's tokens in two texts that end with it.

    Args:
        conditional: Tokens of the one text.
        unconditional: Tokens of the other text.
        start: Place of the answer's first token in the other text.

    Returns:
        Both, of shape (tokens,); a score that says why there are none.
    """
    length = len(unconditional) - start
    if length <= 0 or length >= len(conditional):
        return Score(invalid="no_answer_tokens")
    c, u = conditional[-length:], unconditional[-length:]
    if any(a.token_id != b.token_id for a, b in zip(c, u, strict=True)):
        return Score(invalid="token_mismatch", answer_tokens=length)
    given = [_number(token) for token in c]
    alone = [_number(token) for token in u]
    if not all(map(math.isfinite, (*given, *alone))):
        return Score(invalid="not_finite", answer_tokens=length)
    if min(*given, *alone) <= _IMPOSSIBLE or max(*given, *alone) > _CERTAIN:
        return Score(invalid="impossible_token", answer_tokens=length)
    return given, alone


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
