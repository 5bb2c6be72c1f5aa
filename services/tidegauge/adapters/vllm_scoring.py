"""Probabilities of a rubric's labels by vLLM's ``/generative_scoring``.

A chat request tells the likeliest next tokens; this API tells the probability of named ones over
the whole vocabulary, so a label that is unlikely still counts with what it has, and a server that
limits ``top_logprobs`` is no obstacle. It tells one token a call, so a judgment takes a call for
each label; the prompt is in the server's prefix cache after the first.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tidegauge.adapters.vllm import JudgeReplyError, JudgeUnusableError, NextToken, VllmClient
from tidegauge.schemas.exchange import Message

__all__ = ["LabelScorer"]


@dataclass(frozen=True, slots=True)
class _LabelTokens:
    """The labels' first tokens.

    Attributes:
        numbers: Label -> number of its first token.
        dropped: Tokens at the prompt's end that the labels' tokens take in, such as a blank.
    """

    numbers: Mapping[str, int]
    dropped: int


class LabelScorer:
    """Asks for the probability of each label as the next token.

    Args:
        client: Client of the server, opened before the first call.
        model: The model's name there.
        labels: The labels.
    """

    def __init__(self, client: VllmClient, model: str, labels: Sequence[str]) -> None:
        self._client = client
        self._model = model
        self._labels = tuple(labels)
        self._tokens: _LabelTokens | None = None

    async def next_token(self, messages: Sequence[Message]) -> NextToken:
        """Return each label's log-probability after the last message, which is left unfinished.

        Args:
            messages: The messages.

        Raises:
            JudgeUnusableError: The server has no such API, or two labels begin with one token.
            JudgeServerError: It gave no usable reply; see ``adapters.vllm``.
        """
        prompt = await self._tokenized(messages)
        if self._tokens is None:
            self._tokens = await self._label_tokens(messages, prompt)
        asked = prompt[: len(prompt) - self._tokens.dropped]
        numbers = self._tokens.numbers
        replies = [await self._score(asked, numbers, self._labels[0])]  # the others find its cache
        replies += await asyncio.gather(
            *(self._score(asked, numbers, label) for label in self._labels[1:])
        )
        found = {
            label: math.log(probability) if probability > 0 else None
            for label, probability in zip(self._labels, replies, strict=True)
        }
        return NextToken(found, len(asked) + len(self._labels))

    async def _score(self, prompt: Sequence[int], numbers: Mapping[str, int], label: str) -> float:
        first = numbers[label]
        body = {
            "model": self._model,
            "query": list(prompt),
            "items": [[]],
            "label_token_ids": [first, *(each for each in numbers.values() if each != first)],
            "apply_softmax": False,
        }
        reply = await self._client.post("/generative_scoring", body)
        try:
            found = float(reply["data"][0]["score"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise _malformed("/generative_scoring", "the probability of a label") from error
        if not 0 <= found <= 1:
            raise _malformed("/generative_scoring", f"a probability, but {found}")
        return found

    async def _tokenized(self, messages: Sequence[Message]) -> list[int]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            "add_generation_prompt": False,
            "continue_final_message": True,
        }
        reply = await self._client.post("/tokenize", body)
        try:
            return [int(token) for token in reply["tokens"]]
        except (KeyError, TypeError, ValueError) as error:
            raise _malformed("/tokenize", "tokens") from error

    async def _label_tokens(self, messages: Sequence[Message], prompt: list[int]) -> _LabelTokens:
        """Return the token with which each label goes on where the prompt ends."""
        *before, last = messages
        rows = await asyncio.gather(
            *(
                self._tokenized(
                    [*before, msgspec.structs.replace(last, content=last.content + label)]
                )
                for label in self._labels
            )
        )
        shared = min(_common(prompt, row) for row in rows)
        numbers = {label: row[shared] for label, row in zip(self._labels, rows, strict=True)}
        if len(set(numbers.values())) < len(numbers):
            raise JudgeUnusableError(
                f"labels of {', '.join(self._labels)} begin with the same token in the model "
                f"{self._model!r}: their probabilities cannot be told apart by one token"
            )
        return _LabelTokens(numbers, len(prompt) - shared)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the length of the longest common beginning, short of the whole of ``b``."""
    most = min(len(a), len(b) - 1)
    return next((place for place in range(most) if a[place] != b[place]), most)


def _malformed(path: str, what: str) -> JudgeReplyError:
    return JudgeReplyError(f"the judge's {path} replied without {what}")
