from __future__ import annotations

from tidegauge.monitoring.alert_store import Controls
from tidegauge.monitoring.catalog import ERRORS_RATE, LATENCY_TOTAL, MonitorKey
from tidegauge.schemas import Segment
from tidegauge.schemas.operations import Control

SEGMENT = Segment(model="m", version="v1")
KEY = MonitorKey(LATENCY_TOTAL, SEGMENT)


def silence(monitor: str, until_ms: int | None, time_ms: int = 0) -> Control:
    return Control(
        action="silence", monitor=monitor, segment="*", time_ms=time_ms, until_ms=until_ms
    )


def test_a_silence_holds_until_its_end() -> None:
    controls = Controls()
    assert controls.add(silence("latency.*", 100))
    assert controls.silenced(KEY, 99)
    assert not controls.silenced(KEY, 100)
    assert not controls.silenced(MonitorKey(ERRORS_RATE, SEGMENT), 99)


def test_the_latest_control_counts() -> None:
    controls = Controls()
    controls.add(silence("latency.*", None))
    controls.add(silence("latency.*", 5, time_ms=5))
    assert not controls.silenced(KEY, 6)
    assert controls.in_force(6) == ()


def test_the_same_control_twice_is_stored_once() -> None:
    control = Control(action="close", monitor="*", segment="*", time_ms=1)
    controls = Controls()
    assert controls.add(control)
    assert not controls.add(control)
    assert not Controls(controls.state()).add(control)
