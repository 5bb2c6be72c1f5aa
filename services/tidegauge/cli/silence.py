"""``tidegauge silence``: mute a monitor for a while; it goes on testing."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegauge.cli.control import (
    Json,
    Monitor,
    Note,
    OnSegment,
    Who,
    checked_monitor,
    checked_segment,
    parse_duration,
    publish,
)
from tidegauge.cli.wrapping import print_json
from tidegauge.reports.formatting import moment
from tidegauge.runtime.clock import now_ms
from tidegauge.schemas.operations import Control

__all__ = ["app"]

app = typer.Typer(help="Mute a monitor for a while: it goes on testing and raises no alert.")

Duration = Annotated[
    str, typer.Option("--for", help="For how long: 30m, 2h, 1d; 0s ends a silence.")
]


@app.command()
def silence(  # noqa: PLR0913 - one option for each thing to say
    monitor: Monitor,
    segment: OnSegment = "*",
    duration: Duration = "1h",
    who: Who = "",
    note: Note = "",
    *,
    as_json: Json = False,
) -> None:
    """Mute a monitor for a while: it goes on testing and raises no alert.

    An alarm that still fires when the silence ends is told then. Saying it again for the
    same monitor and segment replaces what was said before.
    """
    began = now_ms()
    control = Control(
        action="silence",
        monitor=checked_monitor(monitor),
        segment=checked_segment(segment),
        time_ms=began,
        until_ms=began + parse_duration(duration),
        note=note,
    )
    said = publish(control, who=who)
    until = moment(said.until_ms or began)
    words = f"silenced until {until}: {said.monitor} on {said.segment}"
    if as_json:
        print_json(said)
    else:
        typer.echo(words)
