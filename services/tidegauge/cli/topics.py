"""``tidegauge topics``: create missing topics, and list all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from tidegauge.cli.wrapping import print_json, say
from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka import admin
from tidegauge.runtime.kafka.admin import TopicState
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.topic_settings import Difference
from tidegauge.runtime.settings import load
from tidegauge.schemas import type_name
from tidegauge.schemas.topics import Topic

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The topics on the broker.")

Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]


@app.command()
def ensure(*, as_json: Json = False) -> None:
    """Create missing topics; existing ones stay as they are, and what differs is told."""
    settings = load(KafkaSettings)
    created = admin.ensure_topics(settings)
    states = admin.list_topics(settings)
    found = [difference for state in states for difference in state.differences]
    if as_json:
        names = [topic.name for topic in created]
        print_json({"created": names, "differences": found})
        return
    for topic in created:
        typer.echo(
            f"created {topic.name} ({topic.partitions} partitions, {_kept(topic, settings)})"
        )
    if not created:
        typer.echo("every topic is there")
    _tell(states, found)


def _tell(states: Sequence[TopicState], found: Sequence[Difference]) -> None:
    for difference in found:
        typer.echo(f"{difference}\n  {difference.remedy}", err=True)
    if not all(state.compared for state in states):
        typer.echo("the broker does not tell the topics' settings to this client", err=True)


@app.command("list")
def list_topics(*, as_json: Json = False) -> None:
    """List every topic: content, key, partitions on the broker, and settings that do harm."""
    settings = load(KafkaSettings)
    states = admin.list_topics(settings)
    if as_json:
        shown = [
            {
                "name": state.topic.name,
                "carries": [type_name(kind) for kind in state.topic.carries],
                "key": state.topic.key,
                "partitions": state.partitions,
                "retention_ms": _kept_ms(state.topic, settings),
                "differences": state.differences,
            }
            for state in states
        ]
        print_json(shown)
        return
    for state in states:
        there = f"{state.partitions} partitions" if state.partitions else "missing"
        carries = ", ".join(type_name(kind) for kind in state.topic.carries)
        say(
            f"{state.topic.name}: {there}, kept {_kept(state.topic, settings)}; "
            f"carries {carries}; key: {state.topic.key}"
        )
    _tell(states, [difference for state in states for difference in state.differences])


def _kept_ms(topic: Topic, settings: KafkaSettings) -> int | None:
    return settings.text_ms if topic.holds_text else topic.retention_ms


def _kept(topic: Topic, settings: KafkaSettings) -> str:
    kept_ms = _kept_ms(topic, settings)
    return "last of each key" if kept_ms is None else duration(kept_ms / 1000)
