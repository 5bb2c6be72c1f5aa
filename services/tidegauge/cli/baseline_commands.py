"""``tidegauge baseline keep``, ``accept``, ``renew`` and ``diff``: how baselines come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn

from tidegauge.cli.baseline_text import excluded_lines, plain
from tidegauge.cli.control import Json, Note, Who, login, publish
from tidegauge.cli.wrapping import print_json
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.operations import BaselineKind, Control
from tidegauge.usecases.accept_change import accept_change, find_change, left_to_close
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.usecases.compare_baselines import compare_baselines
from tidegauge.usecases.keep_baselines import keep_baselines, state_of_log
from tidegauge.usecases.made_baselines import MadeBaseline
from tidegauge.usecases.make_baseline import BaselineMaker, Wish
from tidegauge.workers.drift.settings import DriftSettings

__all__ = ["accept", "diff", "keep", "renew"]

_DAY_MS = 86_400_000
_RENEWED = "renewed from the last clean time, as a person asked"


@contextmanager
def _maker(*, quiet: bool) -> Iterator[BaselineMaker]:
    """Yield what builds baselines, with its progress on the terminal."""
    kafka, drift, settings = load(KafkaSettings), load(DriftSettings), load(BaselineSettings)
    columns = TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}")
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("", total=None)
        yield BaselineMaker(
            kafka,
            drift,
            settings,
            lambda what, more: bar.update(task, description=what, advance=more),
        )


def _said(made: MadeBaseline) -> list[str]:
    state = "in force" if made.active else "built, not in force"
    return [
        f"{state} for {made.kind}: {made.baseline_id} ({plain(made.said)})",
        f"  {plain(made.promise)}",
        *(f"  changed: {plain(change)}" for change in made.changes),
        *(f"  added up: {plain(change)}" for change in made.drift),
        *(f"  {line}" for line in excluded_lines(made.excluded)),
    ]


def _print(found: object, lines: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(lines))


def keep(*, as_json: Json = False) -> None:
    """Build the baselines that are due, as the monitor does, and say what others wait for.

    Without a baseline a provisional one is built from the first traffic; it is replaced whenever
    the traffic is twice as long, and renewed at its age. Nothing is replaced while an alarm fires.
    """
    kafka, plan = load(KafkaSettings), load(BaselineSettings).plan()
    now = now_ms()
    with _maker(quiet=as_json) as maker:
        manifests = BaselineStore(kafka).list()
        kept = keep_baselines(
            maker, manifests, lambda: state_of_log(kafka, now_ms()), now_ms=now, plan=plan
        )
    lines = [
        line
        for one in kept
        for line in ([f"{one.kind}: {plain(one.said)}"] if one.made is None else _said(one.made))
    ]
    _print(kept, lines, as_json=as_json)


def accept(
    change: Annotated[str, typer.Argument(help="Id of an alarm or of an incident that fires.")],
    who: Who = "",
    note: Note = "",
    *,
    as_json: Json = False,
) -> None:
    """Declare a change normal: build baselines from the time since, and put them in force.

    The alarms end with that reason. Where the time since is too short for what the alarms watch,
    nothing changes, and it is said what is missing and from when there may be enough.
    """
    kafka, plan, now = load(KafkaSettings), load(BaselineSettings).plan(), now_ms()
    found, name = find_change(kafka, change), who or login()
    with _maker(quiet=as_json) as maker:
        made = accept_change(maker, found, who=name, note=note, now_ms=now, plan=plan)
    for alarm in left_to_close(kafka, found):
        control = Control(
            action="close",
            monitor=alarm.monitor,
            segment=alarm.segment.key,
            time_ms=now,
            note=made[0].said,
        )
        publish(control, who=name)
    _print(made, [line for one in made for line in _said(one)], as_json=as_json)


def renew(
    kind: Annotated[BaselineKind, typer.Option(help="drift or rates.")],
    days: Annotated[
        float | None,
        typer.Option(min=0.001, help="Length; TIDEGAUGE_BASELINE_DAYS if not given."),
    ] = None,
    *,
    activate: Annotated[
        bool, typer.Option("--activate", help="Put it in force, whatever its differences.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a candidate from the last clean time, and show how it differs from the one in force."""
    settings, now = load(BaselineSettings), now_ms()
    length_ms = round((days or settings.days) * _DAY_MS)
    with _maker(quiet=as_json) as maker:
        draft = maker.draft(kind, Wish(how="renewed", start_ms=now - length_ms, end_ms=now))
        made = maker.publish(draft, activate=activate, note=_RENEWED)
    lines = _said(made)
    if not made.active:
        lines.append(f"put it in force with `tidegauge baseline activate {made.baseline_id}`")
    _print(made, lines, as_json=as_json)


def diff(
    older: Annotated[str, typer.Argument(help="Id of a baseline.")],
    newer: Annotated[str, typer.Argument(help="Id of another one of the same kind.")],
    *,
    as_json: Json = False,
) -> None:
    """Show by how much the levels, rates and topics of two baselines differ."""
    with _maker(quiet=as_json) as maker:
        found = compare_baselines(maker, load(KafkaSettings), older, newer)
    _print(found, [plain(sentence) for sentence in found.sentences], as_json=as_json)
