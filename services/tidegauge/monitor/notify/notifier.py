"""Delivery of alerts to people's tools: at least once and in order, without slowing the monitor.

Each receiver has a notifier with a thread and a committed position in the alerts' topic of its
own. A receiver that is down delays neither other receivers nor the monitor, and an alert that was
not delivered when the process ended is delivered after it starts again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from tidegauge.monitor.notify.receivers import DeliveryRefusedError, NotifyError, backoff_seconds
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.findings import Alert

__all__ = ["AlertLog", "DeliveryMetrics", "Notifier", "Receiver"]

_log = structlog.get_logger(__name__)

MAX_AGE_MS = 86_400_000
"""Alerts older than a day are not delivered any more; they are logged."""

RECALLED_MS = 30 * 86_400_000
"""How far back a receiver's memory of what it was sent reaches after a start."""

REMIND_SECONDS = 60.0
_PAUSE_SECONDS = 0.5


class AlertLog(Protocol):
    """The alerts' topic with a position that outlives the process."""

    def next(self, timeout_seconds: float) -> Alert | None:
        """Return the first alert that is not done with, None if none comes in time.

        Raises:
            TidegaugeError: The log cannot be reached.
        """

    def done(self) -> None:
        """Move the position past the alert that ``next`` returned last.

        Raises:
            TidegaugeError: The log cannot be reached.
        """

    def sent(self, start_ms: int) -> Sequence[Alert]:
        """Return the alerts before the position, oldest first.

        Args:
            start_ms: Leave out earlier ones, Unix milliseconds.

        Raises:
            TidegaugeError: The log cannot be reached.
        """

    def close(self) -> None:
        """Let go of the log; ``next`` opens it again."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told.

    Attributes:
        name: A word for metrics and logs.
        send: Delivers one alert at a time (now in Unix milliseconds), or raises NotifyError.
        remind: Repeats what fires; None for none.
        recall: Takes note of an alert that was sent before a start; None where nothing depends
            on it.
        forgets: Whether what is not repeated ends there, so that silenced alarms are repeated,
            too.
    """

    name: str
    send: Callable[[Alert, int], None]
    remind: Callable[[Sequence[Alert], int], None] | None = None
    recall: Callable[[Alert], None] | None = None
    forgets: bool = True


class DeliveryMetrics:
    """Counts deliveries, by receiver."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outcomes = Counter(
            "tidegauge_notifications_total",
            "Attempts to deliver alerts: delivered, failed, refused or outdated.",
            ["receiver", "outcome"],
            registry=registry,
        )
        self.waiting = Gauge(
            "tidegauge_notification_failures",
            "Attempts that have failed in a row for the alert that is to be delivered.",
            ["receiver"],
            registry=registry,
        )


class Notifier:
    """Takes alerts from the log to one receiver.

    Args:
        log: Where alerts come from.
        receiver: Who is told.
        firing: Returns what fires now.
        now_ms: The clock, Unix milliseconds.
        metrics: Counts deliveries.
    """

    def __init__(
        self,
        log: AlertLog,
        receiver: Receiver,
        *,
        firing: Callable[[], Sequence[Alert]],
        now_ms: Callable[[], int],
        metrics: DeliveryMetrics,
    ) -> None:
        self._log = log
        self._receiver = receiver
        self._firing = firing
        self._now_ms = now_ms
        self._metrics = metrics
        self._reminded_ms = 0
        self._recalled = receiver.recall is None
        self._broken = 0
        metrics.waiting.labels(receiver.name).set(0)

    def run(self, stop: Event) -> None:
        """Deliver until told to stop; what is undelivered then stays in the log."""
        while not stop.is_set():
            try:
                self.step(stop)
                self._broken = 0
            except TidegaugeError as error:
                self._broken += 1
                _log.warning(
                    "alerts_unreadable", receiver=self._receiver.name, error=str(error)[:500]
                )
                self._log.close()
                stop.wait(backoff_seconds(self._broken))
        self._log.close()

    def step(self, stop: Event) -> None:
        """Deliver the next alert, if there is one, and remind the receiver when it is time.

        Raises:
            TidegaugeError: The log cannot be reached.
        """
        self._recall()
        alert = self._log.next(_PAUSE_SECONDS)
        if alert is not None and self._deliver(alert, stop):
            self._log.done()
        self._remind()

    def _recall(self) -> None:
        if self._recalled or self._receiver.recall is None:
            return
        for alert in self._log.sent(self._now_ms() - RECALLED_MS):
            self._receiver.recall(alert)
        self._recalled = True

    def _deliver(self, alert: Alert, stop: Event) -> bool:
        """Try until it is taken or refused; return False when told to stop before."""
        name = self._receiver.name
        if self._now_ms() - alert.time_ms > MAX_AGE_MS:
            self._metrics.outcomes.labels(name, "outdated").inc()
            _log.info("alert_outdated", receiver=name, alert=alert.alert_id)
            return True
        failures = 0
        while not stop.is_set():
            try:
                self._receiver.send(alert, self._now_ms())
            except DeliveryRefusedError as error:
                self._metrics.outcomes.labels(name, "refused").inc()
                _log.error(
                    "alert_refused", receiver=name, alert=alert.alert_id, error=str(error)[:500]
                )
                break
            except NotifyError as error:
                failures += 1
                self._metrics.outcomes.labels(name, "failed").inc()
                self._metrics.waiting.labels(name).set(failures)
                wait = backoff_seconds(failures)
                _log.warning(
                    "alert_undelivered",
                    receiver=name,
                    alert=alert.alert_id,
                    error=str(error)[:500],
                    again_in_seconds=wait,
                )
                stop.wait(wait)
            else:
                self._metrics.outcomes.labels(name, "delivered").inc()
                break
        else:
            return False
        self._metrics.waiting.labels(name).set(0)
        return True

    def _remind(self) -> None:
        now_ms = self._now_ms()
        if self._receiver.remind is None or now_ms - self._reminded_ms < 1000 * REMIND_SECONDS:
            return
        self._reminded_ms = now_ms
        firing = self._firing()
        if not firing:
            return
        try:
            self._receiver.remind(firing, now_ms)
        except NotifyError as error:
            self._metrics.outcomes.labels(self._receiver.name, "failed").inc()
            _log.warning(
                "reminder_undelivered", receiver=self._receiver.name, error=str(error)[:500]
            )
