"""``tidegauge replay``: a stretch of the past, judged again with other baselines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tidegauge.cli.wrapping import print_json
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.reports.formatting import count
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.usecases.replay import replay as judge_past_again
from tidegauge.usecases.time_range import TimeRange

__all__ = ["app"]

app = typer.Typer(help="Judge a stretch of the past again; nothing in the log changes.")


class _Kind(StrEnum):
    """What can be measured again."""

    VITALS = "vitals"
    DRIFT = "drift"
    QUALITY = "quality"


@app.command()
def replay(  # noqa: PLR0913 - one option for each choice
    *,
    out: Annotated[Path, typer.Option(help="File for all verdicts and alerts, as JSON lines.")],
    start: Annotated[
        str,
        typer.Option(
            "--from", help="Start: -2d, Unix ms or ISO 8601, UTC unless it says otherwise."
        ),
    ],
    end: Annotated[str, typer.Option("--to", help="End.")] = "now",
    rates: Annotated[
        str, typer.Option(help="Baseline of rates; none; the one in force if not given.")
    ] = "",
    drift: Annotated[
        str, typer.Option(help="Baseline of drift; none; the one in force if not given.")
    ] = "",
    measure: Annotated[
        list[_Kind] | None,
        typer.Option(help="Measure these again from the events; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Judge a stretch of the past again, with other baselines, embedders or judges.

    Workers' sketches are taken from the log, but for the kinds that are measured again:
    drift with the embedder of TIDEGAUGE_DRIFT_…, quality with the judges of
    TIDEGAUGE_JUDGE_…. Nothing is written to the log.

    The same command goes on with a replay that was interrupted: what that has done is kept in a
    folder beside the file, with .part after its name.
    """
    kafka, plan = load(KafkaSettings), load(MonitorSettings).plan()
    with _bar(quiet=as_json) as bar:
        task = bar.add_task("reading the log", total=1.0)
        found = judge_past_again(
            kafka,
            plan,
            (start, end),
            now_ms=now_ms(),
            baselines={"rates": rates, "drift": drift},
            measure=[kind.value for kind in measure or []],
            out=out,
            progress=lambda now: bar.update(task, description=now.step, completed=now.share),
            resumed=_tell_resumed,
        )
    if as_json:
        facts = {
            "verdicts": found.verdicts,
            "alerts": found.alerts,
            "standing": found.standing,
            "file": str(out),
        }
        print_json(facts)
        return
    for alert in found.alerts:
        typer.echo(f"{alert.monitor} {alert.severity} {alert.status}: {ascii(alert.summary)[1:-1]}")
    typer.echo(f"{count(found.verdicts)} verdicts and {count(len(found.alerts))} alerts: {out}")


def _tell_resumed(period: TimeRange, folder: Path) -> None:
    typer.echo(
        f"going on with the replay of {period}; remove {folder} to begin anew instead", err=True
    )


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )
