"""The drift benchmark's rows as one table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from tidegauge.cli.bench_results import OURS, Row

__all__ = ["overview"]


def overview(rows: Sequence[Row]) -> Table:
    """Return the delays: a line for each change, a column for each system and threshold."""
    delays = [row for row in rows if row["metric"] == "delay"]
    columns = list(dict.fromkeys((row["system"], row["threshold"]) for row in delays))
    cells = {(row["change"], row["system"], row["threshold"]): row for row in delays}
    table = Table("median (P90), missed", title="Events until the alarm")
    for system, threshold in columns:
        table.add_column(f"{threshold}\n{system}", justify="right")
    for change in dict.fromkeys(row["change"] for row in delays):
        table.add_row(change, *(_delay(cells[change, *column]) for column in columns))
    quiet = {
        (row["system"], row["threshold"]): f"{row['median']:.0f} in {row['events']:,.0f}"
        for row in rows
        if row["metric"] == "false alarms"
    }
    table.add_section()
    table.add_row("false alarms", *(quiet[column] for column in columns))
    costs = {
        row["system"]: f"{row['median']:.1f}"
        for row in rows
        if row["metric"] == "cost beside embedding"
    }
    table.add_row("cost, us/event", *(costs.get(system, "") for system, _ in columns))
    for row in rows:
        if row["system"] == OURS and row["unit"] == "" and row["n"] == 1:
            table.add_row(row["metric"], f"{row['median']:,.1f}")
    return table


def _delay(row: Row) -> str:
    missed = f" {row['missed']:.0%}" if row["missed"] else ""
    return f"{_events(row['median'])} ({_events(row['p90'])}){missed}"


def _events(number: float | None) -> str:
    return "never" if number is None else f"{number:.0f}"
