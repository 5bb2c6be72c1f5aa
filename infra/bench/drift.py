"""The drift benchmark: how soon changes are noticed, on texts of your own; ``make bench-drift``."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import drift_overview
import drift_results
import drift_streams
from drift_bars import Bar, bars
from drift_peer_runs import Peers
from drift_texts import BenchError, Texts, Vectors, read_texts, with_vectors
from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.drift.benchmark_streams import CHANGES, Change, fresh_events
from tidegauge.reports.formatting import count
from tidegauge.runtime.settings import load
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.workers.drift.settings import DriftSettings

_WIDTH = 200
_QUICK_QUIET = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def drift(  # noqa: PLR0913 - one option for each choice
    data: Annotated[Path, typer.Option(help='JSONL of {"text": …, "topic": …}.')],
    *,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path(
        "build/bench/drift.json"
    ),
    out_of_scope: Annotated[str, typer.Option(help="Topic of texts that belong to none.")] = "oos",
    baselines: Annotated[int, typer.Option(help="How often the baseline is drawn.", min=1)] = 10,
    runs: Annotated[int, typer.Option(help="Streams of a change for each baseline.", min=1)] = 5,
    quiet: Annotated[int, typer.Option(help="Streams without one for each.", min=1)] = 10,
    peers: Annotated[
        str, typer.Option(help="Command that runs the peers; see infra/bench/drift_peers.py.")
    ] = "",
    slow_share: Annotated[
        float,
        typer.Option(help="Part of the streams that slow peers take; 0 for none.", min=0, max=1),
    ] = 0.4,
    changes: Annotated[
        str, typer.Option(help="Only these, between commas, such as out_of_scope:0.1.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Two baselines, no slow peers.")] = False,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
) -> None:
    """Measure the delay of the drift monitor's alarm after changes that are known.

    With --changes nothing is written: a part of the protocol is for trying things out.
    """
    console = Console(stderr=True)
    plan = drift_streams.BenchPlan(
        baselines=2 if quick else baselines,
        runs=runs,
        quiet=min(quiet, _QUICK_QUIET) if quick else quiet,
        changes=_chosen(changes),
        seed=seed,
    )
    texts = read_texts(data, seed)
    vectors = _vectors(texts, out.parent, console)
    drawn = drift_streams.draw_streams(texts, plan, out_of_scope)

    def say(line: str) -> None:
        console.print(line, markup=False)

    systems = {
        drift_results.OURS: drift_streams.run_ours(drawn, texts, vectors, plan, out.parent, say)
    }
    if peers:
        command = shlex.split(peers)
        slow_share = 0.0 if quick else slow_share
        systems |= Peers(command, out.parent, slow_share, say).run(drawn, vectors, plan)
    rows = drift_results.rows(
        systems,
        window=plan.window,
        guaranteed_events=plan.guaranteed_events,
        matched_events=plan.matched_events,
    )
    met = bars(rows)
    if not changes:
        _write(out, plan, drawn, slow_share if peers else None, rows, met)
    shown = Console()
    shown.width = max(shown.width, _WIDTH)
    shown.print(drift_overview.overview(rows))
    shown.print(drift_overview.bar_table(met))


def _write(  # noqa: PLR0913, PLR0917 - what the file says
    out: Path,
    plan: drift_streams.BenchPlan,
    drawn: Sequence[drift_streams.Drawn],
    slow_share: float | None,
    rows: Sequence[drift_results.Row],
    met: Sequence[Bar],
) -> None:
    machine = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    protocol = asdict(plan) | {
        "changes": {
            change.name: {
                "streams": sum(len(one.streams[change]) for one in drawn),
                "events_without_repeats": min(fresh_events(one.shares, change) for one in drawn),
            }
            for change in drawn[0].streams
        },
        "part_of_streams_for_slow_peers": slow_share,
    }
    found = {
        "machine": machine,
        "command": " ".join(["infra/bench/drift.py", *sys.argv[1:]]),
        "protocol": protocol,
        "rows": rows,
        "bars": [asdict(bar) for bar in met],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1))


def _chosen(keys: str) -> tuple[Change, ...]:
    """Return the changes of these keys, all without any."""
    wanted = [key.strip() for key in keys.split(",") if key.strip()]
    known = {change.key: change for change in CHANGES}
    for key in wanted:
        if key not in known:
            raise BenchError(f"--changes {key}: there is no such change, only {', '.join(known)}")
    return tuple(known[key] for key in wanted) or CHANGES


def _vectors(texts: Texts, folder: Path, console: Console) -> Vectors:
    settings = load(DriftSettings)

    def embed(wanted: list[str]) -> Vectors:
        console.print(f"embedding {count(len(wanted))} texts; the next run will not have to")
        embedder = open_embedder(
            settings.model,
            backend=settings.backend,
            most_tokens=settings.most_tokens,
            threads=settings.threads,
        )
        return embedder.embed(wanted)

    embedder = f"{settings.model} {settings.backend} {settings.most_tokens}"
    return with_vectors(texts, embed, embedder, folder)


if __name__ == "__main__":
    try:
        app()
    except TidegaugeError as error:
        sys.exit(f"bench-drift: {error}")
