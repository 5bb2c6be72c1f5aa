"""``tidegauge outbox``: what gateways on this machine have captured and not yet shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tidegauge.capture.settings import CaptureSettings
from tidegauge.capture.status import RunStatus, status
from tidegauge.cli.errors import NoOutboxError
from tidegauge.cli.wrapping import print_json, say
from tidegauge.reports.formatting import count

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="What gateways on this machine have captured and not yet shipped."
)

Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="The outbox's folder; TIDEGAUGE_CAPTURE_DIRECTORY if not."),
]
Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]


@app.command("list")
def list_runs(directory: Directory = None, *, as_json: Json = False) -> None:
    """Show each run: what it served, captured, dropped and shipped."""
    folder = directory or CaptureSettings.from_environment().directory
    if not folder.is_dir():
        raise NoOutboxError(folder)
    runs = status(folder)
    if as_json:
        print_json(runs)
        return
    for run in runs:
        say(
            f"{run.producer_id} ({'ended' if run.over else 'alive'}): {count(run.served)} requests "
            f"served; {count(sum(run.captured.values()))} events captured, {count(_dropped(run))} "
            f"dropped, {count(run.waiting)} waiting; {count(run.bytes)} bytes"
        )
    typer.echo(f"{count(len(runs))} runs in {folder}" if runs else f"{folder} is empty: no run")


def _dropped(run: RunStatus) -> int:
    return sum(sum(reasons.values()) for reasons in run.dropped.values())


@app.command()
def ship() -> None:
    """Ship the events of ended processes to the broker at KAFKA_BOOTSTRAP_SERVERS.

    A gateway's own shipper does so, too; this is for when none is started any more. Ends when
    nothing is left, or with status 3 when it is stopped before.
    """
    raise typer.Exit(_shipper_main()([]))


def _shipper_main() -> Callable[[Sequence[str]], int]:
    """Return the gateway's shipper, or the plain one where no gateway is installed."""
    try:
        from tidegauge.gateway import checking_shipper  # noqa: PLC0415 - its packages are an extra
    except ImportError:
        from tidegauge.capture import shipper  # noqa: PLC0415 - the other way

        return shipper.main
    return checking_shipper.main
