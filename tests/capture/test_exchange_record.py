"""A record gives each field of its events and its log line the value of that name."""

from __future__ import annotations

from typing import Any

import msgspec

from tidegauge.capture.exchange_record import AnswerRecord, ExchangeRecord
from tidegauge.schemas.exchange import ErrorKind, InterToken, Message, Sampling, Usage
from tidegauge.schemas.segments import Segment

ANSWER: dict[str, Any] = {
    "status": 207,
    "latency_ms": 912.5,
    "error": ErrorKind.UPSTREAM_ERROR,
    "error_detail": "the upstream reported an error",
    "text": "At 13:42.",
    "output_characters": 11,
    "tool_calls": "[]",
    "finish_reason": "stop",
    "served_model": "served",
    "served_fingerprint": "fingerprint",
    "time_to_first_token_ms": 31.5,
    "inter_token": InterToken(mean_ms=1.0, p95_ms=2.0, max_ms=3.0),
    "queue_ms": 4.5,
    "usage": Usage(input_tokens=5, output_tokens=6),
    "cost_usd": 0.25,
    "upstream": "upstream",
    "attempts": 3,
    "checks": {"empty": "passed", "json": "unchecked (size)"},
    "omitted_characters": 13,
    "outcome": "failed",
    "unread": ("usage",),
    "retried_ms": 17.5,
}
RECORD: dict[str, Any] = {
    "request_id": "req-1",
    "time_ms": 1_700_000_000_123,
    "route": "/v1/chat/completions",
    "model": "model",
    "version": "v7",
    "customer": "customer",
    "capture": "redacted",
    "messages": (Message(role="user", content="When is high tide?"),),
    "prompt_characters": 19,
    "sampling": Sampling(temperature=0.5),
    "stream": True,
    "session": "session",
    "trace_id": "trace",
    "segment_customer": "acme",
    "shadow": True,
    "conversation_id": "conversation",
    "turn": 23,
    "repeat_of": "req-0",
    "in_flight": 29,
    "omitted_characters": 31,
    "step": 37,
    "key_id": "key",
    "tags": {"experiment": "b"},
}


SEGMENT = Segment(model="model", version="v7", route="/v1/chat/completions", customer="acme")


def record() -> ExchangeRecord:
    return ExchangeRecord(**RECORD, answer=AnswerRecord(**ANSWER))


def fields(struct: msgspec.Struct) -> dict[str, object]:
    return msgspec.structs.asdict(struct)


def expected(struct: msgspec.Struct, **others: object) -> dict[str, object]:
    """Return what the fields should hold: the values of their names."""
    values = {"schema_version": 1, **RECORD, "segment": SEGMENT, **others}
    return {name: values[name] for name in struct.__struct_fields__}


def test_a_request_s_event_has_the_record_s_values() -> None:
    event = record().request_event("producer", 41)
    assert fields(event) == expected(event, producer_id="producer", sequence=41)


def test_a_response_s_event_has_the_values_of_record_and_answer() -> None:
    event = record().response_event("producer", 43)
    answer = ANSWER | {
        "output": ANSWER["text"],
        "checks": {"empty": "passed"},
        "omitted_output_characters": ANSWER["omitted_characters"],
        "omitted_characters": RECORD["omitted_characters"],
    }
    assert fields(event) == expected(event, producer_id="producer", sequence=43, **answer)


def test_a_log_line_has_the_values_of_record_and_answer() -> None:
    line = record().log_line(AnswerRecord(**ANSWER))
    answer = ANSWER | {
        "time": "2023-11-14T22:13:20.123Z",
        "response_characters": ANSWER["output_characters"],
        "input_tokens": 5,
        "output_tokens": 6,
    }
    assert fields(line) == expected(line, **answer)
