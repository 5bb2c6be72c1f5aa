"""``tidegauge erase``: erase the texts of one request, one conversation or one customer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidegauge.capture.settings import CaptureSettings
from tidegauge.cli.errors import NothingNamedError
from tidegauge.cli.wrapping import print_json
from tidegauge.monitor.report_queue import ReportStore
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.reports.formatting import count, moment
from tidegauge.reports.text import plain
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.usecases.erase import Erasure, Subject, TopicErasure, erase

__all__ = ["app"]

app = typer.Typer(help="Erase the texts of one request, one conversation or one customer.")

_OVERLAP = 64 * 1024
_CHUNK = 1 << 20


class LocalErasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on this machine.

    Attributes:
        reports: Reports over a time of the requests, and unfinished ones; deleted.
        outbox: Files of the outbox that still hold the id or name.
    """

    reports: tuple[str, ...]
    outbox: tuple[str, ...]


@app.command()
def erase_texts(  # noqa: PLR0913 - one option for each choice
    request: Annotated[str, typer.Option(help="Id of a request.")] = "",
    conversation: Annotated[str, typer.Option(help="Id of a conversation.")] = "",
    customer: Annotated[str, typer.Option(help="Name of a customer.")] = "",
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is where; change nothing.")
    ] = False,
    now: Annotated[
        bool,
        typer.Option(
            "--now",
            help="Have the broker compact its topics at once, by settings that are restored, and "
            "wait for it for some minutes.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Erase the texts of one request, one conversation or one customer.

    Prompts, answers, vectors, judges' and people's words and dead letters get a tombstone each,
    and the broker removes them when it next compacts their topics; other requests stay. Reports
    on this machine over that time are deleted. Everything else names requests and holds no text
    of them. Running it again does no harm, and says what is still held and until when.
    """
    subject = Subject(request, conversation, customer)
    if sum(map(bool, (request, conversation, customer))) != 1:
        raise NothingNamedError("name one of --request, --conversation and --customer")
    kafka = load(KafkaSettings)
    found = erase(kafka, subject, now_ms=now_ms(), dry_run=dry_run, at_once=now)
    local = LocalErasure(reports=_reports(found), outbox=tuple(_outbox(subject)))
    if as_json:
        print_json({"log": found, "here": local})
        return
    for line in _lines(found, local):
        typer.echo(line)


def _reports(found: Erasure) -> tuple[str, ...]:
    """Delete the reports over a time of the requests, if there is to be a change; name them.

    Reports that were not finished are deleted too, since nobody knows over which time they are.
    """
    settings = load(MonitorSettings)
    if found.first_ms is None or found.last_ms is None:
        return ()
    store = ReportStore(settings.reports_dir, settings.reports_kept)
    quoting = [
        report.report_id
        for report in store.list()
        if any(
            start <= found.last_ms and found.first_ms < end
            for start, end in (report.reference, report.current)
        )
    ]
    unfinished = store.unfinished()
    if not found.dry_run:
        for report_id in quoting:
            store.delete(report_id)
        for name in unfinished:
            store.delete_unfinished(name)
    return (*quoting, *unfinished)


def _outbox(subject: Subject) -> Iterator[str]:
    """Yield the files of the outbox that hold the subject's id or name."""
    folder = CaptureSettings.from_environment().directory
    for path in sorted(folder.glob("*/*")):
        if path.suffix == ".log" or path.name == "tail":
            try:
                if _holds(path, subject.name.encode()):
                    yield str(path)
            except FileNotFoundError:
                continue  # shipped meanwhile


def _holds(path: Path, name: bytes) -> bool:
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if name in before + chunk:
                return True
            before = chunk[-_OVERLAP:]
    return False


def _lines(found: Erasure, local: LocalErasure) -> Iterator[str]:
    yield f"{count(found.requests)} requests found"
    for topic in found.topics:
        yield f"{topic.topic}: {_of_topic(topic, dry_run=found.dry_run)}"
    for name, number in found.named.items():
        yield f"{name}: {count(number)} scores name them and hold no text"
    yield (
        "sketches.v1, verdicts.v1, alerts.v1, state.v1, baselines.v1, webhooks: ids, customers' "
        "names and words that many requests share; no text, but for about an hour in state.v1 of "
        "a broker without transactions"
    )
    deleted = "would be deleted" if found.dry_run else "deleted"
    yield f"reports over that time here: {count(len(local.reports))} {deleted}"
    if local.outbox:
        yield "the outbox here still holds the name, until what it holds is shipped and deleted:"
        yield from (f"  {plain(path)}" for path in local.outbox)
        yield "  run this again then; `tidegauge outbox ship` ships what ended gateways left"
    else:
        yield "the outbox here does not hold the name"


def _of_topic(found: TopicErasure, *, dry_run: bool) -> str:
    if not found.found:
        return "nothing"
    marked = f"{count(found.found)} would be" if dry_run else count(found.erased)
    said = f"{count(found.found)} records, {marked} erased"
    if not found.held:
        return f"{said}, gone from the log"
    until = f" until about {moment(found.until_ms)}" if found.until_ms is not None else ""
    said += f"; the broker holds {count(found.held)} of them{until}"
    return f"{said} ({found.note})" if found.note else said
