"""The limits that the drift monitor must meet, checked on the drift benchmark's rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from drift_results import OURS, Row

__all__ = ["Bar", "bars"]

_DELAYS = {
    "out of scope 10%": 140,
    "out of scope 5%": 500,
    "held out 10%": 900,
    "swelling x3": 1_200,
}
_MISSED = 0.05
_PROMISED = "guaranteed 1 in 100,000"
_MMD, _MMD_CHANGE, _MMD_RATIO = "MMD online", "out of scope 10%", 5.0
_BEHIND = 1.1
_COST_MICROSECONDS, _STATE_BYTES = 20.0, 2_000_000.0
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing asked for.

    Attributes:
        what: What is measured.
        side: On which side of the limit it must be.
        limit: The limit.
        found: What was found, None for a delay beyond the streams' end.
        met: Whether that is enough.
    """

    what: str
    side: Literal["<=", ">="]
    limit: float
    found: float | None
    met: bool


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Return the bars about which the rows say something."""
    return [*_promised(rows), *_false_alarms(rows), *_compared(rows), *_costs(rows)]


def _promised(rows: Sequence[Row]) -> Iterator[Bar]:
    for row in rows:
        if row.get("threshold") == _PROMISED and row.get("change") in _DELAYS:
            what = f"{row['change']}, {_PROMISED}"
            yield _at_most(f"median delay, {what}", _DELAYS[row["change"]], row["median"])
            yield _at_most(f"missed share, {what}", _MISSED, row["missed"])


def _false_alarms(rows: Sequence[Row]) -> Iterator[Bar]:
    for row in rows:
        if row["metric"] == "false alarms" and row["threshold"].startswith("guaranteed"):
            allowed = row["events"] / row["promised_events"]
            limit = allowed + _STANDARD_ERRORS * math.sqrt(allowed)
            yield _at_most(f"false alarms, {row['threshold']}", limit, row["median"])


def _compared(rows: Sequence[Row]) -> Iterator[Bar]:
    matched = [row for row in rows if row["metric"] == "delay" and "ratio" in row]
    own = {row["change"]: row for row in matched if row["system"] == OURS}
    peers = [row for row in matched if row["system"] != OURS]
    for row in peers:
        if row["system"].endswith(_MMD) and row["change"] == _MMD_CHANGE:
            ratio = _over(row["ratio"], row["median"])
            what = f"{row['system']} over {OURS}, {row['change']}"
            yield Bar(what, ">=", _MMD_RATIO, row["ratio"], ratio >= _MMD_RATIO)
    for change in own:
        rivals = [row for row in peers if row["change"] == change]
        if rivals:
            best = min(rivals, key=lambda row: _over(row["ratio"], row["median"]))
            ratio = _over(best["ratio"], best["median"])
            what = f"{OURS} over the best peer ({best['system']}), {change}"
            yield _at_most(what, _BEHIND, 1 / ratio if ratio else None)


def _over(ratio: float | None, median: float | None) -> float:
    """Return a peer's delay over ours, where one of them may be beyond the streams' end."""
    if ratio is not None:
        return ratio
    return math.inf if median is None else 0.0


def _costs(rows: Sequence[Row]) -> Iterator[Bar]:
    for row in rows:
        if row["system"] == OURS and row["metric"] == "cost beside embedding":
            yield _at_most("cost beside embedding, us/event", _COST_MICROSECONDS, row["median"])
        if row["system"] == OURS and row["metric"] == "state_bytes":
            yield _at_most("state of a segment, bytes", _STATE_BYTES, row["median"])


def _at_most(what: str, limit: float, found: float | None) -> Bar:
    return Bar(what, "<=", limit, found, found is not None and found <= limit)
