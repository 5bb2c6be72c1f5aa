"""From the paths of the drift benchmark's statistics to delays, and to the rows of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.protocol import NO_CHANGE, Change, first_alarm, matched_level

__all__ = ["OURS", "Delays", "Found", "Paths", "Row", "delays", "level_of", "rows"]

Floats: TypeAlias = NDArray[np.float64]
Paths: TypeAlias = dict[Change, list[list[Floats]]]
"""Change -> for each baseline, for each of its streams, the statistic after each block."""
Row: TypeAlias = dict[str, Any]

OURS = "tidegauge"

_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Found:
    """What a system made of the streams.

    Attributes:
        paths: Its statistic.
        microseconds: Its CPU time per event, beside the embedding.
        facts: More figures of it.
        note: Its settings.
    """

    paths: Paths
    microseconds: float
    facts: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Delays:
    """Events until the alarm over the runs of one change; infinite beyond the stream's end.

    Attributes:
        median: Their median.
        interval: Its 95% interval, by drawing baselines again.
        p90: Their 90th percentile.
        least: The shortest.
        most: The longest.
        missed: Share of the runs without an alarm.
        runs: How many.
    """

    median: float
    interval: tuple[float, float]
    p90: float
    least: float
    most: float
    missed: float
    runs: int


def level_of(found: Found, *, block: int, mean_events: float) -> float:
    """Return the level at which a system's quiet streams alarm that rarely."""
    quiet = [path for paths in found.paths[NO_CHANGE] for path in paths]
    return matched_level(quiet, block=block, mean_events=mean_events)


def delays(paths: Sequence[Sequence[Floats]], level: float, block: int) -> Delays:
    """Return the delays of one change.

    Args:
        paths: For each baseline, for each of its streams, the statistic after each block.
        level: Where the alarm is.
        block: Events of a block.
    """
    when = np.array([[first_alarm(path, level, block) for path in one] for one in paths])
    rng = np.random.default_rng(0)
    again = rng.integers(len(when), size=(_RESAMPLES, len(when)))
    medians = np.sort([_quantile(when[rows], 0.5) for rows in again])
    return Delays(
        median=_quantile(when, 0.5),
        interval=(_quantile(medians, 0.025), _quantile(medians, 0.975)),
        p90=_quantile(when, 0.9),
        least=float(when.min()),
        most=float(when.max()),
        missed=float(np.isinf(when).mean()),
        runs=when.size,
    )


def _quantile(values: Floats, share: float) -> float:
    """Return a quantile that is one of the values: infinite ones are not averaged."""
    return float(np.quantile(values, share, method="inverted_cdf"))


def rows(
    systems: Mapping[str, Found],
    *,
    block: int,
    guaranteed_events: Sequence[float],
    matched_events: float,
) -> list[Row]:
    """Return the benchmark's rows; None stands for a delay beyond the stream's end.

    Args:
        systems: What each system found, ours under ``OURS``.
        block: Events of a block.
        guaranteed_events: Mean events to a false alarm that ours promises.
        matched_events: Mean events to a false alarm at which systems are compared.
    """
    ours = systems[OURS]
    found: list[Row] = []
    for events in guaranteed_events:
        threshold = f"guaranteed 1 in {events:,.0f}"
        found += _at_level(OURS, ours, threshold, float(np.log(events)), block)
    at = {
        name: level_of(system, block=block, mean_events=matched_events)
        for name, system in systems.items()
    }
    for name, system in systems.items():
        matched = _at_level(name, system, f"measured 1 in {matched_events:,.0f}", at[name], block)
        for row in matched:
            if row["metric"] == "delay":
                row["ratio"] = _ratio(row, ours.paths, system.paths, at[OURS], block)
        found += matched
        found += _figures(name, system)
    return found


def _at_level(name: str, system: Found, threshold: str, level: float, block: int) -> list[Row]:
    quiet = [path for paths in system.paths[NO_CHANGE] for path in paths]
    when = np.array([first_alarm(path, level, block) for path in quiet])
    watched = np.minimum(when, [len(path) * block for path in quiet]).sum()
    alarms = float(np.isfinite(when).sum())
    found = [
        _row("false alarms", name, "alarms", alarms, len(quiet))
        | {"change": NO_CHANGE.name, "threshold": threshold, "events": float(watched)}
    ]
    for change, paths in system.paths.items():
        if change == NO_CHANGE:
            continue
        one = delays(paths, level, block)
        found.append(
            _row("delay", name, "events", one.median, one.runs)
            | {
                "min": _number(one.least),
                "max": _number(one.most),
                "change": change.name,
                "threshold": threshold,
                "interval": [_number(one.interval[0]), _number(one.interval[1])],
                "p90": _number(one.p90),
                "missed": one.missed,
            }
        )
    return found


def _ratio(row: Row, ours: Paths, theirs: Paths, level: float, block: int) -> float | None:
    """Return a median over ours on the same streams; None where either is beyond them."""
    change = next(change for change in theirs if change.name == row["change"])
    same = [mine[: len(others)] for mine, others in zip(ours[change], theirs[change], strict=True)]
    own = delays(same, level, block).median
    return None if row["median"] is None or np.isinf(own) else round(row["median"] / own, 3)


def _figures(name: str, system: Found) -> Iterator[Row]:
    yield _row("cost beside embedding", name, "us/event", system.microseconds, 1, system.note)
    for fact, value in system.facts.items():
        yield _row(fact, name, "", value, 1)


def _row(metric: str, system: str, unit: str, value: float, n: int, note: str = "") -> Row:  # noqa: PLR0913, PLR0917 - a row
    number = _number(value)
    return {
        "metric": metric,
        "system": system,
        "unit": unit,
        "median": number,
        "min": number,
        "max": number,
        "n": n,
        "note": note,
    }


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
