"""``tidegauge baseline``: build, list, show and activate what is normal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidegauge.cli.baseline_text import power, print_list, promise_lines, show_drift
from tidegauge.detection.seasons import UTC, utc_offset_ms
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.operations import BaselineKind, BaselineManifest
from tidegauge.usecases.build_baseline import (
    FitChoices,
    build_drift,
    build_rates,
)
from tidegauge.usecases.errors import PastRequestsError
from tidegauge.usecases.past_requests import ReadRequests, from_file, from_log
from tidegauge.usecases.time_range import parse_moment
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


def _time(text: str | None) -> int | None:
    """Read a time; whole numbers are Unix milliseconds."""
    if text is None:
        return None
    return int(text) if text.isdecimal() else parse_moment(text, now_ms())


def _say(as_json: bool, facts: dict[str, object], words: str) -> None:
    typer.echo(msgspec.json.encode(facts).decode() if as_json else words)


@app.command()
def build(  # noqa: PLR0913 - one option for each choice
    kind: Annotated[_Kind, typer.Option(help="drift: what is asked; rates: all else.")],
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "--from-file",
            help='JSONL of {"text": …, "conversation_id": …, "turn": …, "time_ms": …}, of which '
            "only the text is needed; drift only.",
        ),
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
    zone: Annotated[
        str,
        typer.Option(
            "--time-zone",
            help="Of the hours of a day and of a week, such as Europe/Berlin: where users live.",
        ),
    ] = UTC,
    seed: Annotated[int, typer.Option(help="Of the codebook's draws.")] = 0,
    activate: Annotated[bool, typer.Option("--activate", help="Put it in force.")] = False,
    as_json: Json = False,
) -> None:
    """Build a baseline from past requests, or from what the workers have counted."""
    utc_offset_ms(zone, 0)
    start_ms, end_ms = _time(start), _time(end) or now_ms()
    if (file is None) == (start_ms is None):
        raise PastRequestsError("give either --file or --from (and --to)")
    kafka = load(KafkaSettings)
    if kind is _Kind.RATES:
        if start_ms is None:
            raise PastRequestsError("rates are counted in the log: give --from, not --file")
        baseline_id = _build_rates(kafka, start_ms, end_ms, zone, quiet=as_json)
        facts: dict[str, object] = {}
        notes: list[str] = []
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
        choices = FitChoices(seed=seed, keep_text=keep_text, caller_cap=caller_cap, zone=zone)
        baseline = _build_drift(found, settings, choices, quiet=as_json)
        baseline_id = BaselineStore(kafka).publish(
            "drift", baseline.to_bytes(), baseline.fingerprint, baseline.summary()
        )
        facts = {
            "summary": baseline.summary(),
            "left_out": found.left_out,
            "remarks": found.remarks,
        }
        notes = found.notes()
    if activate:
        BaselineStore(kafka).activate(baseline_id)
    state = "built and in force" if activate else "built"
    words = "\n".join([f"{state}: {baseline_id}", *notes])
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
        lines += promise_lines(rates.references)
        _say(as_json, {"baseline_id": wanted, **rates.summary()}, "\n".join(lines))
        return
    drift = DriftBaseline.from_bytes(document, wanted)
    if as_json:
        delays = {
            str(unit): {f"{share:g}": events for share, events in found.items()}
            for unit, found in power(drift).items()
        }
        clusters = {str(unit): known.clusters for unit, known in drift.units.items()}
        facts = {"baseline_id": wanted, "clusters": clusters, "delay_events": delays}
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


def _build_rates(
    kafka: KafkaSettings, start_ms: int, end_ms: int, zone: str, *, quiet: bool
) -> str:
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("reading sketches", total=None)
        return build_rates(
            kafka,
            start_ms,
            end_ms,
            zone=zone,
            progress=lambda number: bar.update(task, completed=number),
        )


def _build_drift(
    found: ReadRequests, settings: DriftSettings, choices: FitChoices, *, quiet: bool
) -> DriftBaseline:
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("", total=len(found.past))
        return build_drift(
            found,
            settings,
            choices,
            lambda what, more: bar.update(task, description=what, advance=more),
        )
