"""Which texts are computed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["by_length"]


def by_length(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Put texts of like length together, so that little is spent on padding.

    Args:
        lengths: Tokens of each text.
        most_tokens: Most tokens of a batch with its padding. A longer text stands alone.

    Yields:
        Indices of the texts of a batch, the shortest first.

    Example:
        >>> list(by_length([9, 2, 3, 8], 18))
        [[1, 2], [3, 0]]
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > most_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
