"""The drift benchmark's rows and bars as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from drift_bars import Bar
from drift_results import Row
from tidegauge.reports.formatting import count, number, percent

__all__ = ["bar_table", "overview"]


def overview(rows: Sequence[Row]) -> Table:
    """Return the delays: two lines for each system and threshold, a column for each change."""
    delays = [row for row in rows if row["metric"] == "delay"]
    cells = {(row["system"], row["threshold"], row["change"]): row for row in delays}
    changes = list(dict.fromkeys(row["change"] for row in delays))
    quiet = {
        (row["system"], row["threshold"]): f"{count(row['median'])} in\n{count(row['events'])}"
        for row in rows
        if row["metric"] == "false alarms"
    }
    costs = {
        row["system"]: number(row["median"])
        for row in rows
        if row["metric"] == "cost beside embedding"
    }
    table = Table(
        title="Events until the alarm: median, then P90 and the share missed", title_justify="left"
    )
    table.add_column("false alarms", min_width=30)
    for change in changes:
        kind, _, size = change.rpartition(" ")
        table.add_column(f"{kind}\n{size}", justify="right")
    table.add_column("quiet\nstreams", justify="right")
    table.add_column("CPU\nus/event", justify="right")
    for system, threshold in dict.fromkeys((row["system"], row["threshold"]) for row in delays):
        table.add_row(
            f"{system}\n  {threshold}",
            *(_delay(cells[system, threshold, change]) for change in changes),
            quiet[system, threshold],
            costs[system],
        )
    return table


def bar_table(bars: Sequence[Bar]) -> Table:
    """Return which bars are met."""
    table = Table("bar", "limit", "found", "met", title="Bars", title_justify="left")
    for bar in bars:
        met = "yes" if bar.met else "[bold]no"
        table.add_row(bar.what, f"{bar.side} {_number(bar.limit)}", _number(bar.found), met)
    return table


def _delay(row: Row) -> str:
    missed = f", {percent(row['missed'])}" if row["missed"] else ""
    return f"{_events(row['median'])}\n{_events(row['p90'])}{missed}"


def _number(value: float | None) -> str:
    return "never" if value is None else number(value, 2)


def _events(value: float | None) -> str:
    return "never" if value is None else count(value)
