"""``tidegauge bill``: what a range of time cost, and whose it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tidegauge.cli.control import parse_duration
from tidegauge.cli.wrapping import print_json
from tidegauge.cost.bill import Bill
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.reports.bill_tables import (
    BILL_COLUMNS,
    DIMENSIONS,
    bill_rows,
    cost_changes,
    costs_by,
)
from tidegauge.reports.cost_sentences import kind_words, use_sentences
from tidegauge.reports.forecast import Forecast, month_end_ms
from tidegauge.reports.formatting import count, dollars, duration, moment, number, percent, times
from tidegauge.reports.spreadsheet import csv_text
from tidegauge.reports.swap_cost import SwapCost
from tidegauge.reports.text import clip, plain
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.usecases.make_bill import bill_of_log
from tidegauge.usecases.time_range import TimeRange, parse_range

__all__ = ["app"]

_TIME = "now, -30d (s, m, h, d) or ISO 8601, UTC unless it says otherwise"

_NAME_LIMIT: Final = 80

app = typer.Typer(add_completion=False)


@app.command()
def bill(  # noqa: PLR0913 - one argument for each option
    *,
    start: Annotated[str, typer.Option("--from", help=f"Start of the range: {_TIME}.")] = "-1d",
    end: Annotated[str, typer.Option("--to", help="Its end.")] = "now",
    config: Annotated[
        Path | None,
        typer.Option(
            help="The gateway's YAML file, with the prices; default: TIDEGAUGE_GATEWAY_CONFIG."
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help=f"Sum the costs by one of {', '.join(DIMENSIONS)}.")
    ] = "customer",
    against: Annotated[
        str | None,
        typer.Option(help="Compare with the same range so much earlier: 7d, 12h, 30m."),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print every line; the column usd adds up to the bill.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts for machines.")] = False,
) -> None:
    """Share the price of the servers' time by the work that they did; docs/COST.md says how."""
    if by not in DIMENSIONS:
        raise typer.BadParameter(f"{by!r} is none of {', '.join(DIMENSIONS)}", param_hint="'--by'")
    now = now_ms()
    period = parse_range(start, end, now)
    shift_ms = None if against is None else parse_duration(against)
    path = config or load(GatewaySettings).config
    made = bill_of_log(load(KafkaSettings), path, period, now)
    found, notes = made.bill, made.notes
    before = None
    if shift_ms is not None:
        earlier = TimeRange(found.start_ms - shift_ms, found.end_ms - shift_ms)
        before = bill_of_log(load(KafkaSettings), path, earlier, now).bill
    ahead = made.forecast(month_end_ms(found.end_ms))
    if as_csv:
        typer.echo(csv_text(BILL_COLUMNS, bill_rows(found)), nl=False)
        for note in notes:
            typer.echo(plain(note), err=True)
    elif as_json:
        facts = {
            "from": moment(found.start_ms),
            "to": moment(found.end_ms),
            "usd": found.usd,
            "forecast": ahead,
            "swaps": made.swaps,
            "upstreams": found.upstreams,
            "use": made.use,
            "costs": {name: costs_by(found, name) for name in DIMENSIONS},
            "changes": None
            if before is None
            else {name: cost_changes(found, before, name) for name in DIMENSIONS},
            "notes": notes,
        }
        print_json(facts)
    else:
        console = Console(markup=False, emoji=False, highlight=False)
        _print(console, found, by)
        if before is not None:
            _print_changes(console, found, before, by)
        _print_swaps(console, made.swaps)
        for sentence in use_sentences(made.use):
            console.print(sentence)
        console.print(_forecast_sentence(ahead))
        for note in notes:
            console.print(f"Note: {plain(note)}")


def _table(name: str, *columns: str) -> Table:
    """Return a table whose cells are wrapped and never cut: half a sum is a wrong one."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(name, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _forecast_sentence(ahead: Forecast) -> str:
    until = moment(ahead.until_ms)
    if ahead.usd is None:
        return f"From its end to {until}: not known, since the log has no whole hour of it"
    between = (
        ""
        if ahead.low_usd is None or ahead.low_usd == ahead.high_usd
        else f", with 90% between {dollars(ahead.low_usd)} and {dollars(ahead.high_usd)}"
    )
    return f"From its end to {until}: about {dollars(ahead.usd)}{between}"


def _print_swaps(console: Console, swaps: Sequence[SwapCost]) -> None:
    if not swaps:
        return
    table = _table("swap", "since", "per 1M tokens", "before", "per conversation", "before")
    for one in swaps:
        table.add_row(
            clip(f"{one.model} {one.old} to {one.new}", _NAME_LIMIT),
            moment(one.since_ms),
            dollars(one.after.usd_per_million),
            dollars(one.before.usd_per_million),
            dollars(one.after.usd_per_conversation),
            dollars(one.before.usd_per_conversation),
        )
    console.print(table)


def _print_changes(console: Console, found: Bill, before: Bill, by: str) -> None:
    console.print(
        f"Before, {moment(before.start_ms)} to {moment(before.end_ms)}: {dollars(before.usd)}"
    )
    table = _table(by, "cost", "before", "times", "per 1M tokens", "before")
    for one in cost_changes(found, before, by):
        table.add_row(
            clip(one.name, _NAME_LIMIT),
            dollars(one.usd),
            dollars(one.before_usd),
            times(one.times),
            dollars(one.usd_per_million),
            dollars(one.before_usd_per_million),
        )
    console.print(table)


def _print(console: Console, found: Bill, by: str) -> None:
    console.print(f"{moment(found.start_ms)} to {moment(found.end_ms)}: {dollars(found.usd)}")
    if found.upstreams:
        table = _table("upstream", "time", "price", "customers", "idle", "residual", "in use")
        for one in found.upstreams:
            table.add_row(
                clip(one.upstream, _NAME_LIMIT),
                duration(one.seconds),
                dollars(one.usd),
                dollars(one.shares_usd),
                dollars(one.idle_usd),
                dollars(one.residual_usd),
                percent(1 - one.idle_seconds / one.seconds if one.seconds else None),
            )
        console.print(table)
        for one in found.upstreams:
            if words := kind_words(one):
                console.print(f"Time of {clip(one.upstream, _NAME_LIMIT)}: {words}")
    table = _table(
        by,
        "cost",
        "share",
        "requests",
        "tokens",
        "per 1M\ntokens",
        "per conver-\nsation",
        "requests\nper $",
    )
    for group in costs_by(found, by):
        table.add_row(
            clip(group.name, _NAME_LIMIT),
            dollars(group.usd),
            percent(group.share),
            count(group.requests),
            count(group.tokens),
            dollars(group.usd_per_million),
            dollars(group.usd_per_conversation),
            number(group.requests_per_usd),
        )
    console.print(table)
