"""``tidegauge replay``: a stretch of the past, judged again with other baselines."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from tidegauge.cli.control import now_ms
from tidegauge.cli.errors import CommandError
from tidegauge.monitor.loop import LogBaselines
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.monitor.web.ranges import TimeRange, parse_moment
from tidegauge.monitoring.rerun import InUse, in_order, judge_again, measure_again
from tidegauge.reports.formatting import count
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import DecodeError, Topic, decode, encode
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Progress as WorkerProgress
from tidegauge.schemas.sketches import Sketch
from tidegauge.schemas.topics import REQUESTS, RESPONSES, SKETCHES
from tidegauge.streaming.processor import Output, Record
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.vitals.settings import VitalsSettings

__all__ = ["app"]

app = typer.Typer(help="Judge a stretch of the past again; nothing in the log changes.")

_NONE = "none"


class ReplayKind(StrEnum):
    """What can be measured again."""

    VITALS = "vitals"
    DRIFT = "drift"
    QUALITY = "quality"


class _Tally:
    """Writes what the monitor says, and keeps count."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.verdicts = 0
        self.alerts: list[Alert] = []

    def say(self, output: Output) -> None:
        """Take one word of the monitor."""
        self._write(encode(output.event) + b"\n")
        if isinstance(output.event, Alert):
            self.alerts.append(output.event)
        elif isinstance(output.event, Verdict):
            self.verdicts += 1


@app.command()
def replay(  # noqa: PLR0913 - one option for each choice
    *,
    out: Annotated[Path, typer.Option(help="File for all verdicts and alerts, as JSON lines.")],
    start: Annotated[str, typer.Option("--from", help="Start: -2d, ISO 8601 or Unix ms.")],
    end: Annotated[str, typer.Option("--to", help="End.")] = "now",
    rates: Annotated[
        str, typer.Option(help="Baseline of rates; none; the one in force if not given.")
    ] = "",
    drift: Annotated[
        str, typer.Option(help="Baseline of drift; none; the one in force if not given.")
    ] = "",
    measure: Annotated[
        list[ReplayKind] | None,
        typer.Option(help="Measure these again from the events; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Judge a stretch of the past again, with other baselines, embedders or judges.

    Workers' sketches are taken from the log, but for the kinds that are measured again:
    drift with the embedder of TIDEGAUGE_DRIFT_…, quality with the judges of
    TIDEGAUGE_JUDGE_…. Nothing is written to the log.
    """
    kafka, now = load(KafkaSettings), now_ms()
    period = TimeRange(_moment(start, now), _moment(end, now))
    if period.start_ms >= period.end_ms:
        raise CommandError(f"the stretch {period} is empty: --from must lie before --to")
    wanted = list(dict.fromkeys(measure or []))
    in_use = _baselines(kafka, {"rates": rates, "drift": drift})
    settings = load(MonitorSettings)
    partitions = {state.topic.name: state.partitions for state in list_topics(kafka)}
    plan = settings.plan()
    plan = replace(
        plan,
        partitions={name: partitions.get(name) or n for name, n in plan.partitions.items()},
    )
    part = out.with_name(f"{out.name}.part")
    with ExitStack() as stack, part.open("wb") as file:
        stack.callback(part.unlink, missing_ok=True)
        bar = stack.enter_context(_bar(quiet=as_json))
        again = [_again(kafka, kind, period, in_use, stack) for kind in wanted]
        kept = _kept(kafka, period, wanted)
        tally = _Tally(file.write)
        records = _counted(in_order([kept, *again]), bar)
        view = judge_again(plan, in_use, records, tally.say)
        file.flush()
        part.replace(out)
    if as_json:
        facts = {
            "verdicts": tally.verdicts,
            "alerts": tally.alerts,
            "standing": view.verdicts,
            "file": str(out),
        }
        typer.echo(msgspec.json.encode(facts))
        return
    for alert in tally.alerts:
        typer.echo(f"{alert.monitor} {alert.severity} {alert.status}: {ascii(alert.summary)[1:-1]}")
    typer.echo(f"{count(tally.verdicts)} verdicts and {count(len(tally.alerts))} alerts: {out}")


def _moment(text: str, now: int) -> int:
    return int(text) if text.isdecimal() else parse_moment(text, now)


def _baselines(kafka: KafkaSettings, named: dict[BaselineKind, str]) -> InUse:
    store, documents = BaselineStore(kafka), LogBaselines(kafka)
    found: dict[BaselineKind, tuple[str, Any]] = {}
    for kind, name in named.items():
        baseline_id = name or store.active(kind)
        if baseline_id not in (None, _NONE):
            found[kind] = (str(baseline_id), documents.references(kind, str(baseline_id)))
    return found


def _again(
    kafka: KafkaSettings, kind: ReplayKind, period: TimeRange, in_use: InUse, stack: ExitStack
) -> Iterator[Record]:
    """Return the sketches of a kind, measured again."""
    topic = REQUESTS if kind is ReplayKind.DRIFT else RESPONSES
    records = in_order(_by_partition(kafka, topic, period))
    sketching = load(VitalsSettings).sketching()
    if kind is ReplayKind.VITALS:
        return measure_again(VitalsExtractor(), "replay-vitals", sketching, records)
    meters = importlib.import_module("tidegauge.cli.replay_meters")
    if kind is ReplayKind.QUALITY:
        meter = stack.enter_context(meters.quality_meter())
        return measure_again(meter, "replay-quality", sketching, records)
    if "drift" not in in_use:
        raise CommandError("--measure drift needs a baseline of drift: name one by --drift")
    meter = meters.drift_meter(kafka, in_use["drift"][0])
    return measure_again(meter, "replay-drift", sketching, records)


def _by_partition(
    kafka: KafkaSettings, topic: Topic, period: TimeRange
) -> Iterator[Iterator[Record]]:
    known = next(state.partitions for state in list_topics(kafka) if state.topic.name == topic.name)
    for index in range(known or 0):
        yield reader.read(
            kafka,
            topic,
            start_ms=period.start_ms,
            end_ms=period.end_ms,
            partitions=[index],
        )


def _kept(kafka: KafkaSettings, period: TimeRange, again: Sequence[ReplayKind]) -> Iterator[Record]:
    """Yield the log's own sketches of the kinds that are not measured again."""
    left_out = {kind.value for kind in again}
    for record in reader.read(kafka, SKETCHES, start_ms=period.start_ms, end_ms=period.end_ms):
        try:
            event: Sketch | WorkerProgress = decode(record.value, Sketch, WorkerProgress)
        except DecodeError:
            continue  # the monitor puts such a record aside and says so
        if event.kind not in left_out:
            yield record


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("judging again: {task.completed:,.0f} sketches"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )


def _counted(records: Iterator[Record], bar: Progress) -> Iterator[Record]:
    task = bar.add_task("", total=None)
    for record in records:
        yield record
        bar.advance(task)
