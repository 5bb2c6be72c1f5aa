"""Decomposition of a change of a rate: other topics, or the same topics served worse.

A rate is a mean over clusters of requests: R = sum of p_k r_k, with p_k the share of a
cluster and r_k its own rate. Between a reference and the present it changes by

    conditional   sum over known k of p'_k (r'_k - r_k)          the same topics, other rates
    mix           sum over known k of (p'_k - p_k)(r_k - R)       other topics, the same rates
    unknown       the rest: clusters without a reference of their own

which add up to R' - R exactly (Kitagawa, "Components of a difference between two rates",
1955, with the present's weights). Intervals are approximate (delta method, 95%).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from tidegauge.monitoring.errors import MonitoringError
from tidegauge.reports.formatting import percent, points

__all__ = ["ClusterShift", "Counts", "MixDecomposition", "MixShare", "decompose", "sentence"]

Counts: TypeAlias = Mapping[int, tuple[int, int]]
"""Cluster -> (hits, trials)."""

_Z = 1.96


class MixShare(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the change, in units of the rate, with its 95% interval."""

    change: float
    low: float
    high: float


class ClusterShift(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster's shares and rates in the reference and in the present.

    Attributes:
        cluster: Its index in the drift baseline.
        reference_share: Its share of the reference's requests.
        current_share: Its share of the present's requests.
        reference_rate: Its own rate in the reference; None without events.
        current_rate: Its own rate in the present; None without events.
        conditional: Contribution of its rate to the change.
        mix: Contribution of its share to the change.
    """

    cluster: int
    reference_share: float
    current_share: float
    reference_rate: float | None
    current_rate: float | None
    conditional: float
    mix: float


class MixDecomposition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a rate, decomposed.

    Attributes:
        reference_events: Events in the reference.
        current_events: Events in the present.
        reference_rate: Rate in the reference.
        current_rate: Rate in the present.
        conditional: Part due to other rates in the same topics.
        mix: Part due to other topics.
        unknown: Part due to topics without a reference, which cannot be split further.
        unknown_share: Share of these topics in the present's events.
        clusters: All clusters, those that contribute most first.
    """

    reference_events: int
    current_events: int
    reference_rate: float
    current_rate: float
    conditional: MixShare
    mix: MixShare
    unknown: float
    unknown_share: float
    clusters: tuple[ClusterShift, ...]


def decompose(reference: Counts, current: Counts) -> MixDecomposition:
    """Decompose the change of a rate.

    Args:
        reference: Hits and trials of each cluster in the reference.
        current: Hits and trials of each cluster in the present.

    Raises:
        MonitoringError: One of them has no events.

    Example:
        >>> mix = decompose({0: (10, 100), 1: (50, 100)}, {0: (10, 100), 1: (150, 300)})
        >>> round(mix.mix.change, 3), round(mix.conditional.change, 3)
        (0.1, 0.0)
    """
    then, now = _total(reference, "reference"), _total(current, "present")
    rate = then[0] / then[1]
    shifts = [
        _shift(cluster, reference.get(cluster, (0, 0)), current.get(cluster, (0, 0)), then, now)
        for cluster in sorted(reference.keys() | current.keys())
    ]
    known = [shift for shift in shifts if shift.reference_rate is not None]
    unknown = [shift for shift in shifts if shift.reference_rate is None]
    return MixDecomposition(
        reference_events=then[1],
        current_events=now[1],
        reference_rate=rate,
        current_rate=now[0] / now[1],
        conditional=_part(
            sum(shift.conditional for shift in known),
            _conditional_variance(known, reference, current, now[1]),
        ),
        mix=_part(
            sum(shift.mix for shift in known),
            _mix_variance(known, reference, rate, then[1], now[1]),
        ),
        unknown=sum(s.current_share * ((s.current_rate or 0.0) - rate) for s in unknown),
        unknown_share=sum(shift.current_share for shift in unknown),
        clusters=tuple(sorted(shifts, key=lambda s: (-abs(s.conditional) - abs(s.mix), s.cluster))),
    )


def sentence(mix: MixDecomposition) -> str:
    """Return a decomposition as a sentence.

    Example:
        >>> print(sentence(decompose({0: (10, 100)}, {0: (60, 100)})))
        From 10% to 60%: the same topics served otherwise account for +50 points \
(between +38.7 and +61.3), other topics for 0 (between 0 and 0).
    """
    words = (
        f"From {percent(mix.reference_rate)} to {percent(mix.current_rate)}: the same topics "
        f"served otherwise account for {points(mix.conditional.change)} points "
        f"({_between(mix.conditional)}), other topics for {points(mix.mix.change)} "
        f"({_between(mix.mix)})"
    )
    if mix.unknown_share > 0:
        words += (
            f", and topics that the baseline does not know, {percent(mix.unknown_share)} of the "
            f"requests, for {points(mix.unknown)}: of these it cannot be told"
        )
    return words + "."


def _total(counts: Counts, name: str) -> tuple[int, int]:
    hits = sum(x for x, _ in counts.values())
    trials = sum(n for _, n in counts.values())
    if not trials:
        raise MonitoringError(f"the {name} has no events whose topic is known: nothing to compare")
    return hits, trials


def _shift(
    cluster: int,
    before: tuple[int, int],
    after: tuple[int, int],
    then: tuple[int, int],
    now: tuple[int, int],
) -> ClusterShift:
    share, current_share = before[1] / then[1], after[1] / now[1]
    own = before[0] / before[1] if before[1] else None
    current = after[0] / after[1] if after[1] else None
    return ClusterShift(
        cluster=cluster,
        reference_share=share,
        current_share=current_share,
        reference_rate=own,
        current_rate=current,
        conditional=current_share * (current - own)
        if own is not None and current is not None
        else 0.0,
        mix=(current_share - share) * (own - then[0] / then[1]) if own is not None else 0.0,
    )


def _part(change: float, variance: float) -> MixShare:
    reach = _Z * math.sqrt(max(0.0, variance))
    return MixShare(change=change, low=change - reach, high=change + reach)


def _rate_variance(counts: tuple[int, int]) -> float:
    """Return the variance of a cluster's rate; pseudo-counts keep it above 0."""
    hits, trials = counts
    if not trials:
        return 0.0
    rate = (hits + 0.5) / (trials + 1)
    return rate * (1 - rate) / trials


def _conditional_variance(
    known: Iterable[ClusterShift], reference: Counts, current: Counts, events: int
) -> float:
    found = list(known)
    rates = sum(
        s.current_share**2
        * (_rate_variance(reference[s.cluster]) + _rate_variance(current.get(s.cluster, (0, 0))))
        for s in found
    )
    differences = [
        (s.current_share, (s.current_rate or 0.0) - (s.reference_rate or 0.0))
        for s in found
        if s.current_share
    ]
    return rates + _spread(differences) / events


def _mix_variance(
    known: Iterable[ClusterShift], reference: Counts, rate: float, then: int, now: int
) -> float:
    found = list(known)
    rates = sum(
        (s.current_share - s.reference_share) ** 2 * _rate_variance(reference[s.cluster])
        for s in found
    )
    before = [(s.reference_share, (s.reference_rate or 0.0) - rate) for s in found]
    after = [(s.current_share, (s.reference_rate or 0.0) - rate) for s in found]
    return rates + _spread(before) / then + _spread(after) / now


def _spread(weighted: Iterable[tuple[float, float]]) -> float:
    """Return the variance of a number over clusters drawn by their shares."""
    pairs = list(weighted)
    mean = sum(share * value for share, value in pairs)
    return sum(share * value**2 for share, value in pairs) - mean**2


def _between(part: MixShare) -> str:
    return f"between {points(part.low)} and {points(part.high)}"
