"""A bottom-k sample of a sketch's requests: their callers and the indicators that held.

The requests of least rank are kept. The rank is a hash of the request's id and independent
of its content and its caller: every request is equally likely to be sampled, and a caller's
share of the sampled requests with an indicator is an unbiased estimate of its share of all
requests with it. The least ranks of a union are among the least ranks of its parts, so a
sample depends neither on how the requests were divided nor on their order.

Source: bottom-k samples, Cohen and Kaplan, "Summarizing data using bottom-k sketches" (2007).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tidegauge.schemas.sketches import Sampled

__all__ = ["NAME_CHARACTERS", "SAMPLE", "SampleAccumulator", "least", "pooled"]

SAMPLE = 256
"""Number of requests in a sketch's sample: a change of 5% of them shows in 13 of the 256."""

NAME_CHARACTERS = 64
"""Length to which callers' names are cut: names that agree up to it count as one caller."""

_RANKS = 2**32
"""Number of ranks: few digits in JSON, and two sampled requests hardly ever share a rank."""


def least(sampled: Iterable[Sampled]) -> tuple[Sampled, ...]:
    """Return the ``SAMPLE`` requests of least rank, each once, in order of rank.

    Example:
        >>> once, twice = Sampled(7, "acme", ("odd",)), Sampled(3, "globex", ())
        >>> [found.rank for found in least([once, twice, twice])]
        [3, 7]
    """
    kept: dict[int, Sampled] = {}
    for found in sorted(sampled):
        if kept.setdefault(found.rank, found) is found and len(kept) == SAMPLE:
            break
    return tuple(kept.values())


def pooled(samples: Iterable[Sequence[Sampled]]) -> tuple[Sampled, ...]:
    """Return one sample of the requests of several sketches, as large as they allow.

    A full sample lacks the requests above its highest rank. Below the least of these highest
    ranks all samples are complete, so the requests there are again a sample of least ranks.
    Where the samples cover equal amounts of traffic it holds nearly all their requests.

    Args:
        samples: Each in order of rank, as ``least`` returns it.
    """
    found = list(samples)
    limit = min((sample[-1].rank for sample in found if len(sample) >= SAMPLE), default=_RANKS)
    return tuple({one.rank: one for sample in found for one in sample if one.rank < limit}.values())


class SampleAccumulator:
    """Samples requests in place; ``sample()`` is its value.

    Args:
        start: A sample to continue.
    """

    __slots__ = ("_found", "_highest")

    def __init__(self, start: Iterable[Sampled] = ()) -> None:
        self._found = list(start)
        self._highest = _RANKS

    def add(self, rank: float, customer: str, shows: tuple[str, ...]) -> None:
        """Sample a request.

        Args:
            rank: Hash of the request's id, in [0, 1).
            customer: The request's caller.
            shows: Indicators that hold for the request.
        """
        place = int(rank * _RANKS)
        if place > self._highest:
            return
        self._found.append(Sampled(place, customer[:NAME_CHARACTERS], shows))
        if len(self._found) > 2 * SAMPLE:
            self._found = list(least(self._found))
            if len(self._found) == SAMPLE:
                self._highest = self._found[-1].rank

    def sample(self) -> tuple[Sampled, ...]:
        """Return the sample."""
        return least(self._found)
