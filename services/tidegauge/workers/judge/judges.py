"""The kinds of judge behind one protocol, each with a vLLM server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from tidegauge.adapters.vllm import (
    JudgeRefusedError,
    JudgeServerError,
    JudgeUnusableError,
    NextToken,
    VllmClient,
)
from tidegauge.adapters.vllm_scoring import LabelScorer
from tidegauge.quality import groundedness, likelihood, rubric
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.hallucination import given_texts
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.quality.specifications import (
    GroundednessSpec,
    LikelihoodSpec,
    RubricSpec,
    Specification,
)
from tidegauge.quality.support import check_support
from tidegauge.schemas.exchange import Message
from tidegauge.schemas.hashing import unit_hash

__all__ = ["GroundednessJudge", "Judge", "LikelihoodJudge", "RubricJudge", "is_too_long"]

K = TypeVar("K")
V = TypeVar("V")

_log = structlog.stdlib.get_logger(__name__)

_REMEMBERED: Final = 512
_LEAST_BUDGET: Final = 300
_TOO_LONG: Final = ("context length", "too long", "maximum length", "max_model_len", "reduce the")
"""What servers say of a request that is longer than their model can read."""


class Judge(Protocol):
    """Scores answers."""

    @property
    def specification(self) -> Specification:
        """The specification: everything that its scores depend on."""

    @property
    def kinds(self) -> Sequence[str]:
        """Kinds of bad answers that it is qualified on."""

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer.

        Raises:
            JudgeServerError: The server gave no usable reply.
            ExchangeTooLongError: The question is longer than the judge can read.
        """


def is_too_long(error: JudgeRefusedError) -> bool:
    """Whether a server has refused a request because it is longer than its model can read."""
    said = str(error).casefold()
    return any(words in said for words in _TOO_LONG)


class RubricJudge:
    """Asks for a label, and again with reasoning if the label was not clear.

    If an exchange is too long for the server, the judge shows less of it, and of later ones. A
    jury of other models grades a share of the answers: that changes no score.
    """

    def __init__(self, client: VllmClient, specification: RubricSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = specification.qualified_on
        self._client = client
        self._shown = specification
        self._scorer = (
            LabelScorer(client, specification.model, tuple(specification.labels))
            if specification.labels_by == "scoring"
            else None
        )

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by the rubric."""
        while True:
            shown = self._shown
            try:
                return await self._with_jury(shown, exchange, await self._score(shown, exchange))
            except JudgeRefusedError as error:
                smaller = shown.budget_tokens // 2
                if smaller < _LEAST_BUDGET or not is_too_long(error):
                    raise
                if self._shown is shown:  # no other call has found it out meanwhile
                    self._shown = msgspec.structs.replace(shown, budget_tokens=smaller)

    async def _with_jury(self, shown: RubricSpec, exchange: JudgedExchange, score: Score) -> Score:
        """Return a score with its disagreement with the jury's, if the exchange is drawn for it."""
        drawn = unit_hash(f"jury {exchange.prompt} {exchange.answer}") < shown.jury_share
        if not shown.jury or score.invalid is not None or not drawn:
            return score
        asked = rubric.request(shown, exchange)
        values, tokens = [score.values[rubric.SCORE]], score.tokens
        for model in shown.jury:
            try:
                reply = await self._client.next_token(model, asked, top=shown.top_tokens)
            except JudgeServerError as error:
                _log.warning("jury_reply", judge=shown.name, model=model, detail=str(error))
                continue
            tokens += reply.tokens
            values += rubric.read_grade(shown, reply.log_probabilities).values.values()
        apart = max(values) - min(values) if len(values) > 1 else None
        return replace(score, disagreement=apart, tokens=tokens)

    async def _next_token(self, shown: RubricSpec, asked: Sequence[Message]) -> NextToken:
        """Return the labels' probabilities, by scoring as long as the server has it."""
        if self._scorer is not None:
            try:
                return await self._scorer.next_token(asked)
            except JudgeUnusableError as error:
                _log.warning("no_label_scoring", judge=shown.name, detail=str(error))
                self._scorer = None
        return await self._client.next_token(shown.model, asked, top=shown.top_tokens)

    async def _score(self, shown: RubricSpec, exchange: JudgedExchange) -> Score:
        asked = rubric.request(shown, exchange)
        first = await self._next_token(shown, asked)
        score = replace(rubric.read_grade(shown, first.log_probabilities), tokens=first.tokens)
        explains = min(score.values.values(), default=1.0) < shown.reasons_below
        if not explains and (score.invalid is None or not shown.retries):
            return score
        reply = await self._client.complete(
            shown.model,
            rubric.reasoning_request(shown, exchange),
            max_tokens=shown.reasoning_tokens,
        )
        reasoned = rubric.read_reasoned(shown, reply.text, finished=reply.finished)
        tokens = first.tokens + reply.tokens
        if explains:
            return replace(score, reason=reasoned.reason or reply.text.strip(), tokens=tokens)
        return replace(reasoned, label_mass=score.label_mass, tokens=tokens)


class LikelihoodJudge:
    """Reads the answer with its prompt and without it: two prefills, no generation."""

    def __init__(self, client: VllmClient, specification: LikelihoodSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = specification.qualified_on
        self._texts = _LikelihoodReader(client, specification.model)

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by how well the model predicts it."""
        bare = likelihood.without_prompt(self.specification, exchange)
        probed, _ = await self._texts.recall(likelihood.probe(bare))
        given = await self._texts.read(likelihood.request(self.specification, exchange))
        alone, taken = await self._texts.recall(bare)
        start = likelihood.answer_start(alone, probed)
        score = likelihood.read_likelihood(given, alone, start=start)
        return replace(score, tokens=len(given) + taken)


class GroundednessJudge:
    """Reads the answer with its context and without it, and checks its facts without a model."""

    def __init__(self, client: VllmClient, specification: GroundednessSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = specification.qualified_on
        self._texts = _LikelihoodReader(client, specification.model)

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by how far its context supports it."""
        parts = divide(exchange, self.specification.context)
        with_context, bare = groundedness.questions(self.specification, parts)
        probed, _ = await self._texts.recall(likelihood.probe(bare))
        given = await self._texts.read(with_context)
        alone, taken = await self._texts.recall(bare)
        start = likelihood.answer_start(alone, probed)
        found = groundedness.read_explained(given, alone, start=start)
        tokens = len(given) + taken
        if isinstance(found, Score):
            return replace(found, tokens=tokens)
        support = check_support(parts.answer, given_texts(parts))
        value = groundedness.groundedness(support, found)
        return Score(
            values={groundedness.GROUNDEDNESS: value}, answer_tokens=found.tokens, tokens=tokens
        )


class _LikelihoodReader:
    """Reads the likelihoods of texts, and remembers those of the last ones that are asked again."""

    def __init__(self, client: VllmClient, model: str) -> None:
        self._client = client
        self._model = model
        self._read_before: OrderedDict[tuple[Message, ...], tuple[ScoredToken, ...]] = OrderedDict()

    async def read(self, messages: tuple[Message, ...]) -> tuple[ScoredToken, ...]:
        """Return a text's tokens."""
        return await self._client.read(self._model, messages)

    async def recall(self, messages: tuple[Message, ...]) -> tuple[tuple[ScoredToken, ...], int]:
        """Return a text's tokens, and how many of them were read for it now."""
        if (known := self._read_before.get(messages)) is not None:
            self._read_before.move_to_end(messages)
            return known, 0
        found = await self.read(messages)
        _remember(self._read_before, messages, found)
        return found, len(found)


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
