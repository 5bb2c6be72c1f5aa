"""``tidegauge ledger``: whether every served request is accounted for, computed from the log."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tidegauge.cli.control import parse_duration
from tidegauge.cli.wrapping import print_json, say
from tidegauge.monitoring.ledger import Ledger, Producers, account
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.reports.formatting import count
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind
from tidegauge.schemas.topics import HEARTBEATS, SKETCHES

__all__ = ["app", "draw_up"]

app = typer.Typer(help="Whether every request served is accounted for.")

_UNBALANCED = 1


@app.command()
def ledger(
    since: Annotated[
        str, typer.Option(help="How far back to look for producers and workers: 30m, 2h, 1d.")
    ] = "1d",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Check that every served request is accounted for; status 1 if one is not.

    Reads what gateways have counted and how far workers have come; needs no monitor.
    """
    start_ms = now_ms() - parse_duration(since)
    found = draw_up(load(KafkaSettings), start_ms)
    if as_json:
        print_json(_facts(found))
    else:
        _print(found, since)
    raise typer.Exit(0 if found.balanced else _UNBALANCED)


def draw_up(settings: KafkaSettings, start_ms: int) -> Ledger:
    """Compute the ledger from the log.

    Args:
        settings: How to reach Kafka.
        start_ms: Heartbeats and progress from before are left out, Unix milliseconds.

    Raises:
        LogError: The broker does not answer, or a topic is missing.
    """
    plan = MonitorPlan()
    producers = Producers(plan.settle_ms)
    for record in reader.read(settings, HEARTBEATS, start_ms=start_ms):
        try:
            producers.add(decode(record.value, Heartbeat))
        except DecodeError:
            continue  # the monitor reports such a record as a dead letter
    progress: dict[tuple[SketchKind, int], Progress] = {}
    for record in reader.read(settings, SKETCHES, start_ms=start_ms):
        try:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
        except DecodeError:
            continue
        if isinstance(event, Progress):
            progress[event.kind, event.partition] = event
    partitions = {state.topic.name: state.partitions for state in list_topics(settings)}
    return account(
        producers.counts(),
        [progress[key] for key in sorted(progress)],
        {name: partitions.get(name) or planned for name, planned in plan.partitions.items()},
        settle_ms=plan.settle_ms,
    )


def _facts(found: Ledger) -> dict[str, object]:
    facts: dict[str, object] = msgspec.to_builtins(found)
    return {
        "balanced": found.balanced,
        "settled": found.settled,
        "in_flight": found.in_flight,
        **facts,
    }


def _print(found: Ledger, since: str) -> None:
    if not found.captures:
        say(f"Nothing is captured: no gateway has reported in the last {since}.")
    for line in found.captures:
        dropped = ", ".join(f"{reason}: {count(n)}" for reason, n in sorted(line.dropped.items()))
        say(
            f"{ascii(line.producer_id)[1:-1]}: {count(line.served)} served = "
            f"{count(line.captured)} captured + {dropped or 0} dropped + "
            f"{count(line.unaccounted)} unaccounted; {count(line.refused)} refused"
        )
    for delivery in found.deliveries:
        say(
            f"{delivery.topic} to {delivery.kind}: {count(delivery.captured)} captured, "
            f"{count(delivery.processed - delivery.unannounced)} processed, "
            f"{count(delivery.dead_lettered)} dead letters, {count(delivery.in_flight)} in flight, "
            f"{count(delivery.missing)} missing, {count(delivery.expired)} expired"
        )
        if delivery.remade:
            say("  the topic was deleted and created again, as its worker found")
        if delivery.begun_again:
            say(
                f"  {count(delivery.begun_again)} times the first event of a producer came again, "
                "no later than its last one: such events are dropped as copies"
            )
        if delivery.renumbered:
            say(
                f"  {count(delivery.renumbered)} events came under sequences that their producer "
                "had passed, as its worker found"
            )
    judging = found.judging
    skipped = ", ".join(f"{reason}: {count(n)}" for reason, n in judging.skipped.items()) or "0"
    say(f"judged {count(judging.judged)} of {count(judging.sampled)} sampled; skipped {skipped}")
    if not found.balanced:
        say("the ledger does NOT balance")
    elif found.in_flight:
        say(f"the ledger balances, with {count(found.in_flight)} events on their way")
    else:
        say("the ledger balances, and nothing is on its way")
