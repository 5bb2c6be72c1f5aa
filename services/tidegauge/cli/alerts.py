"""``tidegauge alerts``: the alarms that fire, or all of a time."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegauge.cli.control import Json, parse_duration
from tidegauge.cli.wrapping import print_json, say
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.reports.formatting import moment
from tidegauge.reports.text import clip
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.usecases.past_alerts import past_alerts

__all__ = ["app"]

app = typer.Typer(help="The alarms that fire, and with --since those that have ended.")


@app.command()
def alerts(
    since: Annotated[str, typer.Option(help="Tell also what has ended since: 30m, 12h, 3d.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """List the alarms that fire, and with --since those that have ended, oldest first."""
    now = now_ms()
    start_ms = now - parse_duration(since) if since else now
    found = [
        alert
        for alert in past_alerts(load(KafkaSettings))
        if alert.fires or alert.time_ms >= start_ms
    ]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo(
            "no alarm fires" + (f", and none has ended in the last {since}" if since else "")
        )
    for alert in found:
        owner = f" by {clip(alert.owner, 60)}" if alert.owner else ""
        state = f"{alert.status}{owner}"
        say(f"{alert.severity} {alert.monitor} on {clip(segment_title(alert.segment), 200)}")
        say(f"  {state}, since {moment(alert.starts_ms, now)}, incident {alert.incident}")
        say(f"  {clip(alert.verdict.sentence, 600)}")
