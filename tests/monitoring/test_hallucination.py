"""The share of answers that say what their context does not hold: baseline, alarm, silence."""

from __future__ import annotations

import msgspec
import pytest
from tests.monitoring.conftest import Harness, Traffic

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.findings import State
from tidegauge.schemas.sketches import Exemplar, Sketch

LABEL = "support@12345678"
MONITOR = "quality.hallucination"


def window(  # noqa: PLR0913 - what differs between windows
    traffic: Traffic, number: int, n: int, rate: float, *, label: str = LABEL, without: int = 0
) -> Sketch:
    """Draw answers, some of them without a context, of which nothing can be said."""
    hits = {measures.grounding_checked(label): n} if n else {}
    if unsupported := int(traffic.rng.binomial(n, rate)):
        hits[measures.hallucinated(label)] = unsupported
    return msgspec.structs.replace(
        traffic.writers["quality"].sketch(number, values={}, hits=hits, events=n + without),
        totals={measures.CONTEXT: {"given": n, "none": without}},
    )


def baseline(traffic: Traffic, *, qualified: bool = True) -> RatesBaseline:
    sketches = [traffic.vitals(number, 20) for number in range(-300, 0)]
    for number in range(-300, 0):
        one = window(traffic, number, 6, 0.05, without=4)
        sketches.append(one if qualified else unqualified(one))
    built = build_rates_baseline(sketches)
    return RatesBaseline.from_bytes(built.to_bytes(), "rates-1")


def unqualified(sketch: Sketch) -> Sketch:
    hits = {**sketch.hits, measures.unqualified(LABEL): 6}
    return msgspec.structs.replace(sketch, hits=hits)


def watch(harness: Harness, traffic: Traffic, built: RatesBaseline, *windows: Sketch) -> None:
    harness.monitor.use("rates", "rates-1", built.references, harness.now_ms)
    for number, sketch in enumerate(windows):
        harness.give(sketch, traffic.writers["quality"].progress(number + 1))


def test_it_alarms_when_more_answers_invent(harness: Harness, traffic: Traffic) -> None:
    quiet = [window(traffic, number, 6, 0.05, without=4) for number in range(40)]
    worse = [window(traffic, number, 6, 0.5, without=4) for number in range(40, 80)]
    watch(harness, traffic, baseline(traffic), *quiet, *worse)
    alerts = harness.alerts(MONITOR)
    assert [alert.status for alert in alerts][:1] == ["firing"]
    assert alerts[0].time_ms > traffic.start_of(40)
    assert "More answers say what their context does not hold" in alerts[0].verdict.sentence
    assert "answers with facts that their context does not hold" in alerts[0].verdict.sentence


def test_an_alarm_shows_answers_that_invent(harness: Harness, traffic: Traffic) -> None:
    quiet = [window(traffic, number, 6, 0.05) for number in range(40)]
    kept = Exemplar(
        request_id="r1",
        rank=0.1,
        text="How long?",
        customer="acme",
        context="It takes 3 days.",
        answer="9 days.",
        reason="not in the context: 9 days",
    )
    name = measures.worst(LABEL, measures.HALLUCINATION)
    worse = [
        msgspec.structs.replace(window(traffic, number, 6, 0.6), exemplars={name: (kept,)})
        for number in range(40, 80)
    ]
    watch(harness, traffic, baseline(traffic), *quiet, *worse)
    (shown, *_) = harness.alerts(MONITOR)[0].verdict.evidence
    assert (shown.judge, shown.score, shown.worst) == (LABEL, measures.HALLUCINATION, (kept,))


def test_more_answers_without_a_context_are_no_change(harness: Harness, traffic: Traffic) -> None:
    quiet = [window(traffic, number, 6, 0.05, without=4) for number in range(40)]
    without = [window(traffic, number, 0, 0.0, without=30) for number in range(40, 60)]
    rest = [window(traffic, number, 6, 0.05, without=100) for number in range(60, 100)]
    watch(harness, traffic, baseline(traffic), *quiet, *without, *rest)
    assert not harness.alerts(MONITOR)
    ends = [verdict.time_ms for verdict in harness.verdicts(MONITOR)]
    assert not [end for end in ends if traffic.start_of(41) <= end <= traffic.start_of(60)]
    (found,) = {effect.trials for effect in harness.verdicts(MONITOR)[-1].effects} or {0}
    assert found <= 6 * 80


@pytest.mark.parametrize("changed", ["support@99999999"])
def test_another_version_of_the_check_is_not_compared(
    harness: Harness, traffic: Traffic, changed: str
) -> None:
    sketches = [window(traffic, number, 6, 0.9, label=changed) for number in range(20)]
    watch(harness, traffic, baseline(traffic), *sketches)
    assert {verdict.state for verdict in harness.verdicts(MONITOR)} == {State.NO_BASELINE}


def test_an_unqualified_check_has_no_reference_and_no_alarm(
    harness: Harness, traffic: Traffic
) -> None:
    built = baseline(traffic, qualified=False)
    assert built.unqualified == ("support",)
    assert MONITOR not in built.references
    watch(harness, traffic, built, unqualified(window(traffic, 0, 6, 0.9)))
    (verdict,) = harness.verdicts(MONITOR)
    assert verdict.state == State.UNQUALIFIED
    assert "raises no alarm" in verdict.sentence
