"""The codec: what goes in comes out, and what is no event is refused with its reason."""

from __future__ import annotations

import json
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas import (
    DecodeError,
    DecodeReason,
    Event,
    UnknownSchemaVersionError,
    cloud_event_headers,
    decode,
    encode,
)
from tidegauge.schemas.exchange import (
    Capture,
    CheckOutcome,
    ErrorKind,
    Heartbeat,
    Message,
    RequestEvent,
    ResponseEvent,
    Usage,
)
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Histogram

# Any text that UTF-8 can carry: prompts are what people send.
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NUMBER = st.integers(min_value=-(2**53), max_value=2**53)
REAL = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.dictionaries(TEXT, st.integers(0, 2**53), max_size=4)
CAPTURE: st.SearchStrategy[Capture] = st.sampled_from(["full", "redacted", "none"])
OUTCOME: st.SearchStrategy[CheckOutcome] = st.sampled_from(["passed", "failed"])
SEGMENTS = st.builds(Segment, model=TEXT, version=TEXT, route=TEXT, customer=TEXT)
MESSAGES = st.lists(
    st.builds(Message, role=TEXT, content=TEXT, tool_calls=st.none() | TEXT), max_size=3
).map(tuple)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        RequestEvent,
        request_id=TEXT,
        producer_id=TEXT,
        sequence=NUMBER,
        time_ms=NUMBER,
        segment=SEGMENTS,
        customer=TEXT,
        capture=CAPTURE,
        messages=MESSAGES,
        session=st.none() | TEXT,
    ),
    st.builds(
        ResponseEvent,
        request_id=TEXT,
        producer_id=TEXT,
        sequence=NUMBER,
        time_ms=NUMBER,
        segment=SEGMENTS,
        customer=TEXT,
        status=NUMBER,
        latency_ms=REAL,
        messages=MESSAGES,
        output=st.none() | TEXT,
        error=st.none() | st.sampled_from(ErrorKind),
        checks=st.dictionaries(TEXT, OUTCOME, max_size=3),
        usage=st.none() | st.builds(Usage, input_tokens=NUMBER, output_tokens=NUMBER),
        cost_usd=st.none() | REAL,
    ),
    st.builds(
        Heartbeat,
        producer_id=TEXT,
        time_ms=NUMBER,
        served=NUMBER,
        captured=COUNTS,
        dropped=st.dictionaries(TEXT, COUNTS, max_size=2),
        shipped=COUNTS,
    ),
    st.builds(
        DeadLetter,
        group=TEXT,
        topic=TEXT,
        partition=NUMBER,
        offset=NUMBER,
        time_ms=NUMBER,
        reason=TEXT,
        detail=TEXT,
        value=st.binary(max_size=40),
        key=st.none() | st.binary(max_size=10),
        headers=st.lists(st.tuples(TEXT, st.binary(max_size=10)), max_size=3).map(tuple),
    ),
)
KINDS = (RequestEvent, ResponseEvent, Heartbeat, DeadLetter)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | REAL | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def heartbeat() -> Heartbeat:
    return Heartbeat(producer_id="p", time_ms=1, served=2, captured={}, dropped={}, shipped={})


@given(EVENTS)
def test_what_goes_in_comes_out(event: Event) -> None:
    assert decode(encode(event), *KINDS) == event


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, *KINDS)


@given(JSON)
def test_json_that_is_no_event_is_refused(value: object) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(json.dumps(value).encode(), *KINDS)
    assert refused.value.reason in {
        DecodeReason.UNKNOWN_TYPE,
        DecodeReason.INVALID_FIELD,
        DecodeReason.SEVERAL_EVENTS,
        DecodeReason.ENCODED_TWICE,
    }


@given(EVENTS, st.data())
def test_an_event_cut_short_is_refused(event: Event, data: st.DataObject) -> None:
    whole = encode(event)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DecodeError):
        decode(whole[:end], *KINDS)


@given(EVENTS, st.dictionaries(TEXT.map(lambda name: f"x-{name}"), JSON, min_size=1, max_size=3))
def test_unknown_fields_are_ignored(event: Event, more: dict[str, object]) -> None:
    extended = json.dumps({**json.loads(encode(event)), **more}).encode()
    assert decode(extended, *KINDS) == event


@given(EVENTS, st.integers(2, 2**31))
def test_a_later_schema_version_is_refused(event: Event, version: int) -> None:
    later = json.dumps({**json.loads(encode(event)), "schema_version": version}).encode()
    with pytest.raises(UnknownSchemaVersionError, match=f"schema_version {version}.*upgrade"):
        decode(later, *KINDS)


@given(EVENTS, st.sampled_from([[], {}, "seven", None, 1.5]))
def test_a_field_of_another_type_is_named(event: Event, value: object) -> None:
    wrong = json.dumps({**json.loads(encode(event)), "time_ms": value}).encode()
    with pytest.raises(DecodeError, match="time_ms") as refused:
        decode(wrong, *KINDS)
    assert refused.value.reason is DecodeReason.INVALID_FIELD


def test_an_event_of_another_type_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"expected tidegauge\.request.*heartbeat") as refused:
        decode(encode(heartbeat()), RequestEvent)
    assert refused.value.reason is DecodeReason.UNKNOWN_TYPE


def test_bytes_that_are_no_utf8_are_refused() -> None:
    data = encode(heartbeat()).replace(b'"p"', b'"\xff"')
    with pytest.raises(DecodeError) as refused:
        decode(data, Heartbeat)
    assert refused.value.reason is DecodeReason.MALFORMED_JSON


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000])
def test_json_nested_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, Heartbeat)


def test_bucket_numbers_survive_as_numbers() -> None:
    histogram = Histogram(accuracy=0.01, positive={-3: 1, 7: 2})
    written = msgspec.json.encode(histogram)
    assert msgspec.json.decode(written, type=Histogram) == histogram


@given(st.integers(0, 4_102_444_800_000))
def test_headers_are_cloud_events(time_ms: int) -> None:
    headers = dict(
        cloud_event_headers(event_id="7", kind=Heartbeat, source="gateway-1", time_ms=time_ms)
    )
    moment = headers.pop("ce_time").decode()
    assert moment.endswith("Z")
    assert round(datetime.fromisoformat(moment).timestamp() * 1000) == time_ms
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"7",
        "ce_type": b"tidegauge.heartbeat",
        "ce_source": b"gateway-1",
        "content-type": b"application/json",
    }
