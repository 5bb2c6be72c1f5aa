"""The work of an exchange: split by minutes, its busy time, and why it is paid for."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegauge.cost.work import line_of, slots_between, work_of
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import ErrorKind, ResponseEvent, Usage
from tidegauge.schemas.upstream_events import MINUTE_MS, SLOT_MS, WorkAmounts
from tidegauge.streaming.upstream_work import SLOTS

START_MS = 1_767_225_600_000
ANSWERED = ResponseEvent(
    request_id="r1",
    producer_id="g1",
    sequence=1,
    time_ms=START_MS + 45_000,
    segment=Segment(model="m", version="v1", route="/chat"),
    customer="acme",
    status=200,
    latency_ms=30_000.0,
    time_to_first_token_ms=5_000.0,
    upstream="10.0.0.7:8000",
    usage=Usage(input_tokens=100, output_tokens=50, cached_tokens=40, reasoning_tokens=10),
    cost_usd=0.001,
    turn=1,
)


def changed(**fields: object) -> ResponseEvent:
    return msgspec.structs.replace(ANSWERED, **fields)


def test_an_exchange_has_a_part_in_each_of_its_minutes() -> None:
    first, second = work_of(ANSWERED, "acme")
    assert (first.start_ms, second.start_ms) == (START_MS, START_MS + MINUTE_MS)
    assert first.busy == slots_between(45_000, 60_000)
    assert second.busy == slots_between(0, 15_000)
    assert first.decoding == slots_between(50_000, 60_000)
    assert first.work == WorkAmounts(
        requests=1,
        openings=1,
        prompt_tokens=60,
        cached_tokens=40,
        output_tokens=20,
        reasoning_tokens=4,
        prompt_pairs=60 * (40 + 30),
        output_pairs=2_500,
        decoding_ms=10_000,
        nanousd=1_000_000,
    )
    assert second.work == WorkAmounts(
        output_tokens=30, reasoning_tokens=6, output_pairs=3_750, decoding_ms=15_000
    )


@example(offset=0, latency=0.0, first_token=None, output=1)
@example(offset=30_000, latency=30_000.0, first_token=30_000.0, output=1)
@given(
    offset=st.integers(0, 2 * MINUTE_MS),
    latency=st.floats(0, 400_000),
    first_token=st.none() | st.floats(0, 400_000),
    output=st.integers(0, 5_000),
)
def test_the_parts_add_up(
    offset: int, latency: float, first_token: float | None, output: int
) -> None:
    event = changed(
        time_ms=START_MS + offset,
        latency_ms=latency,
        time_to_first_token_ms=first_token,
        usage=Usage(input_tokens=10, output_tokens=output),
    )
    pieces = list(work_of(event, "acme"))
    assert sum(piece.work.requests for piece in pieces) == 1
    assert sum(piece.work.prompt_tokens for piece in pieces) == 10
    assert sum(piece.work.output_tokens for piece in pieces) == output
    busy_ms = SLOT_MS * sum(piece.busy.bit_count() for piece in pieces)
    assert busy_ms == pytest.approx(latency, abs=SLOT_MS)


def test_many_short_exchanges_are_busy_for_as_long_as_they_take() -> None:
    starts = np.random.default_rng(7).uniform(0, 59_000, 40_000)
    slots = sum(slots_between(start, start + 13.0).bit_count() for start in starts.tolist())
    assert slots * SLOT_MS == pytest.approx(40_000 * 13.0, rel=0.03)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "served"),
        ({"shadow": True, "repeat_of": "r0"}, "shadow"),
        ({"repeat_of": "r0"}, "retry"),
        ({"attempts": 2}, "retry"),
        ({"error": ErrorKind.UPSTREAM_TIMEOUT}, "failed"),
        ({"error": ErrorKind.CLIENT_DISCONNECTED}, "failed"),
    ],
)
def test_why_it_is_paid_for(fields: dict[str, object], line: str) -> None:
    assert line_of(changed(**fields)) == line


def test_a_retry_is_work_of_the_last_upstream_from_when_it_was_asked() -> None:
    (piece,) = work_of(changed(attempts=2, retried_ms=20_000.0, latency_ms=25_000.0), "acme")
    assert piece.start_ms == START_MS + MINUTE_MS
    assert piece.busy == slots_between(5_000, 10_000)


def test_no_upstream_no_work() -> None:
    assert list(work_of(changed(upstream=None), "acme")) == []
    assert list(work_of(changed(latency_ms=float("nan")), "acme")) == []


@pytest.mark.parametrize(
    "usage",
    [None, Usage(input_tokens=-1, output_tokens=1), Usage(input_tokens=1, output_tokens=10**12)],
)
def test_unknown_and_impossible_tokens_are_counted_as_unknown(usage: Usage | None) -> None:
    pieces = list(work_of(changed(usage=usage), "acme"))
    assert sum(piece.work.without_usage for piece in pieces) == 1
    assert sum(piece.work.output_tokens for piece in pieces) == 0
    assert all(piece.busy for piece in pieces)


def test_of_a_very_long_exchange_the_last_hour_is_counted() -> None:
    pieces = list(work_of(changed(latency_ms=86_400_000.0), "acme"))
    assert len(pieces) == 61
    assert sum(piece.busy.bit_count() for piece in pieces) == 60 * SLOTS
