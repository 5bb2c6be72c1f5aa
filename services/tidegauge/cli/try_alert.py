"""``tidegauge test-alert``: an alert that means nothing, to see whether it reaches people."""

from __future__ import annotations

import time
from typing import Annotated
from uuid import uuid4

import msgspec
import typer

from tidegauge.cli.control import Json, parse_duration
from tidegauge.cli.wrapping import print_json
from tidegauge.monitoring.catalog import ALL_TRAFFIC
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.findings import Alert, Severity, State, Verdict
from tidegauge.schemas.topics import ALERTS
from tidegauge.streaming.processor import Output

__all__ = ["app", "made_up_alert"]

app = typer.Typer(help="Send a test alert to every receiver, and end it again.")

_MONITOR = "pipeline.test"
_SENTENCE = "This is a test: nothing is wrong, and nothing has to be done."


@app.command()
def try_alert(
    severity: Annotated[str, typer.Option(help="info, warn or critical.")] = "warn",
    duration: Annotated[
        str, typer.Option("--for", help="How long it fires: 30s, 5m; receivers may wait a while.")
    ] = "1m",
    *,
    as_json: Json = False,
) -> None:
    """Send a test alert to every receiver, and end it again.

    It takes the way of every alert: the log, the monitor's notifiers, webhook and
    Alertmanager. No monitor alarms, and no page shows it.
    """
    kafka, alert = load(KafkaSettings), made_up_alert(_severity(severity), now_ms())
    seconds = parse_duration(duration) / 1000
    _publish(kafka, alert)
    if not as_json:
        typer.echo(f"test alert {alert.alert_id} fires ({alert.severity}), for {duration}")
    try:
        time.sleep(seconds)
    finally:
        ended = msgspec.structs.replace(alert, status="resolved", time_ms=now_ms())
        _publish(kafka, ended)
    if as_json:
        print_json([alert, ended])
    else:
        typer.echo("and has ended")


def made_up_alert(severity: Severity, time_ms: int) -> Alert:
    """Return an alert that says that it is a test.

    Args:
        severity: How loud.
        time_ms: When it begins, Unix milliseconds.
    """
    verdict = Verdict(
        monitor=_MONITOR,
        signal="pipeline",
        segment=ALL_TRAFFIC,
        time_ms=time_ms,
        state=State(severity),
        sentence=_SENTENCE,
    )
    identity = f"test-{uuid4().hex[:12]}"
    return Alert(
        alert_id=identity,
        monitor=_MONITOR,
        signal="pipeline",
        segment=ALL_TRAFFIC,
        severity=severity,
        status="firing",
        starts_ms=time_ms,
        time_ms=time_ms,
        summary=_SENTENCE,
        verdict=verdict,
        incident=identity,
    )


def _severity(text: str) -> Severity:
    for known in ("info", "warn", "critical"):
        if text == known:
            return known
    raise typer.BadParameter("a severity is info, warn or critical", param_hint="--severity")


def _publish(kafka: KafkaSettings, alert: Alert) -> None:
    output = Output(
        topic=ALERTS,
        key=alert.alert_id,
        event=alert,
        source="tidegauge/cli",
        event_id=f"{alert.alert_id} {alert.status}",
        time_ms=alert.time_ms,
    )
    with Publisher(kafka) as publisher:
        publisher.publish([output])
