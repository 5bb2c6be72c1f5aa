"""The commands, each importing what it runs only when it is run."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tidegauge.cli.errors import MissingExtraError
from tidegauge.runtime.environment import refuse_unknown

__all__ = ["EXTRAS", "SUBCOMMANDS", "app"]

SUBCOMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "acknowledge": (
            "tidegauge.cli.acknowledge",
            "Say that you have an alarm: it goes on firing, in your name.",
        ),
        "alerts": (
            "tidegauge.cli.alerts",
            "The alarms that fire, and with --since those that have ended.",
        ),
        "baseline": ("tidegauge.cli.baseline", "Build, list, show and activate what is normal."),
        "bench": ("tidegauge.cli.bench", "Measure tidegauge itself, on traffic of your own."),
        "close": (
            "tidegauge.cli.close",
            "Close an alarm: it ends, and its monitor starts again without evidence.",
        ),
        "bill": (
            "tidegauge.cli.bill",
            "What the servers' time and the tokens cost, and whose it was.",
        ),
        "dead-letters": (
            "tidegauge.cli.dead_letters",
            "Records that could not be processed, kept whole with the reason.",
        ),
        "erase": (
            "tidegauge.cli.erase",
            "Erase the texts of one request, one conversation or one customer.",
        ),
        "explain": (
            "tidegauge.cli.explain",
            "Take a verdict apart: other topics, or the same topics served worse?",
        ),
        "judge": (
            "tidegauge.cli.judge",
            "List the judges of answers, try one on a file, and qualify one.",
        ),
        "keys": ("tidegauge.cli.keys", "Make, list and revoke the gateway's client keys."),
        "ledger": ("tidegauge.cli.ledger", "Whether every served request is accounted for."),
        "labels": (
            "tidegauge.cli.labels",
            "Import people's labels, and compare the judges with them.",
        ),
        "logs": ("tidegauge.cli.logs", "Summarise the gateway's request log."),
        "lookup": (
            "tidegauge.cli.lookup",
            "Show a request and its answer while the log holds them.",
        ),
        "monitors": (
            "tidegauge.cli.monitors",
            "What each monitor says of each segment, alarms first.",
        ),
        "outbox": ("tidegauge.cli.outbox", "What producers have left to ship, and ship it."),
        "replay": (
            "tidegauge.cli.replay",
            "Measure a stretch of the past again, changing nothing.",
        ),
        "report": ("tidegauge.cli.report", "Compare two ranges of traffic in an HTML report."),
        "silence": (
            "tidegauge.cli.silence",
            "Mute a monitor for a while: it goes on testing and raises no alert.",
        ),
        "status": (
            "tidegauge.cli.status",
            "What fires and what has fired: the digest of a shift.",
        ),
        "test-alert": (
            "tidegauge.cli.try_alert",
            "Send a test alert to every receiver, and end it again.",
        ),
        "topics": ("tidegauge.cli.topics", "Create the topics on the broker, and list them."),
    }
)
"""Command -> module that holds its ``app``, and what it is for."""

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "tidegauge.gateway.main": "gateway",
        "tidegauge.workers.drift.main": "drift",
        "tidegauge.workers.vitals.main": "vitals",
        "tidegauge.workers.judge.main": "judge",
        "tidegauge.monitor.main": "monitor",
        "tidegauge.cli.baseline": "drift,vitals",
        "tidegauge.cli.bench": "drift,vitals,monitor",
        "tidegauge.cli.bill": "gateway,monitor",
        "tidegauge.cli.erase": "monitor",
        "tidegauge.cli.explain": "drift,monitor",
        "tidegauge.cli.judge": "judge",
        "tidegauge.cli.labels": "judge",
        "tidegauge.cli.alerts": "monitor",
        "tidegauge.cli.ledger": "monitor",
        "tidegauge.cli.monitors": "monitor",
        "tidegauge.cli.status": "monitor",
        "tidegauge.cli.try_alert": "monitor",
        "tidegauge.cli.replay": "drift,vitals,judge,monitor",
        "tidegauge.cli.report": "reports,monitor",
        "tidegauge.cli.keys": "gateway",
        "tidegauge.demo.run": "demo",
    }
)
"""Module -> the extras of the distribution that bring what it imports."""


class _Lazy(TyperGroup):
    """A group whose sub-commands are imported when they are named."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own, private type
        """Return every command's name, in order."""
        return sorted({*super().list_commands(ctx), *SUBCOMMANDS})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        """Return a command to list: a sub-command's stand-in, since its module is not needed."""
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        _, purpose = SUBCOMMANDS[cmd_name]
        stand_in = typer.Typer(add_completion=False)
        stand_in.command(cmd_name, help=purpose)(lambda: None)
        return typer.main.get_command(stand_in)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as above
        """Return the command to run, importing its module if it is a sub-command's."""
        name = args[0]
        if name not in SUBCOMMANDS:
            return super().resolve_command(ctx, args)
        module, _ = SUBCOMMANDS[name]
        command = typer.main.get_command(_load(module).app)
        command.name = name
        return name, command, args[1:]


