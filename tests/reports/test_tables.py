"""Tables and sentences made of sketches and verdicts."""

from __future__ import annotations

import doctest
import math

import msgspec
import pytest

from tidegauge.reports import sparkline as sparklines
from tidegauge.reports import standing as standings
from tidegauge.reports.drift_card import card, effect_line, total_variation
from tidegauge.reports.quality import Estimate, quality
from tidegauge.reports.sparkline import sparkline
from tidegauge.reports.standing import evidence, overall, standing
from tidegauge.reports.vitals import REST, cost, errors, timings
from tidegauge.schemas import measures
from tidegauge.schemas.findings import Callers, CallerShare, Effect, State, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Exemplar, Sketch, SketchKind, SourceRange
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import moments_of

NOW = 1_700_000_000_000
SEGMENT = Segment(model="chat", version="v1")
JUDGE = "likelihood@9f86d081"


def sketch(kind: SketchKind = "vitals", **changes: object) -> Sketch:
    empty = Sketch(
        kind=kind,
        producer_id="p",
        sequence=1,
        segment=SEGMENT,
        window_start_ms=0,
        window_ms=10_000,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=0),
        events=0,
    )
    return msgspec.structs.replace(empty, **changes)


def verdict(**changes: object) -> Verdict:
    found = Verdict(
        monitor="drift.topics",
        signal="drift",
        segment=SEGMENT,
        time_ms=NOW,
        state=State.WARN,
        sentence="People ask something else.",
    )
    return msgspec.structs.replace(found, **changes)


def effect(**changes: object) -> Effect:
    found = Effect(
        indicator="cluster/17",
        title="card, lost, stolen",
        baseline_rate=0.02,
        low=0.01,
        high=0.04,
        hits=50,
        trials=200,
        rate_low=0.19,
        rate_high=0.32,
        share=0.8,
    )
    return msgspec.structs.replace(found, **changes)


def test_examples() -> None:
    assert doctest.testmod(sparklines).failed == 0
    assert doctest.testmod(standings).failed == 0


def test_quantiles_are_those_of_the_numbers_within_one_percent() -> None:
    numbers = [float(number) for number in range(1, 1_001)]
    found = sketch(
        histograms={measures.LATENCY_MS: histogram.add(histogram.empty(), numbers)}, events=1_000
    )
    (latency,) = timings(found)
    assert latency.n == 1_000
    assert latency.p50 == pytest.approx(500, rel=0.012)
    assert latency.p95 == pytest.approx(950, rel=0.012)
    assert latency.p99 == pytest.approx(990, rel=0.012)


def test_what_was_not_measured_has_no_quantile() -> None:
    (latency,) = timings(sketch())
    assert (latency.name, latency.n, latency.p95) == ("latency_ms", 0, None)


def test_errors_are_a_rate_of_what_the_service_could_have_got_right() -> None:
    found = errors(
        sketch(
            events=100,
            hits={measures.ERROR: 4, measures.failed("refusal"): 2},
            trials={measures.ERROR: 80, measures.failed("refusal"): 76},
            totals={measures.ERRORS_BY_KIND: {"rate_limited": 20, "upstream_timeout": 4}},
        )
    )
    assert (found.requests, found.trials, found.failed, found.rate) == (100, 80, 4, 0.05)
    assert found.low == pytest.approx(0.0138, abs=0.0005)
    assert found.high == pytest.approx(0.1231, abs=0.0005)
    assert [(kind.name, kind.count, kind.share) for kind in found.kinds] == [
        ("rate_limited", 20, 0.2),
        ("upstream_timeout", 4, 0.04),
    ]
    (refusal,) = found.checks
    assert refusal.rate == pytest.approx(2 / 76)


def test_no_requests_have_no_error_rate() -> None:
    found = errors(sketch())
    assert (found.rate, found.low, found.high) == (None, None, None)


