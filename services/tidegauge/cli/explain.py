"""``tidegauge explain``: what a verdict rests on; other topics, or the same ones served worse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from tidegauge.cli.control import checked_monitor, checked_segment, parse_duration
from tidegauge.cli.wrapping import print_json, say
from tidegauge.monitoring.mix_decomposition import ClusterShift, sentence
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.reports.drift_card import EffectLine, effect_line
from tidegauge.reports.formatting import count, moment, percent, points
from tidegauge.reports.standing import evidence, standing
from tidegauge.reports.text import clip, plain
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Verdict
from tidegauge.usecases.errors import UnexplainedError
from tidegauge.usecases.explain import Explanation, explain, latest_verdict

__all__ = ["app", "explanation_lines"]

app = typer.Typer(help="Explain a verdict: what it rests on, and what changed by topic.")

_SHOWN = 10


@app.command()
def explain_(
    monitor: Annotated[str, typer.Argument(help="Its name, such as quality.likelihood.")],
    segment: Annotated[
        str, typer.Option(help="Key of its segment; the one with the most evidence if not given.")
    ] = "",
    since: Annotated[str, typer.Option(help="How far back to look for its last verdict.")] = "1d",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Explain a verdict: what it rests on; other topics, or the same topics served worse?

    What is held to a baseline of rates (quality, latency, errors, cost) is broken down by topic,
    from the events of the baseline's time and of the time since the change.
    """
    kafka, now = load(KafkaSettings), now_ms()
    wanted = Segment.from_key(checked_segment(segment)) if segment else None
    verdict = latest_verdict(kafka, checked_monitor(monitor), wanted, now - parse_duration(since))
    found, reason = None, ""
    try:
        found = explain(kafka, verdict, now)
    except UnexplainedError as error:
        reason = str(error)
    if as_json:
        facts = {"verdict": verdict, "explanation": found, "not_by_topic": reason}
        print_json(facts | {"sentence": sentence(found.mix) if found else ""})
        return
    for line in explanation_lines(verdict, found, reason, now):
        say(line)


def explanation_lines(
    verdict: Verdict, found: Explanation | None, reason: str, now: int
) -> Iterator[str]:
    """Yield what a verdict rests on, a line each.

    Args:
        verdict: The verdict.
        found: The same by topic; None if it is not broken down.
        reason: Why it is not.
        now: The reader's moment, Unix milliseconds.
    """
    since = f", since about {moment(verdict.since_ms, now)}" if verdict.since_ms else ""
    state = f"{standing(verdict.state).word} at {moment(verdict.time_ms, now)}{since}"
    yield f"{plain(verdict.monitor)} on {clip(segment_title(verdict.segment), 200)}: {state}"
    yield f"  {clip(verdict.sentence, 900)}"
    told = evidence(verdict)
    if told is not None:
        yield f"  evidence: {told.sentence}"
    for effect in verdict.effects[:_SHOWN]:
        yield f"  {_effect(effect_line(effect))}"
    if found is None:
        yield f"not broken down by topic: {reason}"
        return
    yield f"by topic, of {plain(found.title)}: {sentence(found.mix)}"
    for shift in found.mix.clusters[:_SHOWN]:
        yield f"  {_shift(shift, found.titles.get(shift.cluster, str(shift.cluster)))}"


def _effect(line: EffectLine) -> str:
    current = "unknown" if line.current is None else percent(line.current)
    return (
        f"{plain(line.title)}: {current} now ({count(line.hits)} of {count(line.trials)}), "
        f"{percent(line.baseline)} before; {percent(line.low)} to {percent(line.high)} is normal"
    )


def _shift(shift: ClusterShift, title: str) -> str:
    rate = "none" if shift.current_rate is None else percent(shift.current_rate)
    return (
        f"{plain(title)}: share {percent(shift.reference_share)} then, "
        f"{percent(shift.current_share)} now; rate {percent(shift.reference_rate)} then, {rate} "
        f"now; its own rate adds {points(shift.conditional)} points, its share "
        f"{points(shift.mix)}"
    )
