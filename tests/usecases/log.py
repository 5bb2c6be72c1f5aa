"""Sketches, alarms and requests, put on a log for the use cases to read."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

import msgspec
from tests.monitoring.conftest import Writer

from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Event, Segment, measures
from tidegauge.schemas.findings import Alert, Monitor, State
from tidegauge.schemas.topics import ALERTS, SKETCHES, VERDICTS, Topic
from tidegauge.streaming.processor import Output

__all__ = ["WINDOW_MS", "alarm", "put", "put_alarm", "put_tested", "put_windows"]

WINDOW_MS = 10_000


def put(kafka: KafkaSettings, topic: Topic, events: Iterable[tuple[int, Event]]) -> None:
    """Publish events with their times."""
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(topic, uuid4().hex, event, "test", uuid4().hex, time_ms)
            for time_ms, event in events
        )


def put_windows(  # noqa: PLR0913 - what a window holds
    kafka: KafkaSettings,
    segment: Segment,
    start_ms: int,
    count: int,
    *,
    latency_ms: float = 200.0,
    failed: int = 0,
) -> None:
    """Publish windows of ten responses each."""
    writer, producer = Writer("vitals"), uuid4().hex
    made = [
        msgspec.structs.replace(
            writer.sketch(
                place,
                segment=segment,
                values={
                    measures.COST_USD: [0.001 * (1 + (place + n) % 7) for n in range(10)],
                    measures.LATENCY_MS: [
                        latency_ms * (1 + 0.01 * ((place * 10 + n) % 23)) for n in range(10)
                    ],
                },
                hits={measures.ERROR: failed},
                trials={measures.ERROR: 10},
            ),
            producer_id=producer,
            window_start_ms=start_ms + place * WINDOW_MS,
            window_ms=WINDOW_MS,
        )
        for place in range(count)
    ]
    put(kafka, SKETCHES, [(one.window_start_ms + WINDOW_MS, one) for one in made])


def alarm(
    monitor: str, segment: Segment, onset_ms: int, raised_ms: int, ended_ms: int | None = None
) -> Alert:
    """Return an alarm that fires, or has ended."""
    named = Monitor.parse(monitor)
    identity = uuid4().hex[:16]
    return Alert(
        alert_id=identity,
        incident=identity,
        monitor=monitor,
        signal=named.signal,
        segment=segment,
        severity="warn",
        status="firing" if ended_ms is None else "resolved",
        starts_ms=raised_ms,
        time_ms=raised_ms if ended_ms is None else ended_ms,
        onset_ms=onset_ms,
        summary="It changed.",
        verdict=untested_verdict(MonitorKey(named, segment), State.WARN, "It changed.", raised_ms),
    )


def put_alarm(kafka: KafkaSettings, one: Alert) -> Alert:
    """Publish an alarm."""
    put(kafka, ALERTS, [(one.time_ms, one)])
    return one


def put_tested(
    kafka: KafkaSettings, monitor: str, segment: Segment, baseline: str, at: int
) -> None:
    """Publish a monitor's verdict that little evidence is gathered against a baseline."""
    said = untested_verdict(MonitorKey(Monitor.parse(monitor), segment), State.OK, "As usual.", at)
    tested = msgspec.structs.replace(said, baseline=baseline, log_statistic=1.0, log_threshold=20.0)
    put(kafka, VERDICTS, [(at, tested)])