def test_cost_is_exact_by_customer_and_the_rest_is_summed_up() -> None:
    requests = {f"c{number:02}": number for number in range(1, 21)}
    found = cost(
        sketch(
            events=210,
            moments={measures.COST_USD: moments_of([0.001] * 210)},
            totals={
                measures.REQUESTS_BY_CUSTOMER: requests,
                measures.COST_NANOUSD_BY_CUSTOMER: {
                    name: number * 1_000_000 for name, number in requests.items()
                },
            },
        ),
        customers=3,
    )
    assert found.requests_per_usd == pytest.approx(1_000)
    assert [line.name for line in found.customers] == ["c20", "c19", "c18", f"{REST} (17)"]
    assert sum(line.requests for line in found.customers) == 210
    assert sum(line.usd for line in found.customers) == pytest.approx(0.21)


def test_without_a_price_there_is_no_cost() -> None:
    found = cost(sketch(events=5, totals={measures.REQUESTS_BY_CUSTOMER: {"acme": 5}}))
    assert (found.usd, found.requests_per_usd) == (None, None)
    assert found.customers[0].requests == 5


def test_each_judge_and_epoch_stands_for_itself() -> None:
    def estimator(found: Sketch, label: str, name: str) -> Estimate:
        weight = found.moments[measures.weight(label)]
        weighted = found.moments[measures.weighted(label, name)]
        return Estimate(weighted.total / weight.total, None, None, 1.0)

    other = "likelihood@00000000"
    found = quality(
        sketch(
            "quality",
            events=10,
            moments={
                measures.weight(JUDGE): moments_of([2.0, 2.0]),
                measures.weighted(JUDGE, "fluency"): moments_of([2.0, 4.0]),
                measures.cross(JUDGE, "fluency"): moments_of([4.0, 8.0]),
                measures.answer_tokens(JUDGE): moments_of([10.0, 30.0]),
                measures.disagreement(JUDGE): moments_of([0.25, 0.75]),
                measures.weight(other): moments_of([1.0]),
                measures.weighted(other, "fluency"): moments_of([0.5]),
                measures.cross(other, "fluency"): moments_of([0.5]),
            },
            hits={measures.unqualified(other): 1, measures.invalid("rubric@aaaaaaaa"): 3},
            trials={
                measures.unqualified(JUDGE): 2,
                measures.unqualified(other): 1,
                measures.invalid("rubric@aaaaaaaa"): 3,
            },
        ),
        answers=20,
        estimator=estimator,
    )
    assert [judge.label for judge in found] == [other, JUDGE, "rubric@aaaaaaaa"]
    assert [judge.qualified for judge in found] == [False, True, None]
    assert [judge.share for judge in found] == [0.05, 0.1, 0.0]
    assert found[1].scores[0].estimate.mean == 1.5
    assert found[1].answer_tokens == 20
    assert [(judge.jury, judge.disagreement) for judge in found] == [(0, None), (2, 0.5), (0, None)]
    assert (found[2].judged, found[2].invalid, found[2].scores) == (0, 3, ())


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ([State.OK, State.CRITICAL, State.WARN], State.CRITICAL),
        ([State.OK, State.UNQUALIFIED], State.OK),
        ([State.NO_DATA, State.LOW_DATA], State.LOW_DATA),
        ([State.UNQUALIFIED, State.NO_BASELINE], State.NO_BASELINE),
        ([], None),
    ],
)
def test_a_signal_is_as_loud_as_its_loudest_monitor(
    states: list[State], together: State | None
) -> None:
    assert overall(states) == together


def test_every_state_has_words() -> None:
    assert all(standing(state).meaning.endswith(".") for state in State)
    assert len({standing(state).word for state in State}) == len(State)


def test_evidence_says_what_the_threshold_promises() -> None:
    threshold = math.log(30 * 86_400)
    tested = verdict(
        log_statistic=threshold / 2,
        log_threshold=threshold,
        mean_seconds_to_false_alarm=30 * 86_400.0,
    )
    half = evidence(tested)
    assert half is not None
    assert half.share == pytest.approx(0.5)
    assert "50% of the threshold" in half.sentence
    assert "once in 30 days" in half.sentence
    beyond = evidence(msgspec.structs.replace(tested, log_statistic=threshold + math.log(2)))
    assert beyond is not None
    assert beyond.share == 1.0
    assert beyond.sentence.startswith("above the threshold")
    assert "once in 60 days" in beyond.sentence


