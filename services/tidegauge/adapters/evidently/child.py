"""The process that renders reports: imports Evidently once, then forks for each report.

A job is a line of JSON on standard input, answered by a line with its exit status. A report is
made in a fork, which leaves nothing behind here and can be ended: it is when standard input
ends, since whoever wanted the report is gone then. After some minutes without a job the process
ends by itself.
"""

from __future__ import annotations

import gc
import html
import os
import select
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from tidegauge.adapters.evidently.job import Job, Preface
from tidegauge.reports.formatting import percent
from tidegauge.reports.rows import Cells, Column, Tables
from tidegauge.reports.text import category
from tidegauge.reports.titles import column_title

_IDLE_SECONDS: Final = 300.0
_FURTHEST: Final = 6
_DETAILED: Final = 3


def main() -> int:
    """Serve jobs until none comes; return the exit status."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    gc.disable()  # forks end with their report; collecting costs a tenth of the time
    import evidently.metrics  # noqa: PLC0415 - takes seconds
    import evidently.presets  # noqa: F401, PLC0415 - the same

    gc.freeze()
    while select.select([0], [], [], _IDLE_SECONDS)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            break
        status = _forked(line)
        if status is None:
            return 1
        os.write(answers, b"%d\n" % status)
    return 0


def _forked(line: bytes) -> int | None:
    """Make a report in a fork; return its exit status, None where it is wanted no more."""
    ended, held = os.pipe()
    worker = os.fork()
    if not worker:
        _work(line)
    os.close(held)  # the fork's end closes the other copy, which can be read as an end
    wanted = 0 not in select.select([0, ended], [], [])[0]
    os.close(ended)
    if not wanted:
        os.kill(worker, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    return status if wanted else None


def _work(line: bytes) -> NoReturn:
    """Make a report and end, without what an interpreter does at its end."""
    status = 1
    try:
        job = msgspec.json.decode(line, type=Job)
        os.dup2(os.open(job.errors, os.O_WRONLY | os.O_CREAT, 0o600), 2)
        Path(job.path).write_text(_page(job), encoding="utf-8")
        status = 0
    except BaseException:  # noqa: BLE001 - told to whoever wanted the report
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(status)


def _page(job: Job) -> str:
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - imported already
    from evidently.metrics import ValueDrift  # noqa: PLC0415 - the same
    from evidently.presets import ValueStats  # noqa: PLC0415 - the same

    definition = DataDefinition(
        numerical_columns=[_name(c) for c in job.tables.columns if c.kind == "number"],
        categorical_columns=[_name(c) for c in job.tables.columns if c.kind == "category"],
    )
    current, reference = (
        Dataset.from_pandas(_frame(job.tables, side), data_definition=definition)
        for side in (job.tables.current, job.tables.reference)
    )
    # Column by column, the furthest apart first: a sentence on all of them together would say
    # that nothing has drifted where one column has, and few others.
    names = [_name(column) for column in job.tables.columns]
    drifts = [ValueDrift(column=name) for name in names]
    details = [ValueStats(column=name) for name in names[:_DETAILED]]
    report = Report([*drifts, *details])
    page: str = report.run(current, reference).get_html_str(as_iframe=False)
    head, body, rest = page.partition("<body>")
    if not body:
        raise ValueError("Evidently's page has no <body> to put the heading into")
    return head + body + _preface(job) + rest


def _name(column: Column) -> str:
    return category(column_title(column.name))


def _frame(tables: Tables, side: Sequence[Cells]) -> Any:  # noqa: ANN401 - pandas ships no types
    import pandas as pd  # noqa: PLC0415 - only in the child

    columns = {
        _name(column): pd.Series(cells, dtype="float64")
        if column.kind == "number"
        else pd.Series(_safe(cells), dtype="object")
        for column, cells in zip(tables.columns, side, strict=True)
    }
    return pd.DataFrame(columns)


def _safe(cells: Cells) -> list[float | str | None]:
    """Return values that may stand in a script: Evidently embeds what it shows as JSON."""
    safe = {value: category(value) if isinstance(value, str) else value for value in {*cells}}
    return [safe[value] for value in cells]


def _listed(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul style="margin:0;padding-left:20px">{items}</ul>'


def _figure(preface: Preface) -> str:
    if not preface.figure:
        return ""
    return (
        f"<h2>Where the requests lie</h2>{preface.figure}<p><span "
        'style="color:#6b7280">&#9679; reference</span> <span style="color:#d9480f">&#9679; '
        f"current</span> {html.escape(preface.caption)}</p>"
    )


def _preface(job: Job) -> str:
    preface = job.preface
    return (
        '<header style="font:16px/1.5 system-ui,sans-serif;padding:16px 24px">'
        f'<h1 style="font-size:22px;margin:0 0 8px">{html.escape(preface.title)}</h1>'
        f"<h2>What the monitor says</h2>{_listed(preface.verdicts)}"
        f"<h2>What differs most</h2>{_listed(_furthest(job.tables))}"
        f"{_figure(preface)}"
        f"<h2>What is compared</h2>{_listed(preface.facts)}"
        "<p>A description of two samples. Whether a column is marked as drifted depends on how "
        "many rows there are and how many columns one looks at, so the marks below carry no "
        "stated error rate; the monitor's own verdicts do, and no mark that is absent speaks "
        "against one of them.</p></header>"
    )


def _furthest(compared: Tables) -> list[str]:
    """Return what differs by more than two samples of the same traffic do."""
    sides = zip(compared.columns, compared.distances, compared.by_chance, strict=False)
    beyond = [
        f"{column_title(column.name)}: at least {percent(apart)} of the rows differ"
        for column, apart, chance in sides
        if apart > chance
    ]
    shown, rest = beyond[:_FURTHEST], len(compared.columns) - len(beyond)
    if more := len(beyond) - len(shown):
        shown.append(f"{more} further {_differ(more)}, too")
    if rest:
        if rest == 1:
            which = "the other" if beyond else "the only"
        else:
            which = f"the other {rest}" if beyond else f"all {rest}"
        shown.append(f"{which} {_differ(rest)} by no more than chance explains")
    return shown


def _differ(columns: int) -> str:
    return "column differs" if columns == 1 else "columns differ"


if __name__ == "__main__":
    sys.exit(main())
