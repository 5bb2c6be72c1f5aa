from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas import Segment, measures
from tidegauge.schemas.exchange import ErrorKind, InterToken, Message, ResponseEvent, Usage
from tidegauge.streaming.extractor import Origin
from tidegauge.streaming.processor import Partition
from tidegauge.vitals.customers import Customers
from tidegauge.vitals.extractor import VitalsExtractor, measure_response

ANSWERED = ResponseEvent(
    request_id="r1",
    producer_id="g1",
    sequence=2,
    time_ms=1_000,
    segment=Segment(model="m", version="v1", route="/chat"),
    customer="acme",
    status=200,
    latency_ms=812.5,
    messages=(Message(role="system", content="Be kind."), Message(role="user", content="Hi")),
    output="Hello",
    output_characters=5,
    prompt_characters=10,
    finish_reason="stop",
    checks={"truncated": "passed", "refusal": "failed"},
    time_to_first_token_ms=90.0,
    inter_token=InterToken(mean_ms=20.0, p95_ms=31.0, max_ms=50.0),
    usage=Usage(input_tokens=12, output_tokens=30),
    cost_usd=0.000123456789,
)


def changed(**fields: object) -> ResponseEvent:
    return msgspec.structs.replace(ANSWERED, **fields)


def test_an_answer_is_measured() -> None:
    measured = measure_response(ANSWERED, Customers(10))
    assert measured.hits == (measures.failed("refusal"),)
    assert set(measured.trials) == {
        measures.ERROR,
        measures.failed("refusal"),
        measures.failed("truncated"),
    }
    assert measured.values == {
        measures.LATENCY_MS: 812.5,
        measures.TIME_TO_FIRST_TOKEN_MS: 90.0,
        measures.INTER_TOKEN_MEAN_MS: 20.0,
        measures.INTER_TOKEN_P95_MS: 31.0,
        measures.INPUT_TOKENS: 12,
        measures.OUTPUT_TOKENS: 30,
        measures.PROMPT_CHARACTERS: 10,
        measures.OUTPUT_CHARACTERS: 5,
        measures.COST_USD: 0.000123456789,
    }
    assert measured.totals == {
        measures.REQUESTS_BY_CUSTOMER: {"acme": 1},
        measures.COST_NANOUSD_BY_CUSTOMER: {"acme": 123_457},
        measures.INPUT_TOKENS_BY_CUSTOMER: {"acme": 12},
        measures.OUTPUT_TOKENS_BY_CUSTOMER: {"acme": 30},
    }
    assert measured.exemplar is not None
    assert (measured.exemplar.text, measured.exemplar.customer) == ("", "acme")


@pytest.mark.parametrize(
    ("outcome", "hits", "trials", "timed"),
    [
        ("ok", (), (measures.ERROR,), True),
        ("failed", (measures.ERROR,), (measures.ERROR,), False),
        ("rejected", (), (), False),
        ("cancelled", (), (), False),
        ("pending", (), (), False),
    ],
)
def test_the_outcome_decides_what_an_exchange_counts_as(
    outcome: str, hits: tuple[str, ...], trials: tuple[str, ...], *, timed: bool
) -> None:
    measured = measure_response(changed(outcome=outcome, checks={}), Customers(10))
    assert (measured.hits, measured.trials) == (hits, trials)
    assert (measures.LATENCY_MS in measured.values) == timed


def test_the_services_failure_is_a_hit_and_has_no_latency() -> None:
    measured = measure_response(
        changed(error=ErrorKind.UPSTREAM_TIMEOUT, status=504, checks={}), Customers(10)
    )
    assert measured.hits == measured.trials == (measures.ERROR,)
    assert measures.LATENCY_MS not in measured.values
    assert measured.totals[measures.ERRORS_BY_KIND] == {"upstream_timeout": 1}


