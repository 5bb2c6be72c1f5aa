"""Metrics of what the gateway captures: events captured and dropped, and what still waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tidegauge.capture.counters import Drop
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.status import RunStatus, status
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.topics import REQUESTS, RESPONSES

__all__ = ["CaptureCollector"]

_TOPICS: Final = (REQUESTS.name, RESPONSES.name)
_MOST_SEEN: Final = 4_096
"""Scrapes that are remembered: 17 hours at one every 15 s."""


class CaptureCollector:
    """Collects the state of capture at each scrape, from the outbox's files.

    Every topic and reason has a series from the start, so that a first drop is an increase.

    Args:
        recorder: A started recorder.
        now: A clock, seconds.
    """

    def __init__(self, recorder: Recorder, now: Callable[[], float]) -> None:
        self._recorder = recorder
        self._now = now
        self._seen: deque[tuple[float, int]] = deque(maxlen=_MOST_SEEN)

    def collect(self) -> Iterable[Metric]:
        """Yield events captured and dropped by this gateway, and what its folder holds."""
        yield from _counts(self._recorder.account(time_ms=0))
        runs = status(self._recorder.settings.directory)
        waiting = GaugeMetricFamily(
            "tidegauge_gateway_outbox_events",
            "Captured events in the outbox's folder that are not shipped yet.",
            value=sum(run.waiting for run in runs),
        )
        size = GaugeMetricFamily(
            "tidegauge_gateway_outbox_bytes",
            "Bytes that the outbox's folder holds, of all processes that share it.",
            value=sum(run.bytes for run in runs),
        )
        quota = GaugeMetricFamily(
            "tidegauge_gateway_outbox_quota_bytes",
            "Bytes that the outbox's folder may hold; events beyond are dropped.",
            value=self._recorder.settings.quota_bytes,
        )
        age = GaugeMetricFamily(
            "tidegauge_gateway_outbox_age_seconds",
            "Least age of the oldest event of this gateway that is not shipped; 0 if none waits.",
            value=self._age(runs),
        )
        yield from (waiting, size, quota, age)

    def _age(self, runs: Iterable[RunStatus]) -> float:
        """Return for how long an event has waited at least: since the scrape that saw it first."""
        now = self._now()
        mine = next((run for run in runs if run.producer_id == self._recorder.producer_id), None)
        if mine is None or not mine.waiting:
            self._seen.clear()
            return 0.0
        captured = sum(mine.captured.values())
        shipped = captured - mine.waiting
        if not self._seen or self._seen[-1][1] != captured:
            self._seen.append((now, captured))
        while self._seen[0][1] <= shipped:
            self._seen.popleft()
        return now - self._seen[0][0]


def _counts(counts: Heartbeat) -> Iterable[Metric]:
    captured = CounterMetricFamily(
        "tidegauge_gateway_captured_events",
        "Events that were appended to the outbox and not lost since.",
        labels=("topic",),
    )
    dropped = CounterMetricFamily(
        "tidegauge_gateway_dropped_events",
        "Events that were not captured, or were lost afterwards, by reason.",
        labels=("topic", "reason"),
    )
    for topic in _TOPICS:
        captured.add_metric((topic,), counts.captured.get(topic, 0))
        reasons = counts.dropped.get(topic, {})
        for reason in Drop:
            dropped.add_metric((topic, reason.value), reasons.get(reason.value, 0))
    return (captured, dropped)
