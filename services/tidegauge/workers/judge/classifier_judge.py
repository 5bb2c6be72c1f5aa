"""A classifier behind the judges' protocol: a vLLM server's pooling APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeServerError, VllmClient
from tidegauge.adapters.vllm_pooling import PoolingModel
from tidegauge.quality.classifier import (
    answer_tokens,
    classifier_texts,
    probe_text,
    read_classes,
    read_pair,
    read_tokens,
    worst_spans,
)
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.specifications import ClassifierSpec
from tidegauge.workers.judge.judges import is_too_long

__all__ = ["ClassifierJudge"]

_log = structlog.stdlib.get_logger(__name__)

_LEAST_BUDGET: Final = 100
_HALVES_OF_CHARACTERS: Final = "\ufffd \n"
"""A token may be some bytes of a character."""


class ClassifierJudge:
    """Asks a model that was trained for the question: no generation.

    If an exchange is too long for the server, the judge shows less of it, and of later ones.
    """

    def __init__(self, client: VllmClient, specification: ClassifierSpec) -> None:
        self.specification = specification
        self.kinds: Sequence[str] = specification.qualified_on
        self._model = PoolingModel(client, specification.model)
        self._shown = specification

    async def score(self, exchange: JudgedExchange) -> Score:
        """Score one answer by the probabilities of its classes."""
        while True:
            shown = self._shown
            try:
                return await self._score(shown, exchange)
            except JudgeRefusedError as error:
                smaller = shown.budget_tokens // 2
                if smaller < _LEAST_BUDGET or not is_too_long(error):
                    raise
                if self._shown is shown:  # no other call has found it out meanwhile
                    self._shown = msgspec.structs.replace(shown, budget_tokens=smaller)

    async def _score(self, shown: ClassifierSpec, exchange: JudgedExchange) -> Score:
        texts = classifier_texts(shown, exchange)
        if shown.method == "score":
            return read_pair(await self._model.pair_score(texts[0], texts[1]))
        if shown.method == "classify":
            found = await self._model.classes(texts[0])
            return read_classes(shown, found.probabilities, found.label)
        return await self._score_tokens(shown, texts[0], probe_text(shown, exchange))

    async def _score_tokens(self, shown: ClassifierSpec, text: str, probe: str) -> Score:
        """Score the answer's tokens alone: what the model says of the context is no matter."""
        numbers, probed = await asyncio.gather(self._model.tokens(text), self._model.tokens(probe))
        place = answer_tokens(numbers, probed)
        classes = (await self._model.token_classes(numbers))[place.start : place.stop]
        score = replace(read_tokens(shown, classes), tokens=len(numbers))
        if score.invalid is not None:
            return score
        said = [
            await self._text_of(numbers[place.start + first : place.start + last])
            for first, last in worst_spans(shown, classes)
        ]
        return replace(score, reason="; ".join(filter(None, said)))

    async def _text_of(self, numbers: Sequence[int]) -> str:
        """Return the words of a span; none where the server does not tell them."""
        try:
            return (await self._model.text_of(numbers)).strip(_HALVES_OF_CHARACTERS)
        except JudgeServerError as error:
            _log.warning("span_words", judge=self.specification.name, detail=str(error))
            return ""
