"""A classifier behind the judges' protocol: a vLLM server's pooling APIs."""

from __future__ import annotations

from collections.abc import Sequence

from tidegauge.adapters.vllm import VllmClient
from tidegauge.quality.classifier import classifier_texts, read_classes, read_pair, read_tokens
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.specifications import ClassifierSpec

__all__ = ["ClassifierJudge"]


class ClassifierJudge:
    """Asks a model that was trained for the question: one call, no generation."""

    def __init__(self, client: VllmClient, specification: ClassifierSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = specification.qualified_on
        self._client = client

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by the probabilities of its classes."""
        asked = self.specification
        texts = classifier_texts(asked, exchange)
        if asked.method == "score":
            return read_pair(await self._client.pair_score(asked.model, texts[0], texts[1]))
        if asked.method == "classify":
            return read_classes(asked, await self._client.classes(asked.model, texts[0]))
        return read_tokens(asked, await self._client.token_classes(asked.model, texts[0]))