@pytest.mark.parametrize("statistic", [-1e300, -5.0, 0.0, 5_000.0])
def test_any_statistic_has_a_share_between_none_and_all(statistic: float) -> None:
    found = evidence(
        verdict(log_statistic=statistic, log_threshold=15.0, mean_seconds_to_false_alarm=3e6)
    )
    assert found is not None
    assert 0 <= found.share <= 1


def test_nothing_tested_has_no_evidence() -> None:
    assert evidence(verdict(log_statistic=None)) is None


def test_a_card_tells_since_when_how_much_and_how_it_could_be_wrong() -> None:
    quotes = tuple(
        Exemplar(request_id=f"r{n}", rank=n / 9, text="lost\u202e card " * 200, customer=who)
        for n, who in enumerate(("acme", "acme", "globex"))
    )
    found = card(
        verdict(
            since_ms=NOW - 600_000,
            log_statistic=20.0,
            log_threshold=15.0,
            mean_seconds_to_false_alarm=math.exp(15.0),
            effects=(
                effect(exemplars=quotes),
                effect(
                    indicator="cluster/2",
                    hits=20,
                    baseline_rate=0.2,
                    share=0.1,
                    callers=Callers(
                        hits=40,
                        trials=200,
                        shares=(CallerShare(customer="acme", hits=30, trials=50, apart=True),),
                    ),
                ),
                effect(indicator="novelty/above_0.99", share=0.05),
            ),
        ),
        now_ms=NOW,
        false_alarm_days=30,
    )
    assert found.since == "since about 22:03:20 UTC, 10 min ago"
    assert found.total_variation == pytest.approx((0.23 + 0.1) / 2)
    assert found.leading is found.effects[1]
    assert found.effects[1].callers is not None
    assert found.effects[1].callers.lines[0].of_these.share == 0.75
    first = found.effects[0]
    assert first.ratio == pytest.approx(12.5)
    assert "\u202e" not in first.quotes[0].text
    assert first.quotes[0].text.endswith("(2,200 characters)")
    said = " ".join(found.doubt)
    assert "true rate of “card, lost, stolen” is still between 1% and 4%" in said
    assert "50 of 200 requests" in said
    assert "At most one false alarm in 30 days" in said
    assert "knows no times of day" in said


@pytest.mark.parametrize(
    ("season", "unknown"),
    [("none", "no times of day"), ("hour-of-day", "no days of the week"), ("hour-of-week", None)],
)
def test_a_card_says_which_times_its_baseline_cannot_tell_apart(
    season: str, unknown: str | None
) -> None:
    found = card(verdict(season=season), now_ms=NOW, false_alarm_days=30)
    known = [line for line in found.doubt if line.startswith("This baseline knows")]
    assert len(known) == (unknown is not None)
    assert all(str(unknown) in line for line in known)


def test_a_property_that_the_baseline_never_had_is_new() -> None:
    line = effect_line(effect(baseline_rate=0.0, low=0.0))
    assert line.ratio == math.inf
    assert effect_line(effect(hits=0, trials=0, rate_low=0.0, rate_high=1.0)).ratio is None


def test_a_bar_stays_inside_its_box() -> None:
    for found in (effect(), effect(hits=200, rate_high=1.0), effect(high=1.0), effect(trials=0)):
        scale = effect_line(found).scale
        assert scale.band_start + scale.band_width <= 100
        assert scale.now_start + scale.now_width <= 100
        assert 0 <= scale.now <= 100


def test_without_clusters_there_is_no_total_variation() -> None:
    assert total_variation([effect(indicator="language/de")]) is None


def test_an_unknown_number_leaves_a_gap() -> None:
    line = sparkline([1.0, 2.0, None, 3.0, None, 4.0, 5.0], width=64, height=20)
    assert len(line.strokes) == 2
    assert len(line.dots) == 1
    assert (line.least, line.most, line.known) == (1.0, 5.0, 5)


def test_nothing_known_draws_nothing() -> None:
    line = sparkline([None, None])
    assert (line.strokes, line.dots, line.last, line.known) == ((), (), None, 0)


def test_a_flat_line_stays_in_the_box() -> None:
    for value in (0.0, 7.0, -7.0):
        line = sparkline([value] * 3, width=40, height=20, from_zero=value == 0)
        assert all(0 <= float(point.split(",")[1]) <= 20 for point in line.strokes[0].split())
