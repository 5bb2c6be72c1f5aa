"""``tidegauge bench estimate``: whether intervals of quality hold what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tidegauge.cli.wrapping import print_json
from tidegauge.reports.formatting import UNKNOWN, count
from tidegauge.usecases.evaluation_files import read_examples
from tidegauge.usecases.measure_estimates import (
    EstimateBar,
    EstimateMeasurement,
    Verdicts,
    measure_estimates,
)

__all__ = ["estimate"]

_HEADER = f"{'judge':16} {'labels':24} {'estimate':14} {'coverage':>9} {'width':>7} {'refused':>8}"


def estimate(
    *,
    data: Annotated[
        Path,
        typer.Option(
            help='Pairs of answers, a JSON object a line: {"label": 1 or 2, "judges": '
            '{"name": ["1" or "2", …]}}, the verdicts in every order that was asked.'
        ),
    ],
    repeats: Annotated[
        int, typer.Option(min=10, help="Drawings for each judge, setting and number of labels.")
    ] = 1_000,
    streams: Annotated[
        int, typer.Option(min=10, help="Streams for each judge that are looked at repeatedly.")
    ] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Measure the coverage and width of estimates of quality, on verdicts of several judges.

    Compares the raw judge, the labels alone, Rogan and Gladen's correction and PPI++ at 50, 100
    and 200 labels, with labels targeted at low scores, with conversations whose answers are all
    alike, and with a look after every 25 answers. Ends with status 1 where a bar is missed.
    """
    found = measure_estimates(read_examples(data, Verdicts), repeats=repeats, streams=streams)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(_lines(found)))
    raise typer.Exit(0 if all(bar.met for bar in found.bars) else 1)


def _lines(found: EstimateMeasurement) -> Iterator[str]:
    yield f"share of pairs whose first answer people prefer: {found.truth:.3f}"
    yield _HEADER
    for row in found.intervals:
        labels = f"{row.setting} ({count(row.labels)})" if row.labels else row.setting
        yield (
            f"{row.judge:16} {labels:24} {row.method:14} {_share(row.coverage):>9}"
            f" {_share(row.width):>7} {_share(row.refused):>8}"
        )
    yield from map(_bar, found.bars)


def _bar(bar: EstimateBar) -> str:
    return f"{'met   ' if bar.met else 'MISSED'} {bar.name}: {bar.found:.3f}, limit {bar.limit:g}"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
