"""``tidegauge baseline``: build, list, show and activate what is normal."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.cli.baseline_text import power, print_list, show_drift
from tidegauge.cli.errors import PastRequestsError
from tidegauge.cli.past_requests import ReadRequests, from_file, from_log
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import fit
from tidegauge.monitor.baseline import build_rates
from tidegauge.monitor.web.ranges import parse_moment
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.operations import BaselineKind, BaselineManifest
from tidegauge.workers.drift.settings import DriftSettings

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Baselines: what is normal. Immutable; one of each kind is in force.",
)


class _Kind(StrEnum):
    DRIFT = "drift"
    RATES = "rates"


Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _time(text: str | None) -> int | None:
    """Read a time; whole numbers are Unix milliseconds."""
    if text is None:
        return None
    return int(text) if text.isdecimal() else parse_moment(text, _now_ms())


def _say(as_json: bool, facts: dict[str, object], words: str) -> None:
    typer.echo(msgspec.json.encode(facts).decode() if as_json else words)


@app.command()
def build(  # noqa: PLR0913 - one option for each choice
    kind: Annotated[_Kind, typer.Option(help="drift: what is asked; rates: all else.")],
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", "--from-file", help='JSONL of {"text": …}; drift only.'),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Start: -2d, ISO 8601 or Unix milliseconds."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End; now if not given.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="Only this segment's requests, by its key; drift only.")
    ] = None,
    caller_cap: Annotated[
        int, typer.Option(min=0, help="Most requests of a caller in a window; 0: no cap.")
    ] = 50,
    limit: Annotated[int, typer.Option(min=200, help="Most requests to embed.")] = 20_000,
    keep_text: Annotated[
        bool, typer.Option(help="Keep terms and examples of each cluster, for people.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the codebook's draws.")] = 0,
    activate: Annotated[bool, typer.Option("--activate", help="Put it in force.")] = False,
    as_json: Json = False,
) -> None:
    """Build a baseline from past requests, or from what the workers have counted."""
    start_ms, end_ms = _time(start), _time(end) or _now_ms()
    if (file is None) == (start_ms is None):
        raise PastRequestsError("give either --file or --from (and --to)")
    kafka = load(KafkaSettings)
    if kind is _Kind.RATES:
        if start_ms is None:
            raise PastRequestsError("rates are counted in the log: give --from, not --file")
        baseline_id = _build_rates(kafka, start_ms, end_ms, quiet=as_json)
        facts: dict[str, object] = {}
    else:
        settings = load(DriftSettings)
        found = (
            from_file(file, settings.preparation())
            if file is not None
            else from_log(
                kafka,
                settings.preparation(),
                start_ms=start_ms or 0,
                end_ms=end_ms,
                segment=segment,
                caller_cap=caller_cap,
                window_ms=settings.sketching().window_ms,
            )
        )
        found.limit(limit)
        baseline = _fit(
            found, settings, seed=seed, keep_text=keep_text, caller_cap=caller_cap, quiet=as_json
        )
        baseline_id = BaselineStore(kafka).publish(
            "drift", baseline.to_bytes(), baseline.fingerprint, baseline.summary()
        )
        facts = {"summary": baseline.summary(), "left_out": found.left_out}
    if activate:
        BaselineStore(kafka).activate(baseline_id)
    state = "built and in force" if activate else "built"
    words = f"{state}: {baseline_id}"
    if left_out := facts.get("left_out"):
        words += f"\nleft out: {left_out}"
    _say(as_json, {"baseline_id": baseline_id, "active": activate, **facts}, words)


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the baselines, the oldest first."""
    store = BaselineStore(load(KafkaSettings))
    manifests = store.list()
    kinds: tuple[BaselineKind, ...] = ("drift", "rates")
    active = {kind: store.active(kind) for kind in kinds}
    if as_json:
        _say(as_json, {"baselines": manifests, "active": active}, "")
    elif manifests:
        print_list(Console(), manifests, active.values())
    else:
        typer.echo("no baselines yet: tidegauge baseline build --help")


@app.command()
def show(
    baseline_id: Annotated[
        str, typer.Argument(help="Its id; or drift, or rates, for the one in force.")
    ] = "drift",
    *,
    as_json: Json = False,
) -> None:
    """Show what a baseline holds, and what it can notice."""
    store = BaselineStore(load(KafkaSettings))
    kinds: dict[str, BaselineKind] = {"drift": "drift", "rates": "rates"}
    kind = kinds.get(baseline_id)
    wanted = baseline_id if kind is None else store.active(kind)
    if wanted is None:
        raise PastRequestsError(
            f"no baseline of {baseline_id} is in force: tidegauge baseline list"
        )
    manifest = _manifest(store, wanted)
    document = store.load(wanted)
    if manifest is not None and manifest.kind == "rates":
        rates = RatesBaseline.from_bytes(document, wanted)
        lines = [f"{name:<12} {value}" for name, value in rates.summary().items()]
        lines += [f"left out     {name}: {why}" for name, why in rates.left_out.items()]
        _say(as_json, {"baseline_id": wanted, **rates.summary()}, "\n".join(lines))
        return
    drift = DriftBaseline.from_bytes(document, wanted)
    if as_json:
        delays = {f"{share:g}": events for share, events in power(drift)}
        facts = {"baseline_id": wanted, "clusters": drift.clusters, "delay_events": delays}
        _say(as_json, {**drift.summary(), **facts}, "")
    else:
        show_drift(Console(), drift)


@app.command()
def activate(
    baseline_id: Annotated[str, typer.Argument(help="Its id.")], *, as_json: Json = False
) -> None:
    """Put a baseline in force for its kind."""
    manifest = BaselineStore(load(KafkaSettings)).activate(baseline_id)
    _say(
        as_json,
        {"baseline_id": baseline_id, "kind": manifest.kind, "active": True},
        f"in force for {manifest.kind}: {baseline_id}",
    )


def _manifest(store: BaselineStore, baseline_id: str) -> BaselineManifest | None:
    return next((one for one in store.list() if one.baseline_id == baseline_id), None)


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )


def _build_rates(kafka: KafkaSettings, start_ms: int, end_ms: int, *, quiet: bool) -> str:
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("reading sketches", total=None)
        return build_rates(
            kafka,
            start_ms,
            end_ms,
            progress=lambda number: bar.update(task, completed=number),
        )


def _fit(  # noqa: PLR0913 - what was found, and the choices
    found: ReadRequests,
    settings: DriftSettings,
    *,
    seed: int,
    keep_text: bool,
    caller_cap: int,
    quiet: bool,
) -> DriftBaseline:
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("loading the embedder", total=len(found.past))
        embedder = open_embedder(
            settings.model,
            backend=settings.backend,
            most_tokens=settings.most_tokens,
            threads=settings.threads,
        )
        bar.update(task, description="embedding")
        vectors = embedder.embed(
            [one.text for one in found.past],
            progress=lambda count: bar.update(task, advance=count),
        )
        usable = [bool(np.isfinite(vector).all()) for vector in vectors]
        for _ in range(usable.count(False)):
            found.leave_out("no vector")
        return fit(
            [one for one, fine in zip(found.past, usable, strict=True) if fine],
            vectors[np.array(usable, np.bool_)],
            embedder=embedder.fingerprint,
            preparation=settings.preparation(),
            rng=np.random.default_rng(seed),
            keep_exemplars=keep_text,
            caller_cap=caller_cap,
            progress=lambda what: bar.update(task, description=what),
        )