def test_the_clients_mistake_is_counted_but_no_trial() -> None:
    measured = measure_response(
        changed(error=ErrorKind.UNAUTHORIZED, status=401, checks={}, usage=None, cost_usd=None),
        Customers(10),
    )
    assert measured.hits == measured.trials == ()
    assert measured.counted
    assert measured.totals == {
        measures.REQUESTS_BY_CUSTOMER: {"acme": 1},
        measures.ERRORS_BY_KIND: {"unauthorized": 1},
    }


def test_a_shadow_answer_costs_no_customer() -> None:
    measured = measure_response(changed(shadow=True), Customers(10))
    assert measured.totals[measures.COST_NANOUSD_BY_CUSTOMER] == {"shadow": 123_457}
    assert measured.values[measures.LATENCY_MS] == 812.5


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
)
def test_impossible_numbers_are_left_out(latency: float, cost: float | None) -> None:
    measured = measure_response(changed(latency_ms=latency, cost_usd=cost), Customers(10))
    assert all(math.isfinite(v) and v >= 0 for v in measured.values.values())
    assert all(n >= 0 for labels in measured.totals.values() for n in labels.values())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_extractor_returns_one_measurement_for_each_event(count: int) -> None:
    extractor = VitalsExtractor(most_customers=1)
    origin = Origin("vitals/responses.v1-0", Partition("responses.v1", 0), 7)
    events = [(origin, changed(customer=f"c{i}")) for i in range(count)]
    labels = [list(m.totals[measures.REQUESTS_BY_CUSTOMER]) for m in extractor.measure(events)]
    assert labels == [["c0"], ["other"], ["other"]][:count]
    assert (extractor.kind, extractor.reads, extractor.notices()) == ("vitals", ResponseEvent, ())


def test_durations_are_measured_at_their_load_and_lengths() -> None:
    strata = measure_response(changed(in_flight=6, stream=True), Customers(10)).strata
    # 722.5 ms for 30 tokens after the first 90 ms make 770.7 ms for 32.
    first, whole = strata
    assert first == (measures.TIME_TO_FIRST_TOKEN_MS, "5/0/-1/-1", 90.0)
    assert whole[:2] == (measures.LATENCY_MS, "5/0/1/1")
    assert whole[2] == pytest.approx(90 + 722.5 * 32 / 30)


def test_longer_answers_are_no_slower_service() -> None:
    def converted(tokens: int) -> float:
        answer = changed(
            latency_ms=90.0 + 20.0 * tokens, usage=Usage(input_tokens=12, output_tokens=tokens)
        )
        return measure_response(answer, Customers(10)).strata[1][2]

    assert converted(20) == pytest.approx(converted(60))


def test_without_tokens_or_load_the_characters_and_an_unknown_load_stand_in() -> None:
    bare = changed(usage=None, time_to_first_token_ms=None, output_characters=400)
    ((name, stratum, value),) = measure_response(bare, Customers(10)).strata
    assert (name, stratum) == (measures.LATENCY_MS, "-1/0/2/0")
    assert value == pytest.approx(812.5 * (128 + 16) / (100 + 16))


def test_an_incomplete_answer_has_no_stratum_for_the_whole() -> None:
    failed = changed(error=ErrorKind.UPSTREAM_TIMEOUT, status=504, time_to_first_token_ms=None)
    assert measure_response(failed, Customers(10)).strata == ()


def test_work_stands_in_for_the_cost_only_where_tokens_have_no_price() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=50, cached_tokens=400)
    customers = Customers(10)
    unpriced = measure_response(changed(usage=usage, cost_usd=None), customers)
    assert unpriced.values[measures.WORK_TOKENS] == pytest.approx(600 + 40 + 200)
    assert unpriced.totals[measures.WORK_BY_CUSTOMER] == {"acme": 840}
    assert measures.COST_NANOUSD_BY_CUSTOMER not in unpriced.totals
    priced = measure_response(changed(usage=usage, cost_usd=0.01), customers)
    assert measures.WORK_TOKENS not in priced.values
    assert measures.WORK_BY_CUSTOMER not in priced.totals
