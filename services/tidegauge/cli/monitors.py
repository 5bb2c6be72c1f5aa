"""``tidegauge monitors``: the newest verdict of each monitor on each segment."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegauge.cli.control import Json
from tidegauge.cli.wrapping import print_json, say
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.reports.standing import evidence, standing
from tidegauge.reports.text import clip
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.findings import State, Verdict
from tidegauge.usecases.latest_verdicts import latest_verdicts

__all__ = ["app"]

app = typer.Typer(help="What each monitor says of each segment, alarms first.")

_ORDER = tuple(State)


@app.command()
def monitors(
    state: Annotated[str, typer.Option(help="Only this state, such as no_baseline.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """List what each monitor says of each segment, alarms first.

    Reads the verdicts of the last 2 minutes, or of the last 10 if there are none; needs no
    monitor. A monitor that cannot test says so once, so that it may be missing here: the page
    has it.
    """
    found = [v for v in latest_verdicts(load(KafkaSettings), now_ms()) if state in ("", v.state)]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("no monitor has reported lately" if not state else f"none is {state}")
    for verdict in sorted(found, key=_loudest):
        say(
            f"{standing(verdict.state).word}: {verdict.monitor} on "
            f"{clip(segment_title(verdict.segment), 200)}"
        )
        far = evidence(verdict)
        if far is not None:
            say(f"  evidence {far.short}")
        if verdict.state != State.OK:
            say(f"  {clip(verdict.sentence, 400)}")


def _loudest(verdict: Verdict) -> tuple[int, str, str]:
    first = (State.CRITICAL, State.WARN, State.INFO)
    place = first.index(verdict.state) if verdict.state in first else len(_ORDER)
    return place, verdict.monitor, verdict.segment.key
