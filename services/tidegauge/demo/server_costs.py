"""What the demonstration's server did and cost, as the monitor's API tells it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegauge.reports.formatting import count, dollars, duration, percent
from tidegauge.schemas.upstream_events import UpstreamSample

__all__ = ["DemoCosts", "show_costs"]


class _ServerBill(msgspec.Struct):
    upstream: str
    seconds: float
    usd: float
    shares_usd: float
    busy_seconds: float
    idle_usd: float
    residual_usd: float


class _Group(msgspec.Struct):
    name: str
    usd: float | None
    share: float | None
    requests: int
    usd_per_million: float | None


class _Server(msgspec.Struct):
    upstream: str
    sample: UpstreamSample | None


class DemoCosts(msgspec.Struct):
    """The part of the answer of ``/api/costs`` that is shown.

    Attributes:
        bill: The servers' time and its price.
        costs: Dimension -> the groups' costs.
        upstreams: The servers now.
    """

    bill: list[_ServerBill]
    costs: dict[str, list[_Group]]
    upstreams: list[_Server]


def show_costs(costs: DemoCosts, console: Console) -> None:
    """Print the use of the server, its idle time, and each customer's cost."""
    console.rule("Cost of the server's time (a made-up price)")
    for line in _servers(costs):
        console.print(Text(line))
    table = Table(title="Shares by work", title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(("customer", "cost", "share", "requests", "per 1M tokens")):
        table.add_column(column, justify="right" if place else "left")
    for group in costs.costs.get("customer", []):
        table.add_row(
            Text(group.name),
            dollars(group.usd),
            percent(group.share),
            count(group.requests),
            dollars(group.usd_per_million),
        )
    console.print(table)


def _servers(costs: DemoCosts) -> Iterator[str]:
    for one in costs.bill:
        busy = one.busy_seconds / one.seconds if one.seconds else None
        yield (
            f"{one.upstream}, last {duration(one.seconds)}: busy {percent(busy)}, "
            f"{dollars(one.usd)} = {dollars(one.shares_usd)} customers + "
            f"{dollars(one.idle_usd)} idle + {dollars(one.residual_usd)} residual"
        )
    for server in costs.upstreams:
        sample = server.sample
        if sample is not None and not sample.faults:
            yield (
                f"{server.upstream} says: {count(sample.running)} running, "
                f"{count(sample.waiting)} waiting, {percent(sample.kv_use)} of its cache in use"
            )
        elif sample is not None:
            yield f"{server.upstream} is silent: {sample.faults[0]}"
