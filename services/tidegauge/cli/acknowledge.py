"""``tidegauge acknowledge``: say that you have an alarm, which goes on firing."""

from __future__ import annotations

import typer

from tidegauge.cli.control import Json, Monitor, Note, OnSegment, Who, publish_plain

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
    publish_plain("acknowledge", monitor, segment, who, note, as_json=as_json)
