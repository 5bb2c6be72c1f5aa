"""``tidegauge explain``: did the topics change, or are the same topics served worse?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tidegauge.cli.control import checked_monitor, checked_segment, parse_duration
from tidegauge.cli.wrapping import print_json
from tidegauge.monitoring.mix_decomposition import ClusterShift, sentence
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.reports.formatting import percent, points
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import Segment
from tidegauge.usecases.explain import Explanation, explain, latest_verdict

__all__ = ["app"]

app = typer.Typer(help="Take a verdict apart: other topics, or the same topics served worse?")

_SHOWN = 10


@app.command()
def explain_(
    monitor: Annotated[str, typer.Argument(help="Its name, such as quality.likelihood.")],
    segment: Annotated[
        str, typer.Option(help="Key of its segment; the one with the most evidence if not given.")
    ] = "",
    since: Annotated[str, typer.Option(help="How far back to look for its last verdict.")] = "1d",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Take a verdict apart: other topics, or the same topics served worse?

    Reads the events of the baseline's time and of the time since the change from the log.
    """
    kafka, now = load(KafkaSettings), now_ms()
    wanted = Segment.from_key(checked_segment(segment)) if segment else None
    verdict = latest_verdict(kafka, checked_monitor(monitor), wanted, now - parse_duration(since))
    found = explain(kafka, verdict, now)
    if as_json:
        print_json({"sentence": sentence(found.mix), "explanation": found})
    else:
        _print(Console(markup=False), found)


def _print(console: Console, found: Explanation) -> None:
    console.print(f"{segment_title(found.verdict.segment)}: {found.title}")
    console.print(sentence(found.mix))
    table = Table("topic", "share then", "now", "rate then", "now", "own rate adds", "share adds")
    for shift in found.mix.clusters[:_SHOWN]:
        table.add_row(*_row(shift, found.titles.get(shift.cluster, str(shift.cluster))))
    console.print(table)


def _row(shift: ClusterShift, title: str) -> tuple[str, ...]:
    return (
        ascii(title)[1:-1],
        percent(shift.reference_share),
        percent(shift.current_share),
        percent(shift.reference_rate),
        "none" if shift.current_rate is None else percent(shift.current_rate),
        points(shift.conditional),
        points(shift.mix),
    )
