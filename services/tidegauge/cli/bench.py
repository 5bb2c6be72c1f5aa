"""``tidegauge bench``: how soon changes are noticed, on texts of your own."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.cli import bench_drift
from tidegauge.drift_worker.settings import DriftSettings

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Benchmarks on data of your own.")


@app.callback()
def benchmarks() -> None:
    """Keep the name of each benchmark in its command."""


@app.command()
def drift(  # noqa: PLR0913 - one option for each choice
    data: Annotated[Path, typer.Option(help='JSONL of {"text": …, "topic": …}.')],
    *,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path(
        "build/bench/drift.json"
    ),
    out_of_scope: Annotated[str, typer.Option(help="Topic of texts that belong to none.")] = "oos",
    peers: Annotated[
        str, typer.Option(help="Command that runs the peers; see infra/bench/drift_peers.py.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Few streams.")] = False,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
) -> None:
    """Measure the delay of the drift monitor's alarm after changes that are known."""
    console = Console(stderr=True)
    plan = bench_drift.Plan(runs=10, quiet=20, seed=seed) if quick else bench_drift.Plan(seed=seed)
    settings = DriftSettings()
    texts = bench_drift.read_texts(data, seed)

    def embed(wanted: list[str]) -> bench_drift.Vectors:
        console.print(f"embedding {len(wanted):,} texts; the next run will not have to")
        embedder = open_embedder(
            settings.model,
            backend=settings.backend,
            most_tokens=settings.most_tokens,
            threads=settings.threads,
        )
        return embedder.embed(wanted)

    rows = bench_drift.run(
        texts,
        bench_drift.with_vectors(texts, embed, out.parent),
        plan,
        out_of_scope=out_of_scope,
        peers=shlex.split(peers),
        folder=out.parent,
        say=lambda line: console.print(line, markup=False),
    )
    machine = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    found = {"machine": machine, "command": " ".join(sys.argv[1:]), "rows": rows}
    out.write_text(json.dumps(found, indent=1))
    table = Table("metric", "system", "median", "note", "n")
    for row in rows:
        median = "beyond the stream" if row["median"] is None else f"{row['median']:g}"
        table.add_row(
            row["metric"], row["system"], f"{median} {row['unit']}", row["note"], str(row["n"])
        )
    Console().print(table)
