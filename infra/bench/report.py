"""Whether a report of 100,000 rows and 12 columns keeps its size and its time.

Run by ``make bench-report``; ends with 1 where a bar is missed. Beside it, Evidently's own
drift of embeddings on some vectors of 32 numbers.
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

from tidegauge.adapters import evidently
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
    compared = tables(rows(ROWS, 0.0), rows(ROWS + 1, 1.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        start = time.perf_counter()
        evidently.render(compared, evidently.Preface(title="bench", verdicts=("none",)), path)
        seconds, size = time.perf_counter() - start, path.stat().st_size
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    kept = size <= MOST_BYTES and seconds <= MOST_SECONDS
    print(f"report of 2 x {ROWS:,} rows, {len(compared.columns)} columns")
    print(f"  {size / 1e6:.1f} MB (at most {MOST_BYTES / 1e6:.0f}), {seconds:.1f} s (at most 8)")
    print(f"  of these {spent.ru_utime + spent.ru_stime:.1f} s of a processor in the renderer")
    start = time.perf_counter()
    peer = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _EMBEDDINGS, str(VECTORS)],
        capture_output=True,
        text=True,
        check=False,
    )
    took = f"{time.perf_counter() - start:.1f} s" if not peer.returncode else "failed"
    print(f"Evidently's embeddings drift, 2 x {VECTORS:,} vectors of 32 numbers: {took}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
