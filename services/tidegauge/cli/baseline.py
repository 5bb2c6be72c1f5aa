"""``tidegauge baseline``: build, list, show and activate what is normal."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidegauge.cli.baseline_commands import accept, diff, keep, renew
from tidegauge.cli.baseline_text import (
    excluded_lines,
    listed_lines,
    origin_lines,
    promise_lines,
    rise_lines,
    show_drift,
)
from tidegauge.cli.wrapping import print_json, say
from tidegauge.detection.seasons import utc_offset_ms
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.monitoring.incidents import within
from tidegauge.monitoring.rate_power import noticed_rises
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.operations import BaselineKind, BaselineOrigin, ExcludedTime
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.usecases.build_baseline import (
    FitChoices,
    build_drift,
    build_rates,
    embed_past,
    publish_baseline,
)
from tidegauge.usecases.errors import PastRequestsError
from tidegauge.usecases.past_requests import ReadRequests, from_file, from_log
from tidegauge.usecases.stretch import Stretch, excluded_by_name, incidents_of_log
from tidegauge.usecases.time_range import parse_moment
from tidegauge.usecases.topic_power import noticed_topics
from tidegauge.workers.drift.settings import DriftSettings

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Baselines: what is normal. Immutable; one of each kind is in force. The monitor builds "
    "a provisional one from the first traffic; see docs/BASELINES.md.",
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
    if as_json:
        print_json(facts)
    else:
        typer.echo(words)


@app.command()
def build(  # noqa: PLR0913 - one option for each choice
    kind: Annotated[_Kind, typer.Option(help="drift: what is asked; rates: all else.")],
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            help='JSONL of {"text": …, "conversation_id": …, "turn": …, "time_ms": …}, of which '
            "only the text is needed; drift only.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Start: -2d, Unix milliseconds or ISO 8601, UTC unless it says otherwise.",
        ),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End; now if not given.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="Only this segment's requests, by its key; drift only.")
    ] = None,
    caller_cap: Annotated[
        int, typer.Option(min=0, help="Most requests of a caller in a window; 0: no cap.")
    ] = 50,
    limit: Annotated[int, typer.Option(min=200, help="Most requests to embed.")] = 20_000,
    no_text: Annotated[
        bool,
        typer.Option("--no-text", help="Keep no terms of the clusters and no ids of requests."),
    ] = False,
    zone: Annotated[
        str | None,
        typer.Option(
            "--time-zone",
            help="Of the hours of a day and of a week, such as Europe/Berlin: where users live; "
            "that of the TIDEGAUGE_BASELINE_ settings if not given, and its holidays.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the codebook's draws.")] = 0,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave out a time, FROM/TO, such as -5h/-4h; may be repeated."),
    ] = None,
    include_incidents: Annotated[
        bool,
        typer.Option(
            "--include-incidents",
            help="Keep the times of incidents, which are left out otherwise: from the onset until "
            "the last alarm ended.",
        ),
    ] = False,
    activate: Annotated[bool, typer.Option("--activate", help="Put it in force.")] = False,
    as_json: Json = False,
) -> None:
    """Build a baseline from past requests, or from what the workers have counted."""
    life = load(BaselineSettings)
    if zone is not None:
        utc_offset_ms(zone, 0)
        life = life.model_copy(update={"time_zone": zone})
    calendar = life.calendar
    start_ms, end_ms = _time(start), _time(end) or now_ms()
    if file is not None and exclude:
        raise PastRequestsError("--exclude is for --from: leave the lines out of the file")
    if (file is None) == (start_ms is None):
        raise PastRequestsError("give either --file or --from (and --to)")
    kafka = load(KafkaSettings)
    named = (*excluded_by_name(exclude or (), now_ms()), *life.excluded_days)
    stretch = _stretch(kafka, start_ms, end_ms, named, incidents=not include_incidents)
    origin = BaselineOrigin(excluded=stretch.excluded)
    if kind is _Kind.RATES:
        if start_ms is None:
            raise PastRequestsError("rates are counted in the log: give --from, not --file")
        rates = _build_rates(kafka, stretch, calendar, quiet=as_json)
        baseline_id = publish_baseline(kafka, rates, origin)
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
                stretch,
                segment=segment,
                caller_cap=caller_cap,
                window_ms=settings.sketching().window_ms,
            )
        )
        found.limit(limit)
        choices = FitChoices(seed=seed, keep_text=not no_text, caller_cap=caller_cap, zone=calendar)
        baseline = _build_drift(found, settings, choices, quiet=as_json)
        baseline_id = publish_baseline(kafka, baseline, origin)
        facts = {
            "summary": baseline.summary(),
            "left_out": found.left_out,
            "remarks": found.remarks,
        }
        notes = found.notes()
    if activate:
        BaselineStore(kafka).activate(baseline_id)
    state = "built and in force" if activate else "built"
    words = "\n".join([f"{state}: {baseline_id}", *notes, *excluded_lines(stretch.excluded)])
    facts |= {"excluded": stretch.excluded}
    _say(as_json, {"baseline_id": baseline_id, "active": activate, **facts}, words)


def _stretch(
    kafka: KafkaSettings,
    start_ms: int | None,
    end_ms: int,
    named: Sequence[ExcludedTime],
    *,
    incidents: bool,
) -> Stretch:
    """Return the stretch to build from; for a file, which has no incidents, an empty one."""
    if start_ms is None:
        return Stretch(0, end_ms)
    times = within(named, start_ms, end_ms)
    if incidents:
        times += incidents_of_log(kafka, start_ms, end_ms, now_ms())
    return Stretch(start_ms, end_ms, times)


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the baselines, the oldest first."""
    store = BaselineStore(load(KafkaSettings))
    manifests = store.list()
    kinds: tuple[BaselineKind, ...] = ("drift", "rates")
    active = {kind: store.active(kind) for kind in kinds}
    if as_json:
        shown = [
            msgspec.to_builtins(one) | {"active": one.baseline_id == active.get(one.kind)}
            for one in manifests
        ]
        print_json(shown)
    elif manifests:
        for line in listed_lines(manifests, active.values()):
            say(line)
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
    manifest = store.manifest(wanted)
    document = store.load(wanted)
    made = {"origin": manifest.origin, "promise": manifest.summary.get("promise", "")}
    if manifest.kind == "rates":
        rates = RatesBaseline.from_bytes(document, wanted)
        lines = [f"{name:<12} {value}" for name, value in rates.summary().items()]
        lines += origin_lines(manifest)
        lines += [f"left out     {name}: {why}" for name, why in rates.left_out.items()]
        lines += promise_lines(rates.references)
        rises = noticed_rises(rates.references, rates.to_ms - rates.from_ms)
        lines += rise_lines(rises)
        facts = {"baseline_id": wanted, **rates.summary(), **made, "rises": rises}
        _say(as_json, facts, "\n".join(lines))
        return
    drift = DriftBaseline.from_bytes(document, wanted)
    if as_json:
        clusters = {str(unit): known.clusters for unit, known in drift.units.items()}
        facts = {"baseline_id": wanted, "clusters": clusters, "topics": noticed_topics(drift)}
        print_json({**drift.summary(), **facts, **made})
    else:
        typer.echo("\n".join(origin_lines(manifest)))
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
    kafka: KafkaSettings, stretch: Stretch, zone: str, *, quiet: bool
) -> RatesBaseline:
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("reading sketches", total=None)
        return build_rates(
            kafka,
            stretch,
            zone=zone,
            progress=lambda number: bar.update(task, completed=number),
        )


def _build_drift(
    found: ReadRequests, settings: DriftSettings, choices: FitChoices, *, quiet: bool
) -> DriftBaseline:
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("", total=len(found.past))

        def report(what: str, more: int) -> None:
            bar.update(task, description=what, advance=more)

        return build_drift(embed_past(found, settings, report), settings, choices, report)


for _command in (accept, diff, keep, renew):
    app.command()(_command)
