"""Controls for the monitor: what ``acknowledge``, ``close`` and ``silence`` have in common."""

from __future__ import annotations

import getpass
import re
from typing import Annotated, Literal, get_args

import msgspec
import typer

from tidegauge.cli.errors import CommandError, NotFoundError
from tidegauge.cli.wrapping import print_json
from tidegauge.monitoring.alert_store import key_of, matches
from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.reports.text import clip
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Signal, State
from tidegauge.schemas.operations import Control
from tidegauge.schemas.topics import CONTROLS
from tidegauge.streaming.processor import Output
from tidegauge.usecases.latest_verdicts import latest_verdicts
from tidegauge.usecases.past_alerts import past_alerts

__all__ = [
    "Json",
    "Monitor",
    "Note",
    "OnSegment",
    "Who",
    "checked_monitor",
    "checked_segment",
    "login",
    "parse_duration",
    "publish",
    "publish_plain",
]

Monitor = Annotated[
    str,
    typer.Argument(help="Its name, such as latency.total; * stands for anything, as in latency.*"),
]
OnSegment = Annotated[
    str,
    typer.Option(
        "--segment", help="Key of the segment, model/version/route/customer; * stands for anything."
    ),
]
Who = Annotated[str, typer.Option("--who", help="Your name; the login's if not given.")]
Note = Annotated[str, typer.Option("--note", help="Why.")]
Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]

_DURATION = re.compile(r"(\d{1,6})\s*([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST = 80
_NAMED = 6


def parse_duration(text: str) -> int:
    """Return a duration in milliseconds.

    Raises:
        CommandError: It is none.

    Example:
        >>> parse_duration("2h")
        7200000
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise CommandError(f"{text[:_LONGEST]!r} is no duration: write 30m, 2h or 1d")
    return 1000 * int(found[1]) * _SECONDS[found[2]]


def checked_monitor(name: str) -> str:
    """Return a monitor's name or pattern.

    Raises:
        CommandError: No monitor can have it.
    """
    signals = get_args(Signal)
    word = name.partition(".")[0]
    if "*" not in word and (word not in signals or "." not in name):
        raise CommandError(
            f"there is no monitor {name[:_LONGEST]!r}: its first word is one of "
            f"{', '.join(signals)}, such as latency.total or quality.*"
        )
    return name


def checked_segment(key: str) -> str:
    """Return a segment's key or pattern.

    Raises:
        CommandError: It is neither.
    """
    if "*" not in key:
        try:
            Segment.from_key(key)
        except ValueError as error:
            raise CommandError(f"--segment: {error}, or use *") from error
    return key


def publish(control: Control, *, who: str) -> Control:
    """Publish a control in a person's name.

    Raises:
        LogError: The broker does not answer, or did not take it.
    """
    named = msgspec.structs.replace(control, who=who or login())
    key = f"{named.monitor} {named.segment}"
    output = Output(
        topic=CONTROLS,
        key=key,
        event=named,
        source="tidegauge/cli",
        event_id=f"{named.action} {key} {named.time_ms}",
        time_ms=named.time_ms,
    )
    with Publisher(load(KafkaSettings)) as publisher:
        publisher.publish([output])
    return named


def login() -> str:
    """Return the name of who is logged in; empty where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return ""


def publish_plain(  # noqa: PLR0913 - one argument for each option
    action: Literal["acknowledge", "close"],
    monitor: str,
    segment: str,
    who: str,
    note: str,
    *,
    as_json: bool,
) -> None:
    """Publish a control that has nothing but a note, and print what was done.

    Raises:
        CommandError: The monitor or the segment is none, or Kafka cannot be reached.
        NotFoundError: No alarm fires there, so that there is nothing to do.
    """
    control = Control(
        action=action,
        monitor=checked_monitor(monitor),
        segment=checked_segment(segment),
        time_ms=now_ms(),
        note=note,
    )
    firing = _firing(control)
    meant = [key for key in firing if matches(control, key)]
    if not meant:
        others = ", ".join(sorted({clip(key.monitor.name, 60) for key in firing})[:_NAMED])
        raise NotFoundError(
            f"no alarm of {control.monitor} on {control.segment} fires, so there is nothing to "
            f"{action}: "
            + (f"what fires is of {others}, see 'tidegauge alerts'" if others else "none fires")
        )
    said = publish(control, who=who)
    alarms = "1 alarm" if len(meant) == 1 else f"{len(meant)} alarms"
    words = f"{action}d: {said.monitor} on {said.segment} ({alarms}), by {said.who or 'no name'}"
    if as_json:
        print_json(said)
    else:
        typer.echo(words)


def _firing(control: Control) -> set[MonitorKey]:
    """Return what fires; to be closed, also what has changed without being an alarm."""
    kafka = load(KafkaSettings)
    found = {key_of(alert) for alert in past_alerts(kafka) if alert.fires}
    if control.action == "close":
        verdicts = latest_verdicts(kafka, control.time_ms)
        found |= {key_of(verdict) for verdict in verdicts if verdict.state == State.INFO}
    return found