app = typer.Typer(
    name="tidegauge",
    cls=_Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Watch a service that is built on a language model: latency, quality, drift, errors, "
    "cost, with alarms whose error rates are stated.",
)
worker = typer.Typer(no_args_is_help=True, help="Run one of the workers until it is stopped.")
app.add_typer(worker, name="worker")


def _load(module: str) -> Any:  # noqa: ANN401 - a module's attributes have no static type
    """Import a module, or say which extra brings what it lacks."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.startswith("tidegauge"):
            raise
        raise MissingExtraError(module, missing, EXTRAS.get(module, "all")) from error


def _run(module: str) -> None:
    run: Callable[[], None] = _load(module).run
    run()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegauge {version('tidegauge')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Check what every command relies on before it runs."""
    if context.invoked_subcommand != "doctor":  # it names unknown variables beside all else
        refuse_unknown(os.environ)


@app.command()
def gateway() -> None:
    """Run the OpenAI-compatible gateway (TIDEGAUGE_GATEWAY_… set it)."""
    _run("tidegauge.gateway.main")


@app.command()
def monitor() -> None:
    """Run the monitor: verdicts, alerts, the page and the metrics (TIDEGAUGE_MONITOR_…)."""
    _run("tidegauge.monitor.main")


@worker.command()
def drift() -> None:
    """Embed requests and sketch their topics (TIDEGAUGE_DRIFT_…)."""
    _run("tidegauge.workers.drift.main")


@worker.command()
def vitals() -> None:
    """Sketch latency, errors, tokens and cost (TIDEGAUGE_VITALS_…)."""
    _run("tidegauge.workers.vitals.main")


@worker.command()
def judge() -> None:
    """Sample answers and ask the judges (TIDEGAUGE_JUDGE_…)."""
    _run("tidegauge.workers.judge.main")


@app.command()
def up(
    logs: Annotated[Path, typer.Option(help="Folder of the services' logs.")] = Path(
        "tidegauge-logs"
    ),
) -> None:
    """Run gateway, workers and monitor together, against a broker and a model of yours."""
    _load("tidegauge.cli.up").up(logs, os.environ)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print facts for machines.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Look at this part alone: machine, settings, kafka, upgrade, models or embedder; "
            "may be repeated."
        ),
    ] = None,
) -> None:
    """Ask every part whether it does what will be asked of it, and say what to do if not.

    Ends with status 1 if something does harm, and 2 if something that is needed does not work.
    """
    status: int = _load("tidegauge.cli.doctor").doctor(os.environ, as_json=as_json, only=only or ())
    raise typer.Exit(status)


@app.command()
def demo(
    prompts: Annotated[
        str | None,
        typer.Option(help='Your own prompts: a JSONL file of {"text": …, "topic": …}.'),
    ] = None,
    leave: Annotated[
        bool,
        typer.Option("--exit", help="End after the summary; status 0 if every promise was kept."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Which topics are held out, and the order.")] = 7,
    folder: Annotated[
        str, typer.Option(help="Where logs, data and the summary go.")
    ] = "build/demo",
) -> None:
    """Show the whole pipeline on this machine: a baseline, a shift of topics, a worse model."""
    status: int = _load("tidegauge.demo.run").run(
        prompts_file=prompts, leave=leave, seed=seed, folder=folder, environment=os.environ
    )
    raise typer.Exit(status)
