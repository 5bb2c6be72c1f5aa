"""``tidegauge labels``: import people's labels and compare the judges with them."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidegauge.cli.control import parse_duration
from tidegauge.cli.wrapping import print_json
from tidegauge.quality.agreement import Agreement
from tidegauge.quality.errors import LabelFileError
from tidegauge.quality.labels import read_labels
from tidegauge.reports.formatting import count, number
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.evaluations import LabelEvent, Remark
from tidegauge.schemas.topics import LABELS, REMARKS
from tidegauge.streaming.processor import Output
from tidegauge.usecases.compare_labels import LabelComparison, corrected_sentence, log_comparison

__all__ = ["app", "publish"]

app = typer.Typer(
    no_args_is_help=True, help="Take people's labels in, and set the judges beside them."
)

Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]

_BATCH = 1000


@app.command("import")
def import_labels(
    file: Annotated[Path, typer.Argument(help="JSON lines, or CSV with a header (.csv).")],
    *,
    annotator: Annotated[
        str, typer.Option(help="Who has labelled, where a line does not say it.")
    ] = "",
    dry_run: Annotated[bool, typer.Option(help="Check the file and import nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Import people's labels of answers: the whole file, or nothing if a line is wrong.

    Each line has request_id and score (0 to 1, 1 for a good answer), and may have annotator,
    inclusion_probability (the chance that this answer was judged and given to a person), note
    and time_ms. Without that chance the report estimates it from the scores of the answers that
    are labelled. A person's later label of an answer replaces the earlier one, so importing a
    file twice changes nothing.
    """
    labels = read_labels(
        _text(file),
        "csv" if file.suffix.lower() == ".csv" else "jsonl",
        annotator=annotator or getpass.getuser(),
        now_ms=now_ms(),
    )
    if not dry_run:
        publish(load(KafkaSettings), labels)
    answers = len({label.request_id for label in labels})
    if as_json:
        facts = {"labels": len(labels), "answers": answers, "imported": not dry_run}
        print_json(facts)
    else:
        done = "would be imported" if dry_run else "imported"
        typer.echo(f"{count(len(labels))} labels of {count(answers)} answers {done}")


@app.command()
def report(
    since: Annotated[str, typer.Option(help="How far back to look for judgments: 2h, 30d.")] = (
        "30d"
    ),
    model: Annotated[str, typer.Option(help="Only answers of this model; all by default.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Compare the judges with people: agreement, and the estimated human score of all answers."""
    start_ms = now_ms() - parse_duration(since)
    found = log_comparison(load(KafkaSettings), start_ms, model)
    if as_json:
        print_json(found)
    else:
        lines = [line for each in found.judges for line in _lines(each)]
        lines += _together(found)
        typer.echo("\n".join(lines or ["no judgments in this time: is the judge worker running?"]))


def publish(settings: KafkaSettings, labels: tuple[LabelEvent, ...]) -> None:
    """Publish labels.

    Raises:
        LogError: The broker does not answer, or has not taken all of them.
    """
    with Publisher(settings) as publisher:
        for start in range(0, len(labels), _BATCH):
            batch = labels[start : start + _BATCH]
            publisher.publish(output for label in batch for output in _outputs(label))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelFileError(f"cannot read {file}: {error}") from error


def _outputs(label: LabelEvent) -> Iterator[Output]:
    """Yield a label, and its note as a remark, which is kept no longer than the answer's text."""
    named = f"{label.request_id}\n{label.annotator}\n{label.time_ms}"
    event_id = hashlib.sha256(named.encode()).hexdigest()[:32]
    output = Output(
        topic=LABELS,
        key=label.request_id,
        event=msgspec.structs.replace(label, note=""),
        source="labels",
        event_id=event_id,
        time_ms=label.time_ms,
    )
    yield output
    if label.note:
        remark = Remark(
            request_id=label.request_id,
            time_ms=label.time_ms,
            author=label.annotator,
            text=label.note,
        )
        key = f"{label.request_id}\n{label.annotator}"
        yield replace(output, topic=REMARKS, key=key, event=remark, event_id=f"{event_id}/remark")


def _lines(each: Agreement) -> Iterator[str]:
    yield f"{each.judge}@{each.specification_hash[:8]} {each.score}"
    yield f"  the judge's mean:  {number(each.judge_mean)} over {count(each.judged)} judged answers"
    yield f"  as people see it:  {corrected_sentence(each)}"
    if each.area is not None:
        area = number(each.area)
        yield f"  agreement:         {area}, the chance that a liked answer scores higher"
    if (share := each.cross_check) is None:
        yield f"  cross-check:       {each.cross_check_refused}"
    else:
        yield f"  cross-check:       {_estimate(share.share, share.low, share.high)}"


def _together(found: LabelComparison) -> Iterator[str]:
    if (helped := found.assisted) is not None and helped.weight:
        yield "helpfulness, helped by likelihood"
        yield f"  the judge's mean:  {_estimate(helped.mean, helped.low, helped.high)}"
    if (all_of_it := found.followed) is not None:
        answers, labelled = count(all_of_it.answers), count(all_of_it.labelled)
        quality = _estimate(all_of_it.mean, all_of_it.low, all_of_it.high)
        yield f"over all {answers} answers, {labelled} labelled by people"
        yield f"  quality:           {quality}, an interval that holds at every look"


def _estimate(mean: float, low: float, high: float) -> str:
    return f"{number(mean)} ({number(low)} to {number(high)})"
