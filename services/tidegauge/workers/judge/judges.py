"""The two kinds of judge behind one protocol, each with a vLLM server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from tidegauge.adapters.vllm import VllmClient
from tidegauge.quality import golden_set, likelihood, rubric
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.quality.specifications import LikelihoodSpec, RubricSpec, Specification
from tidegauge.schemas.exchange import Message

__all__ = ["Judge", "LikelihoodJudge", "RubricJudge"]

K = TypeVar("K")
V = TypeVar("V")

_REMEMBERED: Final = 512
_LIKELIHOOD_KINDS: Final = tuple(kind for kind in golden_set.KINDS if kind != golden_set.INJECTION)
"""An answer that addresses its judge is fluent text, which likelihood cannot recognise as bad."""


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
        """


class RubricJudge:
    """Asks for a label, and again with reasoning if the label was not clear."""

    def __init__(self, client: VllmClient, specification: RubricSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = tuple(golden_set.KINDS)
        self._client = client

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by the rubric."""
        asked = self.specification
        first = await self._client.next_token(asked.model, rubric.request(asked, exchange))
        score = replace(rubric.read_grade(asked, first.log_probabilities), tokens=first.tokens)
        if score.invalid is None or not asked.retries:
            return score
        reply = await self._client.complete(
            asked.model,
            rubric.reasoning_request(asked, exchange),
            max_tokens=asked.reasoning_tokens,
        )
        return replace(
            rubric.read_reasoned(asked, reply.text),
            label_mass=score.label_mass,
            tokens=first.tokens + reply.tokens,
        )


class LikelihoodJudge:
    """Reads the answer with its prompt and without it: two prefills, no generation."""

    def __init__(self, client: VllmClient, specification: LikelihoodSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = _LIKELIHOOD_KINDS
        self._client = client
        self._preambles: OrderedDict[tuple[Message, ...], int] = OrderedDict()
        self._alone: OrderedDict[tuple[Message, ...], tuple[ScoredToken, ...]] = OrderedDict()

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by how well the model predicts it."""
        model = self.specification.model
        bare = likelihood.without_prompt(self.specification, exchange)
        preamble = await self._preamble(bare[:-1])
        given = await self._client.read(model, likelihood.request(self.specification, exchange))
        known = bare in self._alone
        alone = self._alone[bare] if known else await self._client.read(model, bare)
        _remember(self._alone, bare, alone)
        score = likelihood.read_likelihood(given, alone, preamble=preamble)
        return replace(score, tokens=len(given) + (0 if known else len(alone)))

    async def _preamble(self, messages: tuple[Message, ...]) -> int:
        if messages not in self._preambles:
            count = await self._client.count_tokens(self.specification.model, messages)
            _remember(self._preambles, messages, count)
        return self._preambles[messages]


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
