"""Which past requests determine what, and without which of them each is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.counting import HistoricalRequest
from tidegauge.schemas.hashing import hash_64

__all__ = ["owners_of", "sides"]

Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_SIDES = 3
"""One request in this many is on side A; bounding the rates on side B takes more requests."""
_TELLING = 10
"""One request in this many determines which texts are frequent."""


def sides(requests: Sequence[HistoricalRequest]) -> tuple[Flags, Flags]:
    """Return which requests are on side A, and which determine the frequent texts.

    Both depend on a hash, independently of each other. A conversation is on one side; copies of a
    text without a conversation are distinguished by their number.
    """
    copies: Counter[str] = Counter()
    hashes = []
    for one in requests:
        if one.conversation_id is not None:
            hashes.append(hash_64(one.conversation_id))
            continue
        copies[one.text] += 1
        hashes.append(hash_64(f"{one.text}\0{copies[one.text]}"))
    drawn = np.array(hashes, np.uint64)
    return drawn % _SIDES == 0, drawn // _SIDES % _TELLING == 0


def owners_of(requests: Sequence[HistoricalRequest], text_of: Counts) -> tuple[Counts, Counts]:
    """Return the owners of each request, shape (n, 2), and of each different text, shape (T, 2).

    The owners are the text and the conversation. A text that was sent in several conversations
    belongs to none of them.

    Args:
        requests: The requests, n of them.
        text_of: Number of each request's text, shape (n,).
    """
    numbers: dict[str | None, int] = {None: -1}
    conversation = np.array(
        [numbers.setdefault(one.conversation_id, len(numbers)) for one in requests], np.int64
    )
    size = int(text_of.max()) + 1
    least, most = np.full(size, len(numbers)), np.full(size, -1)
    np.minimum.at(least, text_of, conversation)
    np.maximum.at(most, text_of, conversation)
    of_texts = np.where(least == most, most, -1)
    return (
        np.stack([text_of, np.where(conversation < 0, -2, conversation)], axis=1),
        np.stack([np.arange(size), of_texts], axis=1),
    )
