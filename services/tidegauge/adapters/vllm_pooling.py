"""What classifiers are asked of a vLLM server: its pooling APIs, and its tokenizer.

A server has the APIs that its model is for: ``/classify`` for classes of a text, ``/score`` for a
model with one class, ``/pooling`` for classes of tokens. The others answer 404 or 400. Each is
asked for probabilities, whatever the server's own default is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tidegauge.adapters.vllm import (
    JudgeRefusedError,
    JudgeReplyError,
    JudgeUnusableError,
    VllmClient,
)

__all__ = ["LabelledClasses", "PoolingModel"]

T = TypeVar("T")

_FOR: Final[Mapping[str, str]] = {
    "/classify": "'classify' is for models that tell classes of a text",
    "/score": "'score' is for models with one class; ask one with several by 'classify'",
    "/pooling": "'tokens' is for models that tell classes of each token",
}
_NOT_FOR_THIS: Final = ("Not Found", "pooling_task", "Unsupported task")
"""What a server says of an API that its model is not for."""


@dataclass(frozen=True, slots=True)
class LabelledClasses:
    """What a classifier says of a text.

    Attributes:
        probabilities: Of its classes, in the model's order.
        label: The model's name for the likeliest one; None if the server tells none.
    """

    probabilities: tuple[float, ...]
    label: str | None


class PoolingModel:
    """A model that is not asked to write: its classes, scores and tokens.

    All methods raise a ``JudgeServerError``, as ``VllmClient`` does.

    Args:
        client: Client of its server, opened before the first call.
        model: Its name there.
    """

    def __init__(self, client: VllmClient, model: str) -> None:
        self._client = client
        self._model = model

    async def classes(self, text: str) -> LabelledClasses:
        """Return the probabilities of a text's classes."""

        def read(reply: Mapping[str, Any]) -> LabelledClasses:
            found = reply["data"][0]
            label = found.get("label")
            return LabelledClasses(
                tuple(map(float, found["probs"])), label if isinstance(label, str) else None
            )

        return await self._ask("/classify", read, input=text, use_activation=True)

    async def pair_score(self, first: str, second: str) -> float:
        """Return the score of a pair of texts."""
        return await self._ask(
            "/score",
            lambda reply: float(reply["data"][0]["score"]),
            text_1=first,
            text_2=second,
            use_activation=True,
        )

    async def token_classes(self, numbers: Sequence[int]) -> tuple[tuple[float, ...], ...]:
        """Return the probabilities of the classes of each token.

        Args:
            numbers: The tokens' numbers, shape (tokens,).

        Returns:
            Shape (tokens, classes).
        """

        def read(reply: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
            found = tuple(tuple(map(float, token)) for token in reply["data"][0]["data"])
            if len(found) != len(numbers):
                raise ValueError(f"classes of {len(found)} tokens, not of {len(numbers)}")
            return found

        return await self._ask(
            "/pooling", read, input=list(numbers), task="token_classify", use_activation=True
        )

    async def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens, with those that the tokenizer adds."""
        return await self._ask(
            "/tokenize", lambda reply: [int(token) for token in reply["tokens"]], prompt=text
        )

    async def text_of(self, numbers: Sequence[int]) -> str:
        """Return the text of some tokens."""
        return await self._ask(
            "/detokenize", lambda reply: str(reply["prompt"]), tokens=list(numbers)
        )

    async def _ask(self, path: str, read: Callable[[Mapping[str, Any]], T], **asked: object) -> T:
        try:
            reply = await self._client.post(path, {"model": self._model, **asked})
        except (JudgeUnusableError, JudgeRefusedError) as error:
            if path in _FOR and any(said in str(error) for said in _NOT_FOR_THIS):
                raise JudgeUnusableError(f"{error}; the method {_FOR[path]}") from error
            raise
        try:
            return read(reply)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise JudgeReplyError(
                f"the judge's {path} replied in another form than vLLM ({error!r:.200}): is it a "
                "vLLM server of version 0.10 or later?"
            ) from error
