"""``tidegauge lookup``: a request that an alert names, while the log holds its text."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegauge.cli.control import parse_duration
from tidegauge.cli.errors import NotFoundError
from tidegauge.cli.wrapping import print_json
from tidegauge.reports.formatting import duration
from tidegauge.reports.text import plain
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.usecases.find_exchange import find_exchange

__all__ = ["app"]

app = typer.Typer(help="Show a request and its answer while the log holds them.")


@app.command()
def lookup(
    request_id: Annotated[str, typer.Argument(help="Its id, as pages and alerts name it.")],
    since: Annotated[str, typer.Option(help="How far back to look; default: all there is.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the event.")] = False,
) -> None:
    """Show a request and its answer while the log holds them."""
    start_ms = now_ms() - parse_duration(since) if since else None
    kafka = load(KafkaSettings)
    event = find_exchange(kafka, request_id, start_ms)
    if event is None:
        kept = duration(kafka.text_ms / 1000)
        raise NotFoundError(
            f"no event of {plain(request_id)[:200]} is in the log: its text has expired, since it "
            f"is kept for {kept} or as the topics' settings say, or it was never captured"
        )
    if as_json:
        print_json(event)
        return
    for line in _lines(event):
        typer.echo(line)


def _lines(event: ResponseEvent | RequestEvent) -> list[str]:
    lines = [f"{plain(event.request_id)} of {plain(event.customer)}, text: {event.capture}"]
    for message in event.messages:
        lines.append(f"{plain(message.role)}: {plain(message.content)}")
        if message.tool_calls:
            lines.append(f"  tool calls: {plain(message.tool_calls)}")
    if isinstance(event, ResponseEvent):
        if event.output:
            lines.append(f"answer: {plain(event.output)}")
        if event.tool_calls:
            lines.append(f"answer's tool calls: {plain(event.tool_calls)}")
    return lines
