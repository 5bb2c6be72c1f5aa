"""Detection power of a baseline: how many events it takes to detect a new topic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.bets import mean_delay, place_bets
from tidegauge.detection.reference import Reference
from tidegauge.drift.novelty import ReferencePoints, index_points, novelty
from tidegauge.drift.projection import NOVELTY_ASKED
from tidegauge.drift.vectors import assign

__all__ = ["detection_delay", "unseen_topic_rates"]

Vectors: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.float64]

_FEWEST, _MOST = 5, 100
_DAY_SECONDS = 86_400.0


def unseen_topic_rates(
    vectors: Vectors, points: ReferencePoints, levels: Vectors
) -> tuple[float, ...]:
    """Return how often a topic that the baseline lacked would exceed each novelty level.

    Each cluster in turn is treated as the new topic: its texts are measured against the reference
    points of all other clusters. The median over the clusters is returned.

    Args:
        vectors: Unit vectors of the baseline's texts, shape (n, d).
        points: Reference points.
        levels: Novelty levels, shape (L,).
    """
    cluster = assign(vectors, points.centroids)
    sizes = np.diff(points.starts)
    of_points = np.repeat(np.arange(len(sizes)), sizes)
    rates = []
    for k in range(len(sizes)):
        mine = vectors[cluster == k][:_MOST]
        others = points.vectors[of_points != k]
        if len(mine) >= _FEWEST and len(others) >= _FEWEST:
            without, _ = index_points(others, np.delete(points.centroids, k, axis=0))
            rates.append((novelty(mine, without)[:, None] > levels).mean(axis=0))
    return tuple(float(rate) for rate in np.median(rates, axis=0)) if rates else ()


def detection_delay(
    reference: Reference,
    topic_rates: Mapping[str, float],
    share: float,
    *,
    false_alarm_days: float = 30.0,
    window_seconds: float = 10.0,
) -> float:
    """Estimate the number of events from a new topic's start to the alarm.

    The evidence has to grow from the duration of one window to the threshold; per event it
    grows by the mean log gain of the best bet. The result is infinite where no bet gains.

    Args:
        reference: The bands and urns of the traffic.
        topic_rates: Indicator -> its rate among the new topic's requests.
        share: The new topic's part of the traffic, in (0, 1].
        false_alarm_days: This monitor's mean time to a false alarm.
        window_seconds: Length of a window.
    """
    bets = place_bets(reference, polya_urns=True)
    owed = math.log(false_alarm_days * _DAY_SECONDS / window_seconds)
    # The trials of novelty are the new topic's requests and those whose text is not frequent.
    names = [indicator.name for indicator in reference.indicators]
    usual_asked = reference.rate[names.index(NOVELTY_ASKED)] if NOVELTY_ASKED in names else 1.0
    asked = share + (1 - share) * usual_asked
    share /= asked
    best = math.inf
    for j, indicator in enumerate(reference.indicators):
        if indicator.name not in topic_rates:
            continue
        rate = (1 - share) * reference.rate[j] + share * topic_rates[indicator.name]
        best = min(best, mean_delay(bets, reference, j, rate, owed))
    for urn in bets.polya_urns:
        if urn.target is not None and topic_rates:
            usual = urn.spacings / urn.spacings.sum()
            beyond = [topic_rates[reference.indicators[j].name] for j in urn.owners[1:]]
            strange = -np.diff(beyond, prepend=1.0, append=0.0)
            rates = (1 - share) * usual + share * strange
            odds = np.log1p(urn.mixture_weights[:, None] * (urn.target / usual - 1))
            gain = odds @ rates - np.log1p(urn.mixture_weights * urn.tolerance)
            needed = owed - math.log(urn.share / len(urn.mixture_weights))
            best = min(best, _diluted(_soonest(needed, gain), float(urn.spacings.sum())))
    return best / asked


def _soonest(needed: Floats | float, gain: Floats) -> float:
    """Return the number of events after which the first bet has gained ``needed``."""
    delays = np.where(gain > 0, needed / np.where(gain > 0, gain, 1.0), math.inf)
    return float(delays.min())


def _diluted(events: float, spacings: float) -> float:
    """Return the number of events where an urn learns the new rates from the events themselves.

    After n events the urn is of the baseline's T spacings and of these: what sets the new rates
    apart has shrunk to ``T / (T + n)``, and the gain, which grows with its square, adds up to that
    of ``n T / (T + n)`` events. An urn never gains more than T events do at first.

    Args:
        events: The number where it learnt nothing.
        spacings: The baseline's spacings, T.
    """
    return events * spacings / (spacings - events) if events < spacings else math.inf
