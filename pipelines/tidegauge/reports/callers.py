"""Callers of the requests that show an effect: shares of a sample, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.reports.text import clip
from tidegauge.schemas.findings import Callers, CallerShare

__all__ = ["CallerLine", "CallerTable", "Share", "caller_table"]

_FEW = 20
"""Least sample: in a smaller one, a share of a half does not stand out from a fifth."""
_HALF = 0.5
_MISS = 0.05
_NAME = 64
_UNNAMED = "(unnamed)"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of sampled requests, with its exact 95% interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CallerLine:
    """A caller, or all those that have no line of their own.

    Attributes:
        name: Name for people.
        of_these: Share of the sampled requests that show the effect.
        of_all: Share of all sampled requests.
        apart: Whether the caller stands apart: see ``CallerShare``.
    """

    name: str
    of_these: Share
    of_all: Share
    apart: bool


@dataclass(frozen=True, slots=True)
class CallerTable:
    """The callers of the requests that show an effect.

    Attributes:
        these: Number of sampled requests that show it.
        all: Number of sampled requests.
        lines: The largest callers, the largest first.
        others: All other callers together, None if there are none.
        sentence: Conclusion: one caller's change, everybody's, or too few requests to tell.
    """

    these: int
    all: int
    lines: tuple[CallerLine, ...]
    others: CallerLine | None
    sentence: str


def caller_table(callers: Callers) -> CallerTable:
    """Return the callers of an effect's requests for people."""
    told = callers.shares
    rest = callers.trials - sum(one.trials for one in told)
    others = None
    if rest:
        others = CallerLine(
            name="all others",
            of_these=_share(callers.hits - sum(one.hits for one in told), callers.hits),
            of_all=_share(rest, callers.trials),
            apart=False,
        )
    return CallerTable(
        these=callers.hits,
        all=callers.trials,
        lines=tuple(
            CallerLine(
                name=_name(one),
                of_these=_share(one.hits, callers.hits),
                of_all=_share(one.trials, callers.trials),
                apart=one.apart,
            )
            for one in told
        ),
        others=others,
        sentence=_sentence(callers),
    )


def _share(part: int, whole: int) -> Share:
    low, high = clopper_pearson(part, whole, alpha=_MISS)
    return Share(part / whole, float(low), float(high))


def _name(caller: CallerShare) -> str:
    return clip(caller.customer, _NAME) or _UNNAMED


def _sentence(callers: Callers) -> str:
    apart = [one for one in callers.shares if one.apart]
    if apart:
        names = _listed([_name(one) for one in apart])
        alone = len(apart) == 1
        if sum(one.hits for one in apart) >= _HALF * callers.hits:
            whose = "one caller's" if alone else f"{len(apart)} callers'"
            return (
                f"Most of them come from {names}, and of the other requests a smaller part: "
                f"{whose} change rather than everybody's."
            )
        return (
            f"{names} {'sends' if alone else 'send'} a larger part of them than of the other "
            "requests, but most come from others: not one caller's change alone."
        )
    if any(one.trials == callers.trials for one in callers.shares):
        return "All sampled requests are one caller's: there is nobody to tell its change from."
    if callers.hits < _FEW:
        return (
            f"Only {callers.hits} of them {'is' if callers.hits == 1 else 'are'} in the sample: "
            "too few to tell one caller's change from everybody's."
        )
    return (
        "No caller sends a clearly larger part of them than of the other requests: "
        "everybody's change rather than one caller's."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
