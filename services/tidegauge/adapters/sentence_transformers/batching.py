"""Batches of texts of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["by_length"]


def by_length(
    lengths: Sequence[int], *, most_tokens: int, most_padding: int
) -> Iterator[list[int]]:
    """Batch texts of similar length, so that little is spent on padding.

    Args:
        lengths: Tokens of each text.
        most_tokens: Most tokens of a batch with its padding. A longer text stands alone.
        most_padding: Most tokens of padding in a batch: as many as another batch costs.

    Yields:
        Indices of the texts of a batch, the shortest first.

    Example:
        >>> list(by_length([9, 2, 3, 8], most_tokens=18, most_padding=4))
        [[1, 2], [3, 0]]
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        width = lengths[index]
        padding = len(batch) * width - tokens
        if batch and ((len(batch) + 1) * width > most_tokens or padding > most_padding):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += width
    if batch:
        yield batch
