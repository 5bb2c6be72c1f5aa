from __future__ import annotations

from tidegauge.monitoring.alert_store import Controls
from tidegauge.schemas.operations import Control

KEY = ("latency.total", "m/v1//")


def silence(monitor: str, until_ms: int | None, time_ms: int = 0) -> Control:
    return Control(
        action="silence", monitor=monitor, segment="*", time_ms=time_ms, until_ms=until_ms
    )


def test_a_silence_holds_until_its_end() -> None:
    controls = Controls()
    assert controls.add(silence("latency.*", 100))
    assert controls.silenced(KEY, 99)
    assert not controls.silenced(KEY, 100)
    assert not controls.silenced(("errors.rate", "m/v1//"), 99)


def test_the_last_word_counts() -> None:
    controls = Controls()
    controls.add(silence("latency.*", None))
    controls.add(silence("latency.*", 5, time_ms=5))
    assert not controls.silenced(KEY, 6)
    assert controls.in_force(6) == ()


def test_the_same_word_twice_is_heard_once() -> None:
    control = Control(action="acknowledge", monitor="*", segment="*", time_ms=1)
    controls = Controls()
    assert controls.add(control)
    assert not controls.add(control)
    assert not Controls(controls.state()).add(control)
