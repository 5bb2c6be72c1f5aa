"""``tidegauge report``: two ranges of traffic compared, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tidegauge.cli.wrapping import print_json
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.usecases.report import report_maker
from tidegauge.usecases.report_order import ReportOrder
from tidegauge.usecases.time_range import parse_range

__all__ = ["app"]

_TIME = "now, -90m (s, h, d) or ISO 8601, UTC unless it says otherwise"

app = typer.Typer(add_completion=False)


@app.command()
def report(  # noqa: PLR0913 - one argument for each option
    *,
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="The HTML file to write.")
    ] = Path("tidegauge-report.html"),
    start: Annotated[str, typer.Option("--from", help=f"Start of the current range: {_TIME}.")] = (
        "-1h"
    ),
    end: Annotated[str, typer.Option("--to", help="Its end.")] = "now",
    reference_start: Annotated[
        str, typer.Option("--reference-from", help="Start of the range to compare with.")
    ] = "-25h",
    reference_end: Annotated[str, typer.Option("--reference-to", help="Its end.")] = "-1h",
    model: Annotated[str, typer.Option(help="Only this model; empty for all.")] = "",
    route: Annotated[str, typer.Option(help="Only this route.")] = "",
    customer: Annotated[str, typer.Option(help="Only this customer.")] = "",
    version: Annotated[str, typer.Option(help="Only this version in the current range.")] = "",
    reference_version: Annotated[
        str, typer.Option(help="Only this version in the range to compare with.")
    ] = "",
    rows: Annotated[
        int | None, typer.Option(min=100, max=50_000, help="Exchanges sampled from each range.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts for machines.")] = False,
) -> None:
    """Compare two ranges of traffic in an HTML report, rendered by Evidently.

    It holds lengths, times, costs, clusters, languages, errors and scores of sampled
    exchanges, and no text of a prompt or an answer.
    """
    now = now_ms()
    order = ReportOrder(
        parse_range(reference_start, reference_end, now),
        parse_range(start, end, now),
        model=model,
        route=route,
        customer=customer,
        version=version,
        reference_version=reference_version,
    )
    settings = load(MonitorSettings)
    maker = report_maker(load(KafkaSettings), rows or settings.report_rows, settings.models)
    console = Console(stderr=True)
    with console.status("reading both ranges, then rendering (some 10 s)"):
        facts = maker.make(order, out)
    if as_json:
        size = out.stat().st_size
        print_json({"file": str(out), "bytes": size, "facts": facts})
        return
    for fact in facts:
        typer.echo(fact)
    typer.echo(f"Written to {out}")
