"""Whether a report of 100,000 rows and 12 columns keeps its size and its time.

Run by ``make bench-report``; ends with 1 where a bar is missed. The first report pays for
Evidently's imports, the second one finds its process warm. Beside them, Evidently's own drift of
embeddings on some vectors of 32 numbers.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tidegauge.adapters.evidently import EvidentlyProcess, Preface
from tidegauge.reports.rows import Row, tables

ROWS = 5_000 if os.environ.get("QUICK") else 50_000
"""Rows of each side."""

VECTORS = 5_000
"""Vectors of each side for Evidently's own drift of embeddings, whose time grows faster."""

MOST_BYTES, MOST_SECONDS = 8_000_000, 8.0

_EMBEDDINGS = """
import sys
import numpy as np, pandas as pd
from evidently.legacy.metrics import EmbeddingsDriftMetric
from evidently.legacy.pipeline.column_mapping import ColumnMapping
from evidently.legacy.report import Report
rng, n = np.random.default_rng(1), int(sys.argv[1])
names = [f"e{k}" for k in range(32)]
sides = [pd.DataFrame(rng.normal(shift, 1, (n, 32)), columns=names) for shift in (0, 0.1)]
report = Report([EmbeddingsDriftMetric("vectors")])
mapping = ColumnMapping(embeddings={"vectors": names})
report.run(reference_data=sides[0], current_data=sides[1], column_mapping=mapping)
"""


def rows(count: int, shift: float) -> list[Row]:
    """Make exchanges up: eight numbers and four categories."""
    rng = random.Random(count)  # noqa: S311 - made-up rows
    return [
        {
            **{
                name: rng.gauss(shift * (name == "latency_ms"), 1.0)
                for name in (
                    "latency_ms",
                    "time_to_first_token_ms",
                    "prompt_characters",
                    "output_characters",
                    "input_tokens",
                    "output_tokens",
                    "cost_usd",
                    "novelty",
                )
            },
            **{name: rng.choice("abcdef") for name in ("version", "route", "language", "cluster")},
        }
        for _ in range(count)
    ]


def main() -> int:
    """Measure, print, and return the exit status."""
    sides = rows(ROWS, 0.0), rows(ROWS + 1, 1.0)
    # pip was told to compile nothing: what is imported for the first time is compiled now.
    start = time.perf_counter()
    _run(sys.executable, "-c", "import evidently.metrics, evidently.presets")
    print(f"Evidently's imports before any report: {time.perf_counter() - start:.1f} s")
    renderer = EvidentlyProcess()
    kept = True
    for name in ("first", "second"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.html"
            start = time.perf_counter()
            renderer.warm()
            compared = tables(*sides)
            renderer.render(compared, Preface(title="bench", verdicts=("none",)), path)
            seconds, size = time.perf_counter() - start, path.stat().st_size
        kept = kept and size <= MOST_BYTES and seconds <= MOST_SECONDS
        print(
            f"{name} report of 2 x {ROWS:,} rows, {len(compared.columns)} columns: "
            f"{size / 1e6:.1f} MB (at most {MOST_BYTES / 1e6:.0f}), "
            f"{seconds:.1f} s (at most {MOST_SECONDS:.0f})"
        )
    renderer.close()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"  {spent.ru_utime + spent.ru_stime:.1f} s of a processor for the imports and both")
    start = time.perf_counter()
    failed = _run(sys.executable, "-c", _EMBEDDINGS, str(VECTORS))
    took = "failed" if failed else f"{time.perf_counter() - start:.1f} s"
    print(f"Evidently's embeddings drift, 2 x {VECTORS:,} vectors of 32 numbers: {took}")
    return 0 if kept else 1


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
