from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from tidegauge.monitor.notify.notifier import MAX_AGE_MS, DeliveryMetrics, Notifier, Receiver
from tidegauge.monitor.notify.receivers import DeliveryError, DeliveryRefusedError
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.findings import Alert


class Log:
    """An alerts' topic in memory: what is not done with comes again."""

    def __init__(self, alerts: Sequence[Alert]) -> None:
        self.waiting = deque(alerts)
        self.before: list[Alert] = []
        self.broken = 0
        self.closed = 0

    def next(self, timeout_seconds: float) -> Alert | None:
        assert timeout_seconds > 0
        if self.broken:
            self.broken -= 1
            raise TidegaugeError("the broker is away")
        return self.waiting[0] if self.waiting else None

    def done(self) -> None:
        self.before.append(self.waiting.popleft())

    def sent(self, start_ms: int) -> Sequence[Alert]:
        if self.broken:
            self.broken -= 1
            raise TidegaugeError("the broker is away")
        return [alert for alert in self.before if alert.time_ms >= start_ms]

    def close(self) -> None:
        self.closed += 1


class Stop(Event):
    """Does not really wait; stops after so many waits."""

    def __init__(self, waits: int = 100) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._left = waits

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        if len(self.waited) >= self._left:
            self.set()
        return self.is_set()


class Ear:
    """A receiver that fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = deque(failures)
        self.heard: list[str] = []
        self.reminded: list[int] = []

    def send(self, alert: Alert, now_ms: int) -> None:
        assert now_ms > 0
        if self.failures:
            raise self.failures.popleft()
        self.heard.append(alert.alert_id)

    def remind(self, alerts: Sequence[Alert], now_ms: int) -> None:
        assert now_ms > 0
        self.reminded.append(len(alerts))


@pytest.fixture
def alerts(make_view: Callable[[], MonitorView]) -> tuple[Alert, ...]:
    return make_view().alerts


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def notifier(
    log: Log,
    receiver_up: Ear,
    now_ms: int,
    registry: CollectorRegistry,
    firing: Sequence[Alert] = (),
) -> Notifier:
    return Notifier(
        log,
        Receiver("webhook", receiver_up.send, remind=receiver_up.remind),
        firing=lambda: firing,
        now_ms=lambda: now_ms,
        metrics=DeliveryMetrics(registry),
    )


def outcome(registry: CollectorRegistry, name: str) -> float:
    labels = {"receiver": "webhook", "outcome": name}
    return registry.get_sample_value("tidegauge_notifications_total", labels) or 0.0


def test_alerts_arrive_in_order_and_are_done_with(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    log, receiver_up = Log(alerts), Ear()
    subject = notifier(log, receiver_up, now_ms, registry)
    for _ in range(3):
        subject.step(Stop())
    assert receiver_up.heard == [alert.alert_id for alert in alerts]
    assert not log.waiting
    assert outcome(registry, "delivered") == 2


def test_what_was_sent_before_a_start_is_recalled_once_and_not_sent_again(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    log, receiver_up = Log(alerts), Ear()
    notifier(log, receiver_up, now_ms, registry).step(Stop())
    log.broken = 1
    receiver, recalled = Ear(), list[Alert]()
    subject = Notifier(
        log,
        Receiver("chat", receiver.send, recall=recalled.append),
        firing=tuple,
        now_ms=lambda: now_ms,
        metrics=DeliveryMetrics(CollectorRegistry()),
    )
    with pytest.raises(TidegaugeError):
        subject.step(Stop())
    for _ in range(2):
        subject.step(Stop())
    assert recalled == [alerts[0]]
    assert receiver.heard == [alerts[1].alert_id]


def test_a_receiver_that_is_down_is_tried_again_ever_more_slowly(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    log, receiver_up, stop = Log(alerts[:1]), Ear(*[DeliveryError("down")] * 4), Stop()
    notifier(log, receiver_up, now_ms, registry).step(stop)
    assert stop.waited == [1.0, 2.0, 4.0, 8.0]
    assert receiver_up.heard == [alerts[0].alert_id]
    assert outcome(registry, "failed") == 4
    failures = registry.get_sample_value("tidegauge_notification_failures", {"receiver": "webhook"})
    assert failures == 0


def test_what_is_undelivered_at_the_end_comes_again(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    log, receiver_down = Log(alerts), Ear(*[DeliveryError("down")] * 9)
    notifier(log, receiver_down, now_ms, registry).run(Stop(waits=3))
    assert len(log.waiting) == 2
    assert log.closed == 1
    receiver_up = Ear()
    notifier(log, receiver_up, now_ms, CollectorRegistry()).step(Stop())
    assert receiver_up.heard == [alerts[0].alert_id]


def test_a_refused_alert_does_not_hold_up_the_next(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    log, receiver_up = Log(alerts), Ear(DeliveryRefusedError("not like this"))
    subject = notifier(log, receiver_up, now_ms, registry)
    subject.step(Stop())
    subject.step(Stop())
    assert receiver_up.heard == [alerts[1].alert_id]
    assert outcome(registry, "refused") == 1


def test_old_news_is_passed_over(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    old = msgspec.structs.replace(alerts[0], time_ms=now_ms - MAX_AGE_MS - 1)
    log, receiver_up = Log([old]), Ear()
    notifier(log, receiver_up, now_ms, registry).step(Stop())
    assert (receiver_up.heard, list(log.waiting)) == ([], [])
    assert outcome(registry, "outdated") == 1


def test_a_broker_that_is_away_is_waited_for(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    log, receiver_up, stop = Log(alerts[:1]), Ear(), Stop(waits=3)
    log.broken = 3
    notifier(log, receiver_up, now_ms, registry).run(stop)
    assert stop.waited == [1.0, 2.0, 4.0]
    assert log.closed >= 3


def test_a_receiver_that_forgets_is_reminded_of_what_fires(
    alerts: tuple[Alert, ...], now_ms: int, registry: CollectorRegistry
) -> None:
    receiver_up = Ear()
    subject = notifier(Log(()), receiver_up, now_ms, registry, firing=alerts)
    subject.step(Stop())
    subject.step(Stop())
    assert receiver_up.reminded == [2], "once a minute is enough"
