"""``tidegauge logs``: a summary of the gateway's structured request log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tidegauge.cli.errors import LogFileError
from tidegauge.cli.request_log import LogSummary, summarise
from tidegauge.cli.wrapping import print_json
from tidegauge.reports.formatting import count, milliseconds

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Read the gateway's request log.")


@app.callback()
def logs() -> None:
    """Read the gateway's request log."""


@app.command()
def summary(
    file: Annotated[Path, typer.Argument(help="A log of the gateway's, one JSON object a line.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print facts for machines.")] = False,
) -> None:
    """Print latency percentiles, median lengths, requests and errors by kind."""
    try:
        with file.open("rb") as lines:
            found = summarise(lines)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LogFileError(f"cannot read the request log {file}: {reason}") from error
    if as_json:
        print_json(found)
    if found.requests == 0:
        raise LogFileError(
            f"{file} tells of no request ({found.other_lines} other lines, "
            f"{found.broken_lines} broken): give the file that the gateway's request log goes to"
        )
    if not as_json:
        _print(found)


def _print(found: LogSummary) -> None:
    table = Table(
        title=f"{count(found.requests)} requests, {count(found.answered)} answered",
        show_header=False,
    )
    latency, first = found.latency_ms, found.time_to_first_token_ms
    table.add_row("latency P50 / P95 / P99", _quantiles(latency.p50, latency.p95, latency.p99))
    table.add_row(
        "time to first token P50 / P95 / P99", _quantiles(first.p50, first.p95, first.p99)
    )
    table.add_row("median prompt length", _characters(found.median_prompt_characters))
    table.add_row("median response length", _characters(found.median_response_characters))
    table.add_row("tokens in / out", f"{count(found.input_tokens)} / {count(found.output_tokens)}")
    for kind, errors in sorted(found.errors.items()):
        table.add_row(f"error {kind}", count(errors))
    console = Console(markup=False, highlight=False)
    console.print(table)
    if found.broken_lines:
        console.print(f"{count(found.broken_lines)} lines could not be read:")
    for line in found.broken:
        console.print(f"  line {line.line}: {line.reason}")


def _quantiles(*values: float | None) -> str:
    return " / ".join(map(milliseconds, values))


def _characters(value: float | None) -> str:
    return count(value) if value is None else f"{count(value)} characters"
