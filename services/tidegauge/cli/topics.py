"""``tidegauge topics``: create missing topics, and list all of them."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from tidegauge.runtime.kafka import admin
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import type_name
from tidegauge.schemas.topics import Topic

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The topics on the broker.")

Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
_DAY_MS = 86_400_000


@app.command()
def ensure(*, as_json: Json = False) -> None:
    """Create missing topics; existing topics stay as they are."""
    created = admin.ensure_topics(load(KafkaSettings))
    if as_json:
        typer.echo(msgspec.json.encode({"created": [topic.name for topic in created]}))
    elif created:
        for topic in created:
            typer.echo(f"created {topic.name} ({topic.partitions} partitions, {_kept(topic)})")
    else:
        typer.echo("every topic is there")


@app.command("list")
def list_topics(*, as_json: Json = False) -> None:
    """List every topic: its content, its key, and its partitions on the broker."""
    states = admin.list_topics(load(KafkaSettings))
    if as_json:
        shown = [
            {
                "name": state.topic.name,
                "carries": [type_name(kind) for kind in state.topic.carries],
                "key": state.topic.key,
                "partitions": state.partitions,
                "retention_ms": state.topic.retention_ms,
            }
            for state in states
        ]
        typer.echo(msgspec.json.encode(shown))
        return
    table = Table("topic", "partitions", "kept", "key", "carries")
    for state in states:
        table.add_row(
            state.topic.name,
            str(state.partitions) if state.partitions else "missing",
            _kept(state.topic),
            state.topic.key,
            ", ".join(type_name(kind) for kind in state.topic.carries),
        )
    Console().print(table)


def _kept(topic: Topic) -> str:
    if topic.retention_ms is None:
        return "last of each key"
    return f"{topic.retention_ms // _DAY_MS} days"
