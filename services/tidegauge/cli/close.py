"""``tidegauge close``: end an alarm, and start its monitor afresh."""

from __future__ import annotations

import msgspec
import typer

from tidegauge.cli.control import (
    Json,
    Monitor,
    Note,
    OnSegment,
    Who,
    checked_monitor,
    checked_segment,
    publish,
)
from tidegauge.runtime.clock import now_ms
from tidegauge.schemas.operations import Control

__all__ = ["app"]

app = typer.Typer(help="Close an alarm: it ends, and its monitor starts again without evidence.")


@app.command()
def close(
    monitor: Monitor,
    segment: OnSegment = "*",
    who: Who = "",
    note: Note = "",
    *,
    as_json: Json = False,
) -> None:
    """Close an alarm: it ends, and its monitor starts again without evidence.

    While the cause lasts, the monitor will alarm again: then build a new baseline, or
    silence it. Monitors that do not alarm are left as they are.
    """
    control = Control(
        action="close",
        monitor=checked_monitor(monitor),
        segment=checked_segment(segment),
        time_ms=now_ms(),
        note=note,
    )
    said = publish(control, who=who)
    words = f"closed: {said.monitor} on {said.segment}, by {said.who or 'no name'}"
    typer.echo(msgspec.json.encode(said) if as_json else words)
