"""``tidegauge dead-letters``: list records that could not be processed, and publish them again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from tidegauge.cli.wrapping import print_json, say
from tidegauge.reports.formatting import count, moment
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.topics import DEAD_LETTERS
from tidegauge.streaming.checkpoints import EncodedRecord

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Records that could not be processed, kept whole with the reason."
)

Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Only those of this topic.")]
Group = Annotated[str | None, typer.Option("--group", help="Only those that this group gave up.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only those with this reason.")]


def _found(topic: str | None, group: str | None, reason: str | None) -> Iterator[DeadLetter]:
    for record in reader.read(load(KafkaSettings), DEAD_LETTERS):
        try:
            letter = decode(record.value, DeadLetter)
        except DecodeError:
            continue  # written by a later release
        wanted = ((topic, letter.topic), (group, letter.group), (reason, letter.reason))
        if all(want is None or want == had for want, had in wanted):
            yield letter


def _cut(letter: DeadLetter) -> str:
    left_out = letter.left_out_bytes
    return f" ({count(left_out)} bytes of the record are left out)" if left_out else ""


@app.command("list")
def list_letters(
    topic: Topic = None, group: Group = None, reason: Reason = None, *, as_json: Json = False
) -> None:
    """List the dead letters with their reasons."""
    found = list(_found(topic, group, reason))
    if as_json:
        print_json(found)
        return
    for letter in found:
        place = f"{letter.topic}-{letter.partition}@{letter.offset}"
        detail = ascii(letter.detail)[1:-1] + _cut(letter)
        say(f"{place} of {letter.group} at {moment(letter.time_ms)}: {letter.reason}: {detail}")
    if not found:
        say("no dead letters")


@app.command()
def redrive(
    topic: Topic = None,
    group: Group = None,
    reason: Reason = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
) -> None:
    """Publish dead letters again to their own topics, once the cause is fixed.

    Each record is sent once, however many groups gave it up. A group that has processed it
    drops it as a copy. Records that were too long for a dead letter are not sent.
    """
    found = {
        (letter.topic, letter.partition, letter.offset): letter
        for letter in _found(topic, group, reason)
    }
    letters = {place: letter for place, letter in found.items() if not letter.left_out_bytes}
    if not dry_run:
        with Publisher(load(KafkaSettings)) as publisher:
            publisher.send(
                EncodedRecord(
                    topic=letter.topic,
                    key=letter.key or b"",
                    value=letter.value,
                    headers=letter.headers,
                )
                for letter in letters.values()
            )
    verb = "would be sent" if dry_run else "sent"
    typer.echo(f"{len(letters)} records {verb} again")
    if cut := len(found) - len(letters):
        typer.echo(
            f"{cut} are not whole in their dead letters: publish them from where they lay "
            "(the column 'record'), before their time there is over",
            err=True,
        )
