"""``tidegauge bench``: measurements of tidegauge itself, on traffic of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tidegauge.cli.bench_checks import checks
from tidegauge.cli.bench_estimate import estimate
from tidegauge.cli.bench_grounding import grounding
from tidegauge.promise.benchmark import FULL, QUICK, Files, measure, write

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Measure tidegauge itself, on traffic of your own.")


@app.callback()
def bench() -> None:
    """Measure tidegauge itself, on traffic of your own."""


app.command()(checks)
app.command()(estimate)
app.command()(grounding)


@app.command()
def promise(  # noqa: PLR0913 - the command's options
    *,
    conversations: Annotated[
        Path,
        typer.Option(
            help='Conversations, a JSON object a line: {"turns": [[user, assistant, intent], …], '
            '"services": [topic]}.'
        ),
    ],
    arrivals: Annotated[
        Path,
        typer.Option(
            help="Requests with their times, a CSV file with the columns TIMESTAMP, "
            "ContextTokens and GeneratedTokens."
        ),
    ],
    questions: Annotated[
        Path | None,
        typer.Option(
            help='Single questions, {"text": …, "topic": …} a line; the openings of the '
            "conversations if not given."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer and shorter streams, held to the same limits.")
    ] = False,
    streams: Annotated[
        int | None,
        typer.Option(min=1, help="Streams of each kind, if not those of the mode (20)."),
    ] = None,
    json: Annotated[
        Path,
        typer.Option(
            help="File of the results. What is finished is kept beside it, in a file that ends in "
            ".jobs.jsonl: the next call goes on from there."
        ),
    ] = Path("build/bench/promise.json"),
) -> None:
    """Whether alarms keep their promise: null and changed streams against every baseline.

    A call that was interrupted, or that asked for fewer streams, is continued by the next one with
    the same files and the same version of tidegauge. Ends with status 1 where a bar is missed.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    files = Files(conversations, arrivals, questions, json.parent / "vectors.npz")
    size = QUICK if quick else FULL
    if streams:
        size = size.with_streams(streams)
    found = measure(files, size, console.print, keep=json.with_suffix(".jobs.jsonl"))
    write(found, json)
    missed = [bar for bar in found["bars"] if not bar["met"]]
    for bar in found["bars"]:
        typer.echo(_line(bar))
    typer.echo(f"{len(found['bars']) - len(missed)} of {len(found['bars'])} bars are met: {json}")
    raise typer.Exit(1 if missed else 0)


def _line(bar: dict[str, Any]) -> str:
    found = "nothing" if bar["found"] is None else f"{bar['found']:g}"
    verdict = "met   " if bar["met"] else "MISSED"
    return f"{verdict} {bar['name']}: {found}, limit {bar['limit']:g}. {bar['note']}"
