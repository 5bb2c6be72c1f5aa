"""What is understood of requests and answers, and what is left alone."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.capture.answer import decide
from tidegauge.gateway.apis import APIS, ChunkKind, ParsedAnswer, prompt_tokens, text_tokens
from tidegauge.gateway.apis.forwarded import FORWARDED
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.proxy.forwarding import rewrite
from tidegauge.gateway.proxy.relay import FrameSplitter, data_of
from tidegauge.schemas.exchange import Message, Usage

CHAT = APIS["/v1/chat/completions"]
RESPONSES = APIS["/v1/responses"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), json_values), st.sampled_from(sorted(APIS)))
def test_any_json_object_is_read_or_refused(body: dict[str, Any], path: str) -> None:
    encoded = json.dumps({"model": "m", "messages": [], **body}).encode()
    with suppress(RefusedError):
        asked = APIS[path].read(encoded)
        assert all(isinstance(message.content, str) for message in asked.messages)


@given(st.binary(max_size=200), st.sampled_from(sorted(APIS)))
def test_no_answer_is_too_odd(data: bytes, path: str) -> None:
    assert isinstance(APIS[path].answer(data), ParsedAnswer)
    collector = APIS[path].collector()
    assert isinstance(collector.take(data), ChunkKind)
    assert isinstance(collector.answer(), ParsedAnswer)


@given(json_values, st.sampled_from(sorted(APIS)))
def test_no_json_answer_is_too_odd(value: object, path: str) -> None:
    data = json.dumps(value).encode()
    assert isinstance(APIS[path].answer(data), ParsedAnswer)
    APIS[path].collector().take(data)


ODD: tuple[object, ...] = ([], {}, 5, None, True)
ODDLY_TYPED = [
    form
    for x in ODD
    for form in (
        {"object": x},
        {"type": x},
        {"object": "response", "output": [{"type": x}], "status": x},
        {"type": "message", "content": [{"type": x, "text": x}], "stop_reason": x},
        {"type": "content_block_start", "index": x, "content_block": {"type": x}},
        {"type": "content_block_start", "index": x, "content_block": {"type": "tool_use", "id": x}},
        {"type": "content_block_delta", "index": x, "delta": {"partial_json": x}},
        {"choices": [{"delta": {"tool_calls": [{"index": x, "id": x, "type": x}]}, "index": x}]},
        {"choices": [{"message": {"content": {"type": x}, "tool_calls": [{"type": x}]}}]},
        {"type": "response.function_call_arguments.delta", "item_id": x, "delta": x},
        {"type": "response.output_item.added", "item": {"type": x, "id": x}},
    )
]


@pytest.mark.parametrize("path", sorted(APIS))
def test_no_type_or_place_is_too_odd(path: str) -> None:
    for form in ODDLY_TYPED:
        data = json.dumps(form).encode()
        assert isinstance(APIS[path].answer(data), ParsedAnswer)
        collector = APIS[path].collector(2)
        collector.take(data)
        assert isinstance(collector.answer(), ParsedAnswer)
        assert APIS[path].as_events(data, with_usage=True)


@pytest.mark.parametrize("path", sorted(APIS))
def test_no_type_in_a_request_is_too_odd(path: str) -> None:
    for x in (*ODD, [[]], [None]):
        part = {"type": x, "role": x, "content": x, "text": x, "output": x}
        message = {"role": "user", "content": [part], "tool_calls": x}
        body = {"model": "m", "messages": [message], "input": [part], "tools": [{"type": x}]}
        with suppress(RefusedError):
            assert APIS[path].read(json.dumps(body).encode()).model == "m"


VECTORS = {"data": [{"embedding": [0.5]}], "model": "served", "usage": {"prompt_tokens": 3}}
RANKS = {"results": [{"index": 0}], "usage": {"total_tokens": 3}}
NAN = json.dumps({**VECTORS, "data": [{"embedding": [float("nan")]}]}).encode()


@pytest.mark.parametrize(
    ("path", "body", "outcome", "tokens"),
    [
        ("/v1/embeddings", VECTORS, "ok", 3),
        ("/v1/embeddings", VECTORS | {"model": 5}, "ok", 3),
        ("/v1/embeddings", NAN, "ok", 3),
        ("/v1/embeddings", b"\xef\xbb\xbf" + json.dumps(VECTORS).encode(), "ok", 3),
        ("/v1/embeddings", VECTORS | {"data": []}, "failed", 3),
        ("/v1/embeddings", VECTORS | {"error": {"code": 500}}, "failed", 3),
        ("/v1/embeddings", {"object": "error", "message": "no"}, "failed", None),
        ("/v1/embeddings", b"<html>", "failed", None),
        ("/v1/rerank", RANKS, "ok", 3),
        ("/v1/rerank", RANKS | {"usage": {"total_tokens": True}}, "ok", None),
        ("/v1/rerank", b'{"results": [NaN], "usage": {"total_tokens": 3}}', "ok", 3),
        ("/v1/rerank", [{"index": 0, "score": 0.5}], "ok", None),
        ("/v1/rerank", {"object": "error", "message": "no"}, "failed", None),
        ("/v1/rerank", {"type": "error", "message": "no"}, "failed", None),
        ("/v1/rerank", b'\xef\xbb\xbf{"error": {"code": 500}}', "failed", None),
        *[
            ("/v1/rerank", nothing, "failed", None)
            for nothing in (b"", b" \n", b"null", b" <html>")
        ],
        ("/v1/audio/transcriptions", b"Hello", "ok", None),
    ],
)
def test_answers_that_no_model_generates(
    path: str, body: object, outcome: str, tokens: int | None
) -> None:
    api = {**APIS, **{each.path: each for each in FORWARDED}}[path]
    answer = api.answer(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert decide(answer, 200, None, done=True).outcome == outcome
    assert (answer.input_tokens, answer.generated) == (tokens, False)


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_a_stream_has_not_ended_before_all_its_choices(order: tuple[int, int]) -> None:
    first, second = (
        {"index": index, "delta": {"content": f"{index}"}, "finish_reason": reason}
        for index, reason in zip(order, ("stop", None), strict=True)
    )
    collector = CHAT.collector(2)
    for choice in (first, second):
        collector.take(json.dumps({"choices": [choice]}).encode())
    assert collector.answer().text == "0"
    assert decide(collector.answer(), 200, None, done=False).outcome == "failed"
    collector.take(json.dumps({"choices": [second | {"finish_reason": "stop"}]}).encode())
    assert decide(collector.answer(), 200, None, done=False).outcome == "ok"


def test_several_choices_and_reasoning_are_one_answer() -> None:
    collector = CHAT.collector(2)
    chunks = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        {"choices": [{"index": 0, "delta": {"content": "one"}}], "model": "m"},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ]
    seen = [collector.take(json.dumps(chunk).encode()) for chunk in chunks]
    assert seen == [
        ChunkKind.OTHER,
        ChunkKind.PIECE,
        ChunkKind.PIECE,
        ChunkKind.PIECE,
        ChunkKind.OTHER,
        ChunkKind.USAGE,
    ]
    answer = collector.answer()
    assert (answer.text, answer.finish_reason) == ("one", "stop")
    assert answer.usage == Usage(input_tokens=1, output_tokens=2)


def test_of_several_choices_the_first_is_read_whichever_comes_first() -> None:
    collector = CHAT.collector(2)
    for index, text in ((1, "other"), (0, "one"), (1, " text"), (0, " two")):
        chunk = {"choices": [{"index": index, "delta": {"content": text}}]}
        assert collector.take(json.dumps(chunk).encode()) is ChunkKind.PIECE
    assert collector.answer().text == "one two"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("metrics", "queue_ms"),
    [({"queue_time_ms": 12.5}, 12.5), ({"queue_time_ms": None}, None), ([1], None), (None, None)],
)
def test_time_in_the_queue_is_told_by_vllm(
    path: str, metrics: object, queue_ms: float | None
) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    told = json.dumps({"choices": [], "usage": usage, "metrics": metrics}).encode()
    answer = APIS[path].answer(told)
    collector = APIS[path].collector()
    assert collector.take(told) is ChunkKind.USAGE
    for found in (answer, collector.answer()):
        assert (found.queue_ms, found.usage) == (queue_ms, Usage(input_tokens=7, output_tokens=3))


def test_streamed_tool_calls_are_put_together() -> None:
    collector = CHAT.collector()
    for call in (
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":'}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": " 1}"}},
    ):
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
        assert collector.take(json.dumps(chunk).encode()) is ChunkKind.PIECE
    calls = json.loads(collector.answer().tool_calls or "")
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        ("a", '{"x": 1}'),
        ("b", "{}"),
    ]


def test_responses_requests() -> None:
    asked = RESPONSES.read(
        json.dumps(
            {
                "model": "m",
                "instructions": "Be brief.",
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {"type": "function_call", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "output": "42"},
                ],
                "text": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
                "tools": [{"type": "function", "name": "f", "parameters": {}}, {"type": "web"}],
            }
        ).encode()
    )
    assert [message.role for message in asked.messages] == ["system", "user", "assistant", "tool"]
    assert [message.content for message in asked.messages] == ["Be brief.", "Hi", "", "42"]
    assert asked.expectations.json_schema == b'{"type":"object"}'
    assert json.loads(asked.expectations.tools or b"")[0]["function"]["name"] == "f"


def test_responses_answers() -> None:
    answer = RESPONSES.answer(
        json.dumps(
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "model": "m",
                "output": [
                    {"type": "reasoning", "content": None},
                    {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
                ],
                "usage": {"input_tokens": 3, "output_tokens": 1},
            }
        ).encode()
    )
    assert (answer.text, answer.finish_reason) == ("Hi", "length")
    assert answer.usage == Usage(input_tokens=3, output_tokens=1)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_rewriting_changes_what_it_says_and_nothing_else(
    body: dict[str, Any],
    ask_for_usage: bool,  # noqa: FBT001 - hypothesis fills it in
) -> None:
    body.pop("stream_options", None)
    encoded = json.dumps(body).encode()
    rewritten = json.loads(
        rewrite(encoded, {"model": msgspec.Raw(b'"inner"')}, ask_for_usage=ask_for_usage)
    )
    options = {"stream_options": {"include_usage": True}} if ask_for_usage else {}
    assert rewritten == body | {"model": "inner"} | options


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(RefusedError):
        rewrite(b'{"\xff": 1}', {"model": msgspec.Raw(b'"inner"')}, ask_for_usage=False)


def test_nothing_to_change_changes_nothing() -> None:
    assert rewrite(b"[not even json", {}, ask_for_usage=False) == b"[not even json"


def test_an_overridden_limit_takes_its_other_name_along() -> None:
    body = b'{"max_completion_tokens": 9, "n": 1}'
    found = rewrite(body, {"max_tokens": msgspec.Raw(b"5")}, ask_for_usage=False)
    assert json.loads(found) == {"n": 1, "max_tokens": 5}


@given(
    st.lists(st.binary(min_size=1).filter(lambda b: b"\n" not in b and b"\r" not in b)),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    st.data(),
)
def test_frames_are_the_same_however_they_arrive(
    lines: list[bytes], end: bytes, data: st.DataObject
) -> None:
    frames = [b"data: " + line + end for line in lines]
    stream = b"".join(frames)
    splitter, found, rest = FrameSplitter(), [], stream
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        found += splitter.feed(rest[:cut])
        rest = rest[cut:]
    assert b"".join(found) + splitter.rest == stream
    if end == b"\n\n" or len(found) == len(frames):
        assert [data_of(frame) for frame in found] == lines


def test_estimates_grow_with_the_text() -> None:
    assert text_tokens("word " * 100) == 125
    assert text_tokens("潮" * 8) == 6
    assert prompt_tokens([Message(role="user", content="x" * 40)]) == 14
