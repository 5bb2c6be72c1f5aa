"""Texts to token ids, once, and token ids to padded arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "Tokeniser", "plain_tokeniser"]

Arrays: TypeAlias = tuple[NDArray[np.int64], ...]
"""One array of shape (texts, tokens) for each input of a model."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PROBES = ["", "two", "a text of several words, by which to compare"]


@dataclass(frozen=True, slots=True)
class Tokeniser:
    """How a model of one text at a time sees it.

    Attributes:
        tokenizer: The model's, of transformers.
        inputs: Names of the model's inputs, in the order of the arrays.
        most_tokens: Longer texts are cut off there.
        prompt: What stands before every text.
    """

    tokenizer: Any
    inputs: tuple[str, ...]
    most_tokens: int
    prompt: str

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids."""
        found: list[list[int]] = self.tokenizer(
            [self.prompt + text for text in texts],
            truncation="longest_first",
            max_length=self.most_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return found

    def pad(self, rows: Sequence[Sequence[int]]) -> Arrays:
        """Return the model's inputs for token ids of several texts."""
        width = max(1, *map(len, rows))
        shape = (len(rows), width)
        ids = np.full(shape, self.tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros(shape, np.int64)
        left = self.tokenizer.padding_side == "left"
        for row, tokens in enumerate(rows):
            place = slice(width - len(tokens), width) if left else slice(0, len(tokens))
            ids[row, place] = tokens
            mask[row, place] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return tuple(given[name] for name in self.inputs)


def plain_tokeniser(loaded: Any, prompt: str) -> Tokeniser | None:  # noqa: ANN401 - sentence-transformers has no types
    """Return a model's tokeniser, or None if it prepares texts in a way of its own.

    Args:
        loaded: A ``SentenceTransformer``.
        prompt: What stands before every text.
    """
    tokenizer, limit = getattr(loaded[0], "tokenizer", None), loaded.max_seq_length
    expected = loaded.preprocess(_PROBES, prompt=prompt or None)
    inputs = tuple(name for name in _INPUTS if name in expected)
    if not callable(tokenizer) or not limit or inputs[:2] != _INPUTS[:2]:
        return None
    made = Tokeniser(tokenizer, inputs, limit, prompt)
    arrays = dict(zip(inputs, made.pad(made(_PROBES)), strict=True))
    # A list of other inputs (images, positions) or other ids: not for this to prepare.
    tensors = {name: value for name, value in expected.items() if hasattr(value, "numpy")}
    same = tensors.keys() == arrays.keys() and all(
        np.array_equal(tensors[name].numpy(), arrays[name]) for name in arrays
    )
    return made if same else None
