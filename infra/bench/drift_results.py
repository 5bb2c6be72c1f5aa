"""Delays and result rows, computed from the paths of the drift benchmark's statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.benchmark_streams import NO_CHANGE, Change, first_alarm, matched_level
from tidegauge.reports.formatting import odds

__all__ = ["OURS", "DelayResult", "Delays", "Paths", "Row", "delays", "level_of", "rows"]

Floats: TypeAlias = NDArray[np.float64]
Paths: TypeAlias = dict[Change, list[list[Floats]]]
"""Change -> for each baseline, for each of its streams, the statistic after each window."""
Row: TypeAlias = dict[str, Any]

OURS = "tidegauge"

_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class DelayResult:
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


def level_of(found: DelayResult, *, window: int, mean_events: float) -> float:
    """Return the level at which a system's quiet streams alarm that rarely."""
    quiet = [path for paths in found.paths[NO_CHANGE] for path in paths]
    return matched_level(quiet, window=window, mean_events=mean_events)


def delays(paths: Sequence[Sequence[Floats]], level: float, window: int) -> Delays:
    """Return the delays of one change.

    Args:
        paths: For each baseline, for each of its streams, the statistic after each window.
        level: Where the alarm is.
        window: Events of a window.
    """
    when = np.array(_when(paths, level, window))
    medians = np.array([_quantile(when[rows], 0.5) for rows in _resampled(len(when))])
    return Delays(
        median=_quantile(when, 0.5),
        interval=(_quantile(medians, 0.025), _quantile(medians, 0.975)),
        p90=_quantile(when, 0.9),
        least=float(when.min()),
        most=float(when.max()),
        missed=float(np.isinf(when).mean()),
        runs=when.size,
    )


def _when(paths: Sequence[Sequence[Floats]], level: float, window: int) -> list[Floats]:
    return [np.array([first_alarm(path, level, window) for path in one]) for one in paths]


def _resampled(baselines: int) -> NDArray[np.int64]:
    """Return baselines drawn again, for streams that share one are not independent."""
    return np.random.default_rng(0).integers(baselines, size=(_RESAMPLES, baselines))


def _quantile(values: Floats, share: float) -> float:
    """Return a quantile that is one of the values: infinite ones are not averaged."""
    return float(np.quantile(values, share, method="inverted_cdf"))


def rows(
    systems: Mapping[str, DelayResult],
    *,
    window: int,
    guaranteed_events: Sequence[float],
    matched_events: float,
) -> list[Row]:
    """Return the benchmark's rows; None stands for a delay beyond the stream's end.

    Args:
        systems: What each system found, ours under ``OURS``.
        window: Events of a window.
        guaranteed_events: Mean events to a false alarm that ours promises.
        matched_events: Mean events to a false alarm at which systems are compared.
    """
    ours = systems[OURS]
    found: list[Row] = []
    for events in guaranteed_events:
        level = float(np.log(events))
        found += _at_level(OURS, ours, f"guaranteed {odds(1 / events)}", level, window, events)
    at = {
        name: level_of(system, window=window, mean_events=matched_events)
        for name, system in systems.items()
    }
    for name, system in systems.items():
        threshold = f"measured {odds(1 / matched_events)}"
        found += [
            row | _beside(row, ours.paths, at[OURS], system.paths, window)
            for row in _at_level(name, system, threshold, at[name], window, matched_events)
        ]
        found += _figures(name, system)
    return found


def _at_level(  # noqa: PLR0913, PLR0917 - who, at which level, and what that level is
    name: str,
    system: DelayResult,
    threshold: str,
    level: float,
    window: int,
    promised_events: float,
) -> list[Row]:
    quiet = [path for paths in system.paths[NO_CHANGE] for path in paths]
    when = np.array([first_alarm(path, level, window) for path in quiet])
    watched = np.minimum(when, [len(path) * window for path in quiet]).sum()
    alarms = float(np.isfinite(when).sum())
    found = [
        _row("false alarms", name, "alarms", alarms, len(quiet))
        | {"change": NO_CHANGE.name, "threshold": threshold}
        | {"level": _number(level), "events": float(watched), "promised_events": promised_events}
    ]
    for change, paths in system.paths.items():
        if change == NO_CHANGE:
            continue
        one = delays(paths, level, window)
        found.append(
            _row("delay", name, "events", one.median, one.runs)
            | {
                "min": _number(one.least),
                "level": level,
                "max": _number(one.most),
                "change": change.name,
                "threshold": threshold,
                "interval": [_number(one.interval[0]), _number(one.interval[1])],
                "p90": _number(one.p90),
                "missed": one.missed,
            }
        )
    return found


def _beside(row: Row, ours: Paths, level: float, theirs: Paths, window: int) -> Row:
    """Return the ratio of a row's median to ours on the same streams, and its 95% interval.

    A ratio to or of delays beyond the stream is None, where both are it is 1.
    """
    change = next(change for change in theirs if change.name == row["change"])
    if change == NO_CHANGE:
        return {}
    other = np.array(_when(theirs[change], row["level"], window))
    mine = np.array(_when(ours[change], level, window))[:, : other.shape[1]]

    def ratio(rows: NDArray[np.int64] | slice) -> float:
        upper, lower = _quantile(other[rows], 0.5), _quantile(mine[rows], 0.5)
        return 1.0 if upper == lower else upper / lower

    again = np.array([ratio(rows) for rows in _resampled(len(mine))])
    return {
        "ratio": _number(ratio(slice(None))),
        "ratio_interval": [_number(_quantile(again, share)) for share in (0.025, 0.975)],
    }


def _figures(name: str, system: DelayResult) -> Iterator[Row]:
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
