from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import msgspec

from tidegauge.detection.reference import Reference
from tidegauge.monitor.loop import BaselineLoadingProcessor, source_of
from tidegauge.monitor.notify.alert_log import KafkaAlertLog
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import decode
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.topics import ALERTS
from tidegauge.streaming.processor import Output

EXAMPLES = Path(__file__).parents[2] / "schemas" / "tidegauge" / "schemas" / "examples"
EXAMPLE = decode((EXAMPLES / "tidegauge.alert.json").read_bytes(), Alert)


class NoBaselines:
    """A store without any baseline."""

    def active(self, kind: BaselineKind) -> str | None:
        assert kind in {"drift", "rates"}
        return None

    def references(
        self, kind: BaselineKind, baseline_id: str
    ) -> Mapping[str, Mapping[str, Reference]]:
        raise AssertionError(f"{kind} {baseline_id}")


def publish(settings: KafkaSettings, name: str, group: str) -> None:
    alert = msgspec.structs.replace(EXAMPLE, alert_id=name)
    with Publisher(settings) as publisher:
        publisher.publish([Output(ALERTS, name, alert, source_of(group), name, alert.time_ms)])


def _read(settings: KafkaSettings, group: str, before: list[str]) -> list[str]:
    for name in before:
        publish(settings, name, "monitor" if name.startswith("main") else "side")
    found = []
    log = KafkaAlertLog(settings, f"{group}-{uuid4().hex[:6]}", source_of(group))
    with closing(log):
        while (alert := log.next(timeout_seconds=3)) is not None:
            found.append(alert.alert_id)
            log.done()
    return found


def test_a_monitor_sends_its_own_alarms_and_none_of_one_beside_it(kafka: KafkaSettings) -> None:
    assert _read(kafka, "monitor", ["main-1", "side-1", "main-2"]) == ["main-1", "main-2"]
    assert _read(kafka, "side", []) == ["side-1"]


def test_what_was_done_with_is_what_was_sent(kafka: KafkaSettings) -> None:
    name = f"monitor-{uuid4().hex[:6]}"
    for alert_id in ("sent-1", "sent-2", "sent-3"):
        publish(kafka, alert_id, name)
    with closing(KafkaAlertLog(kafka, name, source_of(name))) as log:
        assert log.sent(0) == ()
        while (alert := log.next(timeout_seconds=3)) is not None and alert.alert_id != "sent-3":
            log.done()
    with closing(KafkaAlertLog(kafka, name, source_of(name))) as log:
        assert [alert.alert_id for alert in log.sent(0)] == ["sent-1", "sent-2"]
        assert log.sent(4_000_000_000_000) == (), "all of it was said before"


def test_what_a_monitor_beside_another_publishes_bears_its_name() -> None:
    for group in ("monitor", "side"):
        monitor = MonitorProcessor(MonitorPlan(expected=("drift",), silent_ms=1))
        processor = BaselineLoadingProcessor(monitor, NoBaselines(), source_of(group))
        processor.tick(1_000)
        outputs = processor.tick(100_000).outputs
        assert outputs
        assert {output.source for output in outputs} == {source_of(group)}
    assert source_of("monitor") != source_of("side")
