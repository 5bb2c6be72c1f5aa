"""``tidegauge acknowledge``: say that you have an alarm, which goes on firing."""

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

app = typer.Typer(help="Say that you have an alarm: it goes on firing, in your name.")


@app.command()
def acknowledge(
    monitor: Monitor,
    segment: OnSegment = "*",
    who: Who = "",
    note: Note = "",
    *,
    as_json: Json = False,
) -> None:
    """Say that you have an alarm: it goes on firing, in your name.

    To end an alarm use `tidegauge close`, to mute one `tidegauge silence`.
    """
    control = Control(
        action="acknowledge",
        monitor=checked_monitor(monitor),
        segment=checked_segment(segment),
        time_ms=now_ms(),
        note=note,
    )
    said = publish(control, who=who)
    words = f"acknowledged: {said.monitor} on {said.segment}, by {said.who or 'no name'}"
    typer.echo(msgspec.json.encode(said) if as_json else words)
