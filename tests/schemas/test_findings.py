from __future__ import annotations

import math

import msgspec
import pytest

from tidegauge.schemas import DecodeError, Segment, decode, encode
from tidegauge.schemas.errors import MonitorNameError
from tidegauge.schemas.findings import Effect, Monitor, State, Verdict


def effect() -> Effect:
    return Effect(
        indicator="cluster/0",
        title="refunds",
        baseline_rate=0.1,
        low=0.05,
        high=0.15,
        hits=4,
        trials=9,
        rate_low=0.2,
        rate_high=0.8,
        share=0.5,
    )


def verdict() -> Verdict:
    return Verdict(
        monitor="drift.topics",
        signal="drift",
        segment=Segment(model="m"),
        time_ms=1,
        state=State.OK,
        sentence="Nothing unusual.",
        log_statistic=1.0,
        log_threshold=2.0,
        mean_seconds_to_false_alarm=math.exp(2.0),
        effects=(effect(),),
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "field", ["baseline_rate", "low", "high", "rate_low", "rate_high", "share"]
)
def test_an_effect_holds_finite_numbers(field: str, number: float) -> None:
    with pytest.raises(ValueError, match=rf"effect of cluster/0: {field} must be finite"):
        msgspec.structs.replace(effect(), **{field: number})


@pytest.mark.parametrize("field", ["log_statistic", "log_threshold", "mean_seconds_to_false_alarm"])
def test_a_verdict_holds_finite_numbers(field: str) -> None:
    with pytest.raises(ValueError, match=rf"verdict of drift.topics: {field} must be finite"):
        msgspec.structs.replace(verdict(), **{field: math.nan})


def test_what_a_verdict_holds_is_read_back_and_a_share_of_null_is_not() -> None:
    written = encode(verdict())
    assert decode(written, Verdict) == verdict()
    with pytest.raises(DecodeError, match="share"):
        decode(written.replace(b'"share":0.5', b'"share":null'), Verdict)


@pytest.mark.parametrize(
    ("name", "monitor"),
    [
        ("latency.first_token", Monitor("latency", "first_token")),
        ("quality.judge.with.dots", Monitor("quality", "judge.with.dots")),
        ("swap.errors", Monitor("swap", "errors")),
        ("swap.quality.likelihood.fluency", Monitor("swap", "quality", "likelihood.fluency")),
        ("pipeline.judge.rubric", Monitor("pipeline", "judge", "rubric")),
        ("pipeline.statistics.errors.rate", Monitor("pipeline", "statistics", "errors.rate")),
    ],
)
def test_a_monitor_is_read_back_from_its_name(name: str, monitor: Monitor) -> None:
    assert Monitor.parse(name) == monitor
    assert monitor.name == name


@pytest.mark.parametrize("name", ["", "latency", "latency.", "weather.rain", ".total"])
def test_what_is_no_monitor_is_named(name: str) -> None:
    with pytest.raises(MonitorNameError, match="expected a signal") as refused:
        Monitor.parse(name)
    assert repr(name) in str(refused.value)
