"""More load, longer answers and load that was never seen are said, and raise no alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.monitoring.verdict_details import load_findings, normal_load
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.exchange import ResponseEvent, Usage
from tidegauge.schemas.findings import State, Verdict
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.window import SketchOrigin, Window, WindowKey
from tidegauge.vitals.customers import Customers
from tidegauge.vitals.extractor import measure_response

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

SEGMENT = Segment(model="m", version="v1", route="/chat")
MINUTE = 60_000


def minute(  # noqa: PLR0913 - what a minute is like
    rng: np.random.Generator,
    start_ms: int,
    *,
    requests: int = 30,
    load: float = 6.0,
    tokens: float = 100.0,
    slower: float = 1.0,
) -> Sketch:
    """Draw a minute of a server whose tokens take longer the more requests are in flight."""
    window = Window(0.01, 0)
    for number in range(requests):
        in_flight = int(rng.poisson(load))
        output = max(1, int(rng.lognormal(np.log(tokens), 0.3)))
        each = slower * (10 + 1.5 * in_flight) * rng.lognormal(0, 0.15)
        first = 5 * each
        event = ResponseEvent(
            request_id=f"{start_ms}/{number}",
            producer_id="g",
            sequence=number + 1,
            time_ms=start_ms,
            segment=SEGMENT,
            customer="acme",
            status=200,
            latency_ms=first + output * each,
            time_to_first_token_ms=first,
            usage=Usage(input_tokens=100, output_tokens=output),
            stream=True,
            in_flight=in_flight,
        )
        window.add(measure_response(event, Customers(1)), number, late=False)
    origin = SketchOrigin("vitals", "vitals/responses.v1-0", Partition("responses.v1", 0), MINUTE)
    key = WindowKey(start_ms, SEGMENT, "")
    return window.sketch(key, origin, sequence=1, looked_at=[measures.ERROR])


@pytest.fixture(scope="module")
def baseline() -> RatesBaseline:
    rng = np.random.default_rng(1)
    past = [minute(rng, index * MINUTE, load=2 + 6 * (index % 2)) for index in range(120)]
    document = build_rates_baseline(past).to_bytes()
    return RatesBaseline.from_bytes(document, "rates-1")


def verdicts(
    traffic: Traffic, baseline: RatesBaseline, minutes: int = 30, **change: float
) -> list[Verdict]:
    rng = np.random.default_rng(2)
    harness = traffic.harness(window_ms=MINUTE)
    first = traffic.start_of(0) // MINUTE * MINUTE
    harness.monitor.use("rates", "rates-1", baseline.references, first)
    writer = traffic.writers["vitals"]
    for index in range(minutes):
        sketch = minute(rng, first + index * MINUTE, **change)  # type: ignore[arg-type] # by name
        end = sketch.window_start_ms + MINUTE
        writer.sequence += 1
        sketch = msgspec.structs.replace(sketch, sequence=writer.sequence)
        harness.give(sketch, msgspec.structs.replace(writer.progress(1), watermark_ms=end))
    return harness.verdicts("latency.total")


def test_more_load_is_a_finding_and_no_alarm(traffic: Traffic, baseline: RatesBaseline) -> None:
    found = verdicts(traffic, baseline, requests=60, load=8.0)
    assert {verdict.state for verdict in found} == {State.OK}
    assert "More load is offered: 1.00 requests a second" in found[-1].sentence


def test_longer_answers_are_a_finding_and_no_alarm(
    traffic: Traffic, baseline: RatesBaseline
) -> None:
    found = verdicts(traffic, baseline, tokens=150.0)
    assert {verdict.state for verdict in found} == {State.OK}
    assert "Answers are longer: 1" in found[-1].sentence


def test_a_slower_service_is_an_alarm_at_the_same_load(
    traffic: Traffic, baseline: RatesBaseline
) -> None:
    found = verdicts(traffic, baseline, slower=1.25, load=6.0)
    assert found[-1].state == State.WARN
    assert "At the same load and lengths, answers take 1.2 times as long." in found[-1].sentence
    assert "More load is offered" not in found[-1].sentence


def test_load_that_was_never_seen_is_said_and_not_tested(
    traffic: Traffic, baseline: RatesBaseline
) -> None:
    found = verdicts(traffic, baseline, load=60.0)
    assert {verdict.state for verdict in found} == {State.NO_DATA}
    assert "Load that the baseline has not seen: 100%" in found[-1].sentence


def test_more_in_flight_without_more_arriving_is_told_apart(baseline: RatesBaseline) -> None:
    reference = baseline.references["latency.total"][SEGMENT.key]
    rng = np.random.default_rng(3)
    recent = [minute(rng, index * MINUTE, load=12.0) for index in range(10)]
    (said,) = load_findings(reference, recent, borrowed=False)
    assert said.startswith("More requests are in flight, though no more arrive: 1")
    assert load_findings(reference, recent, borrowed=True) == ()


def test_a_baseline_of_less_than_an_hour_knows_no_normal_load() -> None:
    rng = np.random.default_rng(4)
    assert normal_load([minute(rng, index * MINUTE) for index in range(45)]) == {}
