"""``tidegauge status``: the digest of a shift, read from the log; needs no monitor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from tidegauge.cli.control import Json, parse_duration
from tidegauge.cli.wrapping import print_json, say
from tidegauge.monitoring.incidents import Incident, IncidentSummary, incidents
from tidegauge.reports.formatting import duration, moment
from tidegauge.reports.runbooks import runbook
from tidegauge.reports.standing import standing
from tidegauge.reports.text import clip
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.findings import Verdict
from tidegauge.usecases.latest_verdicts import latest_verdicts
from tidegauge.usecases.past_alerts import past_alerts

__all__ = ["app", "digest"]

app = typer.Typer(help="What fires and what has fired: the digest of a shift.")

_SENTENCE = 400


@app.command()
def status(
    since: Annotated[
        str, typer.Option(help="What has ended is told from then on: 30m, 12h, 3d.")
    ] = "12h",
    *,
    as_json: Json = False,
) -> None:
    """Tell what fires now, and what has fired since: the digest of a shift.

    What fires is told however old it is. Reads the log of alerts and the newest verdicts;
    needs no monitor.
    """
    kafka, now = load(KafkaSettings), now_ms()
    found = told_incidents(kafka, now - parse_duration(since))
    if as_json:
        print_json([IncidentSummary.of(incident) for incident in found])
        return
    for line in digest(found, latest_verdicts(kafka, now), now, parse_duration(since)):
        say(line)


def told_incidents(kafka: KafkaSettings, start_ms: int) -> tuple[Incident, ...]:
    """Return the incidents that fire, and those that have ended since a moment.

    Args:
        kafka: How to reach Kafka.
        start_ms: The moment, Unix milliseconds.

    Raises:
        TopicError: There is no topic of alerts.
        LogError: The broker does not answer.
    """
    return tuple(
        found
        for found in incidents(past_alerts(kafka))
        if found.fires or max(alarm.time_ms for alarm in found.alarms) >= start_ms
    )


def digest(
    found: Sequence[Incident], verdicts: Sequence[Verdict], now: int, since_ms: int
) -> Iterator[str]:
    """Yield the lines of the digest.

    Args:
        found: The incidents, those that fire first.
        verdicts: The newest verdicts; none where no monitor has reported lately.
        now: The present, Unix milliseconds.
        since_ms: How far back the digest goes, milliseconds.
    """
    firing = [incident for incident in found if incident.fires]
    ended = [incident for incident in found if not incident.fires]
    yield (
        f"{_number(firing, 'incident')} firing, {len(ended)} ended in the last "
        f"{duration(since_ms / 1000)}"
    )
    for incident in found:
        yield ""
        yield from _incident_lines(incident, now)
    yield ""
    if not verdicts:
        yield "No monitor has reported in the last 10 min: nothing is known of what it tests."
        return
    states = Counter(v.state for v in verdicts if v.signal not in {"pipeline", "swap"})
    ordered = sorted(states.items(), key=lambda item: (-item[1], item[0]))
    counted = ", ".join(f"{n} {standing(state).word}" for state, n in ordered)
    yield f"Monitors: {counted or 'none'}"
    for verdict in verdicts:
        if verdict.signal == "pipeline" and verdict.state != "ok":
            yield f"Pipeline: {clip(verdict.sentence, _SENTENCE)}"


def _incident_lines(incident: Incident, now: int) -> Iterator[str]:
    state = incident.severity if incident.fires else "ended"
    yield f"{state}: {clip(incident.title(now), _SENTENCE)}"
    ago = duration((now - incident.onset.time_ms) / 1000)
    owner = clip(incident.owner, 60)
    if incident.fires:
        yield f"  began {ago} ago; {f'{owner} has it' if owner else 'nobody has it'}"
    else:
        over = max(alarm.time_ms for alarm in incident.alarms)
        yield f"  began {ago} ago, ended {moment(over, now)}"
    for alarm in incident.alarms:
        yield f"  {alarm.severity if alarm.fires else 'ended'} {alarm.monitor}: " + clip(
            alarm.summary, _SENTENCE
        )
    if incident.fires:
        yield f"  next: {runbook(incident.alarms[0].monitor).actions[0]}"
    yield f"  page: /i/{incident.incident_id}"


def _number(found: Sequence[Incident], word: str) -> str:
    return f"{len(found)} {word}{'' if len(found) == 1 else 's'}"
