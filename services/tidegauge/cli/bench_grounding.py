"""``tidegauge bench grounding``: how well unsupported claims are told from supported ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

from tidegauge.adapters.vllm import VllmClient
from tidegauge.cli.wrapping import print_json
from tidegauge.demo.vllm_environment import ensure_environment
from tidegauge.demo.vllm_server import SERVED_NAMES, VllmServer, ensure_model
from tidegauge.reports.formatting import count
from tidegauge.runtime.processes.deployment import free_port
from tidegauge.usecases.measure_grounding import (
    GroundingPair,
    GroundingResults,
    measure_grounding,
    read_pairs,
)

__all__ = ["grounding"]

_TIMEOUT_SECONDS: Final = 300.0
_TITLES: Final = {
    "length": "length alone (shorter is better)",
    "word_overlap": "word overlap",
    "unsupported_facts": "number of unsupported facts",
    "support": "check without a model",
    "explained": "share explained by the context",
    "lowest_tokens": "lowest tenth of the tokens",
    "groundedness": "groundedness: model and check",
}


def grounding(  # noqa: PLR0913 - the options
    *,
    data: Annotated[
        Path,
        typer.Option(
            help='Labelled claims, a JSON object a line: {"context", "claim", "grounded"}.'
        ),
    ],
    with_model: Annotated[
        bool, typer.Option("--model/--no-model", help="Whether a model reads the pairs too.")
    ] = True,
    url: Annotated[
        str,
        typer.Option(
            help="A vLLM server that reads them; without it, the demo's small model is started "
            "on this machine."
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="The model's name on that server.")] = SERVED_NAMES[1],
    sample: Annotated[
        int | None, typer.Option(min=2, help="Most pairs, drawn with a fixed seed.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="File of what the model has read of each pair: a run that was interrupted goes on."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Measure how well each built-in way tells supported from unsupported claims.

    The measure is the area under the curve: the probability that a supported claim scores above
    an unsupported one, beside that of length alone and of word overlap. It has to reach .75, and
    .05 above word overlap. Ends with status 1 where a bar is missed.
    """
    pairs = read_pairs(data, sample=sample)
    console = Console(stderr=True, markup=False, highlight=False)
    found = (
        _measured(pairs, url, name, keep=keep, console=console)
        if with_model
        else asyncio.run(measure_grounding(pairs))
    )
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(_lines(found)))
    raise typer.Exit(0 if all(bar.met for bar in found.bars) else 1)


def _measured(
    pairs: Sequence[GroundingPair], url: str, name: str, *, keep: Path | None, console: Console
) -> GroundingResults:
    with ExitStack() as stack:
        if not url:
            environment = ensure_environment(console.print)
            model = ensure_model(console.print)
            server = VllmServer(model, free_port(), environment=environment)
            console.print(f"starting vLLM on the CPU with SmolLM2-135M (log: {server.log_file})")
            url = stack.enter_context(server).url
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("reading pairs", total=len(pairs))

        async def run() -> GroundingResults:
            async with VllmClient(url, timeout_seconds=_TIMEOUT_SECONDS) as client:
                return await measure_grounding(
                    pairs,
                    client=client,
                    model=name,
                    keep=keep,
                    done=lambda finished: progress.update(task, completed=finished),
                )

        return asyncio.run(run())


def _lines(found: GroundingResults) -> Iterator[str]:
    yield f"{count(found.pairs)} pairs, {count(found.grounded)} of them supported"
    yield "Area under the curve, with its 95% interval"
    for way, area in found.auroc.items():
        low, high = found.intervals[way]
        yield f"  {_TITLES[way]:34} {area:.3f} ({low:.3f} to {high:.3f})"
    yield (
        f"An unsupported fact is found in {found.flagged:.1%} of the unsupported claims and in "
        f"{found.flagged_wrongly:.1%} of the supported ones."
    )
    if found.unread:
        yield f"{count(found.unread)} pairs were not read by the model: they count with the mean."
    for bar in found.bars:
        verdict = "met   " if bar.met else "MISSED"
        yield f"{verdict} {bar.name}: {bar.found:.3f}, limit {bar.limit:g}"
