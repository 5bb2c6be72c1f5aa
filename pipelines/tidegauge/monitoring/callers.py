"""Whether requests come from one caller or from everybody: shares of the sampled requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.detection.indicators import Hits
from tidegauge.schemas.findings import Callers, CallerShare
from tidegauge.schemas.sketches import Sampled

__all__ = ["callers_of"]

_LARGEST = 5
_MISS = 0.05 / _LARGEST
"""Chance that an interval misses: those of all callers named hold together with 95%."""


def callers_of(indicator: Hits, sample: Iterable[Sampled]) -> Callers | None:
    """Return who sends the requests that show an indicator; None where none is sampled.

    A caller stands apart when the interval of its share of the requests that show the indicator
    lies above that of its share of those that do not. The intervals are exact, so that holds
    for samples of any size.

    Args:
        indicator: What is counted, and what counts the requests that were asked.
        sample: Requests of the time in question.
    """
    asked = [found for found in sample if indicator.of in found.shows]
    showing = Counter(found.customer for found in asked if indicator.name in found.shows)
    if not showing:
        return None
    everything = Counter(found.customer for found in asked)
    hits, rest = showing.total(), len(asked) - showing.total()
    largest = sorted(showing.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST]
    shares = []
    for customer, number in largest:
        low, _ = clopper_pearson(number, hits, alpha=_MISS)
        _, high = clopper_pearson(everything[customer] - number, rest, alpha=_MISS)
        shares.append(
            CallerShare(
                customer=customer,
                hits=number,
                trials=everything[customer],
                apart=bool(low > high),
            )
        )
    return Callers(hits=hits, trials=len(asked), shares=tuple(shares))
