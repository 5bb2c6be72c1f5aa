"""Evidently's HTML comparison of two tables, rendered in a process of its own.

Importing Evidently takes seconds and hundreds of megabytes, and rendering holds the
interpreter: neither belongs into a process that serves pages or reads a log. The child is this
module run as a script: a ``Job`` as a line of JSON on its standard input, HTML into the file
that it names.
"""

from __future__ import annotations

import contextlib
import gc
import html
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidegauge.reports.formatting import duration, percent
from tidegauge.reports.rows import Cells, Tables
from tidegauge.reports.text import category
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["Job", "Preface", "ReportError", "installed", "render"]

_TIMEOUT_SECONDS = 180.0
_LAST_LINES = 600
_FURTHEST = 6
_DETAILED = 3
_KEPT = frozenset(
    ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
)


class ReportError(TidegaugeError):
    """A report could not be made."""


class Preface(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before Evidently's part of a report.

    Attributes:
        title: Heading of the report.
        verdicts: What the monitor says of the time, a sentence each; they come first.
        facts: What is compared: the ranges, the rows, what was left out.
        figure: A map of the requests as an SVG element of our own, empty for none.
        caption: What the map shows.
    """

    title: str
    verdicts: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    figure: str = ""
    caption: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to render.

    Attributes:
        preface: What stands first.
        tables: The rows to compare.
        path: The file to write.
    """

    preface: Preface
    tables: Tables
    path: str


def installed() -> bool:
    """Whether the ``reports`` extra is there, without importing it."""
    from importlib.util import find_spec  # noqa: PLC0415 - asked once, off the usual path

    return find_spec("evidently") is not None and find_spec("pandas") is not None


def render(
    tables: Tables, preface: Preface, path: Path, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> None:
    """Write the comparison to ``path``; the file appears whole or not at all.

    Args:
        tables: The rows to compare.
        preface: What stands first.
        path: Where to write it.
        timeout_seconds: Time after which the child is killed.

    Raises:
        ReportError: There is nothing to compare, Evidently is not installed, or it failed.
    """
    if not tables.columns:
        raise ReportError(
            f"nothing to compare: {tables.rows[0]} rows in the reference range and "
            f"{tables.rows[1]} in the current one have no column in common that varies; "
            "choose other ranges"
        )
    if not installed():
        raise ReportError("Evidently is not installed: pip install 'tidegauge[reports]'")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        job = Job(preface=preface, tables=tables, path="")
        _render(job, path, timeout_seconds)
    except OSError as error:
        raise ReportError(f"cannot write the report {path}: {error.strerror or error}") from error


def _render(wanted: Job, path: Path, timeout_seconds: float) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".report-") as folder:
        unfinished, said = Path(folder) / "report.html", Path(folder) / "stderr"
        job = msgspec.structs.replace(wanted, path=str(unfinished))
        status = _run(msgspec.json.encode(job) + b"\n", said, timeout_seconds)
        if status is None:
            raise ReportError(
                f"Evidently did not finish within {duration(timeout_seconds)}: "
                "choose shorter ranges or fewer rows"
            )
        if status or not unfinished.exists():
            last = said.read_text(errors="replace").strip()[-_LAST_LINES:]
            raise ReportError(f"Evidently failed (exit {status}): {last}")
        unfinished.replace(path)


def _run(line: bytes, said: Path, timeout_seconds: float) -> int | None:
    """Run the child on a job; return its exit status, None if it had to be ended.

    Its standard input stays open meanwhile: when this process ends, so does the child.
    """
    with (
        said.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tidegauge.adapters.evidently"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_environment(),
        ) as child,
    ):
        try:
            if child.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # it has failed; its status tells
                    child.stdin.write(line)
                    child.stdin.flush()
            return child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            child.kill()


def _environment() -> dict[str, str]:
    """Return what the child needs of ours: no secret is handed to a library for plots."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    return {**kept, "DO_NOT_TRACK": "1"}


def _frame(tables: Tables, side: Sequence[Cells]) -> Any:  # noqa: ANN401 - pandas ships no types
    import pandas as pd  # noqa: PLC0415 - only in the child

    columns = {
        category(column.name): pd.Series(cells, dtype="float64")
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
    furthest = [
        f"{column.name}: at least {percent(apart)} of the rows differ"
        for column, apart in zip(job.tables.columns, job.tables.distances, strict=False)
    ]
    return (
        '<header style="font:16px/1.5 system-ui,sans-serif;padding:16px 24px">'
        f'<h1 style="font-size:22px;margin:0 0 8px">{html.escape(preface.title)}</h1>'
        f"<h2>What the monitor says</h2>{_listed(preface.verdicts)}"
        f"<h2>What differs most</h2>{_listed(furthest[:_FURTHEST])}"
        f"{_figure(preface)}"
        f"<h2>What is compared</h2>{_listed(preface.facts)}"
        "<p>A description of two samples. Whether a column is marked as drifted depends on how "
        "many rows there are and how many columns one looks at, so the marks below carry no "
        "stated error rate; the monitor's own verdicts do, and no mark that is absent speaks "
        "against one of them.</p></header>"
    )


def _end_with_parent() -> None:
    """Wait for the end of standard input: whoever wanted the report is gone then."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _main() -> None:
    os.environ["DO_NOT_TRACK"] = "1"
    gc.disable()  # the process ends with its report; collecting costs a tenth of its time
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - takes seconds
    from evidently.metrics import ValueDrift  # noqa: PLC0415 - the same
    from evidently.presets import ValueStats  # noqa: PLC0415 - the same

    definition = DataDefinition(
        numerical_columns=[category(c.name) for c in job.tables.columns if c.kind == "number"],
        categorical_columns=[category(c.name) for c in job.tables.columns if c.kind == "category"],
    )
    current, reference = (
        Dataset.from_pandas(_frame(job.tables, side), data_definition=definition)
        for side in (job.tables.current, job.tables.reference)
    )
    # Column by column, the furthest apart first: a sentence on all of them together would say
    # that nothing has drifted where one column has, and few others.
    names = [category(column.name) for column in job.tables.columns]
    drifts = [ValueDrift(column=name) for name in names]
    details = [ValueStats(column=name) for name in names[:_DETAILED]]
    report = Report([*drifts, *details])
    page: str = report.run(current, reference).get_html_str(as_iframe=False)
    head, body, rest = page.partition("<body>")
    if not body:
        sys.exit("Evidently's page has no <body> to put the heading into")
    Path(job.path).write_text(head + body + _preface(job) + rest, encoding="utf-8")


if __name__ == "__main__":
    _main()
