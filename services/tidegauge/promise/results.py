"""What the measurement found: a row for each cell, and the bars that they are held to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy.special import chdtri, pdtrc

from tidegauge.promise.cells import StreamOutcome
from tidegauge.schemas.findings import Monitor

__all__ = [
    "CELL_CHANCE",
    "Bar",
    "FalseAlarms",
    "at_least",
    "at_most",
    "delay_of",
    "false_alarms",
    "rows",
]

CELL_CHANCE = 0.00135
"""Chance that a cell has more false alarms than may be seen: that of three standard errors."""
_OVERLOOKED = 0.1


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit, and what was found.

    Attributes:
        name: What is limited.
        limit: The limit.
        found: What was found; None where nothing was measured, which does not meet it.
        met: Whether it is met.
        note: On how many streams it was found, and the like.
    """

    name: str
    limit: float
    found: float | None
    met: bool
    note: str = ""


def at_most(name: str, limit: float, found: float | None, note: str = "") -> Bar:
    """Return a bar that is met by at most the limit."""
    return Bar(name, limit, _finite(found), found is not None and found <= limit, note)


def at_least(name: str, limit: float, found: float | None, note: str = "") -> Bar:
    """Return a bar that is met by at least the limit."""
    return Bar(name, limit, _finite(found), found is not None and found >= limit, note)


def _finite(found: float | None) -> float | None:
    return found if found is not None and math.isfinite(found) else None


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """False alarms found and allowed.

    Attributes:
        found: First alarms of monitors in streams without a change.
        allowed: The share of the streams' time in the mean time to a false alarm, summed up.
    """

    found: int
    allowed: float

    def most(self, chance: float) -> int:
        """Return the count that a Poisson count with the mean allowed exceeds with some chance.

        Args:
            chance: The greatest chance that it exceeds the count returned.
        """
        most = 0
        while pdtrc(most, self.allowed) > chance:
            most += 1
        return most

    def detectable(self, chance: float) -> float:
        """Return the true mean whose counts exceed ``most(chance)`` in nine of ten runs."""
        return float(chdtri(2 * (self.most(chance) + 1), _OVERLOOKED) / 2)


def false_alarms(outcomes: Iterable[StreamOutcome], monitor: str = "") -> FalseAlarms:
    """Count false alarms.

    Args:
        outcomes: Streams without a change.
        monitor: Only this monitor; empty for all.
    """
    found, allowed = 0, 0.0
    for one in outcomes:
        for name, share in one.allowed.items():
            if not monitor or name == monitor:
                allowed += share
                found += any(alarm.monitor == name for alarm in one.alarms)
    return FalseAlarms(found, allowed)


def delay_of(outcome: StreamOutcome, signal: str) -> float:
    """Return the units until the first alarm of a signal, infinite without one."""
    found = [n for name, n in outcome.delays.items() if Monitor.parse(name).signal == signal]
    return float(min(found, default=math.inf))


def rows(outcomes: Sequence[StreamOutcome]) -> list[dict[str, Any]]:
    """Return a row for each traffic, baseline and change."""
    cells: dict[tuple[str, str, str], list[StreamOutcome]] = defaultdict(list)
    for one in outcomes:
        cells[one.traffic, one.baseline, one.change].append(one)
    return [
        {
            "traffic": traffic,
            "baseline": baseline,
            "change": change,
            "streams": len(found),
            "days": round(sum(one.days for one in found), 2),
            **_promised(found),
            **(_delays(found) if change else _alarms(found)),
        }
        for (traffic, baseline, change), found in cells.items()
    ]


def _promised(found: Sequence[StreamOutcome]) -> dict[str, Any]:
    """Return which monitors promise something, and why the others do not."""
    promised = sorted({name for one in found for name in one.allowed})
    refused = {name: reason for one in found for name, reason in one.refused.items()}
    return {
        "promised": promised,
        "refused": dict(sorted(refused.items())),
        "refused_streams": {
            name: sum(name in one.refused for one in found) for name in sorted(refused)
        },
        "promised_streams": sum(bool(one.allowed) for one in found),
    }


def _alarms(found: Sequence[StreamOutcome]) -> dict[str, Any]:
    whole = false_alarms(found)
    monitors = sorted({name for one in found for name in one.allowed})
    by_monitor: Mapping[str, FalseAlarms] = {name: false_alarms(found, name) for name in monitors}
    return {
        "alarms": whole.found,
        "allowed": round(whole.allowed, 3),
        "most": whole.most(CELL_CHANCE),
        "by_monitor": {
            name: {"alarms": one.found, "allowed": round(one.allowed, 3)}
            for name, one in by_monitor.items()
        },
        "days_to_alarms": sorted(round(alarm.days, 2) for one in found for alarm in one.alarms),
        "indicators": sorted({name for one in found for a in one.alarms for name in a.indicators}),
    }


def _delays(found: Sequence[StreamOutcome]) -> dict[str, Any]:
    return {"delays": {signal: _delay(found, signal) for signal in {one.signal for one in found}}}


def _delay(found: Sequence[StreamOutcome], signal: str) -> dict[str, Any]:
    delays = sorted(delay_of(one, signal) for one in found)
    pick: Callable[[float], float | None] = _finite
    return {
        "median": pick(median(delays)),
        "p90": pick(float(np.quantile(delays, 0.9, method="higher"))),
        "missed": round(sum(math.isinf(one) for one in delays) / len(delays), 3),
    }
