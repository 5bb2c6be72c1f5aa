"""``tidegauge judge``: list the judges, try one on a file, and qualify one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidegauge.cli.wrapping import print_json, say
from tidegauge.quality.golden_set import GOOD
from tidegauge.quality.qualification import area_under_curve
from tidegauge.quality.specifications import ClassifierSpec, RubricSpec, Specification
from tidegauge.reports.formatting import number
from tidegauge.reports.text import clip
from tidegauge.runtime.settings import load
from tidegauge.usecases.try_judge import TriedJudge, TriedScore, qualify_judge, try_judge
from tidegauge.workers.judge.judge_files import (
    WITHOUT_RUBRIC,
    GoldenLine,
    built_in_rubrics,
    read_golden_answers,
    read_lines,
    specification,
    specifications,
)
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="List the judges of answers, try one on exchanges of your own, and qualify one. The "
    "judges' server is that of the TIDEGAUGE_JUDGE_ variables.",
)

Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Url = Annotated[str, typer.Option(help="The judges' server; that of the settings by default.")]
Model = Annotated[str, typer.Option(help="The model; that of the settings by default.")]

_SHOWN = 60
_PARTS = {"answer": "text", "tool_calls": "tool calls"}
"""Part of an exchange -> how it is said of an answer."""


@app.command("list")
def list_judges(*, as_json: Json = False) -> None:
    """List the judges that can be asked: those of the settings, and the built-in ones."""
    settings = load(JudgeSettings)
    asked = specifications(settings)
    others = [name for name in (*WITHOUT_RUBRIC, *built_in_rubrics()) if name not in asked]
    every = [*asked.values(), *(specification(name, settings) for name in others)]
    if as_json:
        facts = [_facts(each, asked=each.name in asked) for each in every]
        print_json(facts)
        return
    for each in every:
        state = "asked" if each.name in asked else "not asked"
        has = " and ".join(_PARTS.get(part, part) for part in each.applies_to.has)
        kinds = ", ".join(each.qualified_on).replace("_", " ")
        say(
            f"{each.name} ({state}): scores {each.unit}s with {has}; qualified on {kinds}; "
            f"specification {each.specification_hash[:8]}"
        )


@app.command("try")
def try_rubric(  # noqa: PLR0913 - options of a command
    rubric: Annotated[
        str, typer.Argument(help="A YAML file with a rubric, or a judge's name; see `judge list`.")
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON lines: question, answer, and where there are kind, system, context, "
            "reference, tool_calls, messages (the conversation before)."
        ),
    ],
    *,
    url: Url = "",
    model: Model = "",
    reasons: Annotated[
        bool, typer.Option("--reasons", help="Ask a rubric's judge for its reasons as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a judge score the exchanges of a file.

    Where lines have a kind, good or what is bad about the answer, the end says how well the
    scores tell the kinds from good answers.
    """
    settings = _settings(url, model)
    judge = specification(rubric, settings)
    lines = read_lines(file)
    found = try_judge(settings, judge, [line.exchange for line in lines], reasons=reasons)
    scored = list(zip(lines, found, strict=True))
    if as_json:
        print_json(
            [
                {"question": line.question, "answer": line.answer, "kind": line.kind}
                | msgspec.to_builtins(each)
                for line, each in scored
            ]
        )
        return
    for line, each in scored:
        typer.echo(_score_line(line, each))
    typer.echo("\n".join(_separations(lines, found)))


@app.command()
def qualify(
    file: Annotated[
        str,
        typer.Argument(
            help="A YAML file with a rubric, a judge's name, or golden answers (.jsonl) for all "
            "judges of the settings."
        ),
    ],
    *,
    golden: Annotated[
        Path | None, typer.Option(help="Golden answers of your own, beside the built-in ones.")
    ] = None,
    url: Url = "",
    model: Model = "",
    as_json: Json = False,
) -> None:
    """Test whether a judge tells good from bad golden answers; the exit status is 1 if not.

    Only a qualified judge raises alarms.
    """
    settings = _settings(url, model)
    golden = golden or settings.golden_set_file
    if file.endswith(".jsonl"):
        golden, judges = Path(file), tuple(specifications(settings).values())
    else:
        judges = (specification(file, settings),)
    own = read_golden_answers(golden) if golden else ()
    found = [qualify_judge(settings, judge, own) for judge in judges]
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(line for each in found for line in _qualification_lines(each)))
    if not all(each.qualified for each in found):
        raise typer.Exit(1)


def _settings(url: str, model: str) -> JudgeSettings:
    given = {"url": url, "model": model}
    settings = load(JudgeSettings)
    return settings.model_copy(update={name: value for name, value in given.items() if value})


def _kind(each: Specification) -> str:
    if isinstance(each, RubricSpec):
        return "rubric"
    return "classifier" if isinstance(each, ClassifierSpec) else "likelihood"


def _facts(each: Specification, *, asked: bool) -> dict[str, object]:
    return {
        "judge": each.name,
        "kind": _kind(each),
        "asked": asked,
        "model": each.model,
        "version": each.version,
        "unit": each.unit,
        "specification_hash": each.specification_hash,
        "has": each.applies_to.has,
        "qualified_on": each.qualified_on,
    }


def _score_line(line: GoldenLine, each: TriedScore) -> str:
    scores = ", ".join(f"{name} {number(value)}" for name, value in each.scores.items())
    mass = "" if each.label_mass is None else f" (label mass {number(each.label_mass)})"
    kind = f" [{clip(line.kind, 30)}]" if line.kind else ""
    asked, said = clip(line.question, _SHOWN), clip(line.answer or line.tool_calls or "", _SHOWN)
    result = scores or f"no score: {clip(each.invalid or '', 200)}"
    reason = f"\n  {clip(each.reason, 600)}" if each.reason else ""
    return f"{result}{mass}{kind}  {asked} -> {said}{reason}"


def _separations(lines: tuple[GoldenLine, ...], found: list[TriedScore]) -> Iterator[str]:
    scored = [each for each in found if each.scores]
    yield f"{len(scored)} of {len(found)} scored"
    for name in dict.fromkeys(name for each in scored for name in each.scores):
        by_kind: dict[str, list[float]] = {}
        for line, each in zip(lines, found, strict=True):
            if line.kind and name in each.scores:
                by_kind.setdefault(line.kind, []).append(each.scores[name])
        good = by_kind.pop(GOOD, [])
        for kind, values in by_kind.items():
            if good:
                area = number(area_under_curve(good, values))
                yield f"{name}: area under the curve {area} for {clip(kind, 40)}"


def _qualification_lines(found: TriedJudge) -> Iterator[str]:
    verdict = "qualified" if found.qualified else f"not qualified: {found.why_not}"
    yield f"{found.judge} {found.specification_hash[:8]} on {clip(found.model, 80)}: {verdict}"
    for each in found.qualification.separations:
        sign = "yes" if each.qualified else "no"
        yield (
            f"  {each.kind} by {each.score}: {sign}, area under the curve {number(each.area)}, "
            f"at least {number(each.low)} ({each.good} good, {each.bad} bad answers)"
        )
