"""``tidegauge close``: end an alarm, and start its monitor afresh."""

from __future__ import annotations

import typer

from tidegauge.cli.control import Json, Monitor, Note, OnSegment, Who, publish_plain

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

    While the cause lasts, the monitor will alarm again: then accept the change as normal
    (`tidegauge baseline accept`), or silence the monitor. Monitors that do not alarm are left as
    they are.
    """
    publish_plain("close", monitor, segment, who, note, as_json=as_json)
