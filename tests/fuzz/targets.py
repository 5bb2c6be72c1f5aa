"""What is fuzzed: each target takes any bytes and lets no error out but those it promises."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
from tests.fuzz.seeds import (
    ANSWERS,
    CONFIG,
    CONTEXTS,
    EVENTS,
    FORMS,
    FRAMES,
    METRICS,
    REQUESTS,
    STREAMS,
    TEXTS,
    UPSTREAM,
    WIRE,
)
from tests.fuzz.upstream import read_upstream

from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.exchange_record import ExchangeRecord
from tidegauge.capture.frame import Damage, Incomplete, decode_frame, read_header
from tidegauge.capture.metadata_context import context_in_metadata, with_context
from tidegauge.capture.text_limits import captured_messages, captured_text
from tidegauge.cost.exposition import ExpositionError, read_metrics
from tidegauge.cost.upstream_metrics import GPU_METRICS, SERVER_METRICS, gpus_of, reading_of
from tidegauge.gateway import configuration
from tidegauge.gateway.apis import APIS, Api
from tidegauge.gateway.apis.api import malformed
from tidegauge.gateway.errors import ConfigurationError, RefusedError, UpstreamAnswerError
from tidegauge.gateway.http.bodies import decoded, refuse_ambiguous, refuse_complex
from tidegauge.gateway.http.decoding import Decoder
from tidegauge.gateway.http.parser import RequestReader
from tidegauge.gateway.policy.checks.answer_forms import Form, check_form
from tidegauge.gateway.proxy.relay import FrameSplitter, data_of
from tidegauge.quality.support import check_support, unsupported_facts
from tidegauge.schemas import decode
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.exchange import Message
from tidegauge.schemas.topics import ALL_TOPICS

__all__ = ["TARGETS", "Target"]


class Target(NamedTuple):
    """Something that reads untrusted bytes.

    Attributes:
        read: Reads them.
        seeds: Inputs that are well-formed.
        words: Pieces that its inputs are made of.
    """

    read: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


def _requests(data: bytes) -> None:
    """Read a connection's bytes in pieces, as a server."""
    requests: list[str] = []

    def admit() -> None:
        reader.begin(reader.path, 10_000)

    reader = RequestReader(admit, lambda: requests.append(reader.path), lambda: None)
    for start in range(0, len(data), 97):
        if not reader.read(data[start : start + 97]):
            return
        if reader.busy:
            try:
                _run(reader.read_body())
            except RefusedError:
                return
            reader.busy = False


def _run(coroutine: Coroutine[object, None, object]) -> None:
    """Run a coroutine that waits for nothing but its turn."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        return


def _body(data: bytes) -> None:
    for encoding in (b"gzip", b"deflate"):
        with suppress(RefusedError):
            _run(decoded(data, {b"content-encoding": encoding}, 100_000))
    for encoding in (b"gzip", b"deflate", b"zstd", b"gzip, gzip"):
        with suppress(UpstreamAnswerError):
            Decoder([(b"content-encoding", encoding)]).decode(data)


def _request_of(api: Api) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        try:
            refuse_complex(data)
            refuse_ambiguous(data)
            try:
                asked = api.read(data)
            except RecursionError as error:
                raise malformed(error) from error
        except RefusedError:
            return
        captured = captured_messages(asked.messages, "redacted", 1000)
        context = context_in_metadata(asked.metadata, ("context", "metadata"))
        with_context(captured, context, "redacted", 1000)

    return read


def _answer_of(api: Api) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        answer = api.answer(data)
        captured_text(answer.text, "redacted", 1000)
        msgspec.msgpack.encode(answer.usage)

    return read


def _stream_of(api: Api) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        splitter, collector = FrameSplitter(), api.collector()
        frames: list[bytes] = []
        for start in range(0, len(data), 61):
            frames += splitter.feed(data[start : start + 61])
        for frame in (*frames, splitter.rest):
            event = data_of(frame)
            if event is not None:
                collector.take(event)
        captured_text(collector.answer().text, "full", 1000)

    return read


def _outbox(data: bytes) -> None:
    try:
        _, place = read_header(data)
        while True:
            frame, place = decode_frame(data, place)
            if frame.layout.is_compact:
                msgspec.msgpack.decode(frame.value, type=list[ExchangeRecord])
    except (Incomplete, Damage, OutboxFormatError, msgspec.DecodeError):
        return


def _events(data: bytes) -> None:
    for topic in ALL_TOPICS.values():
        try:
            decode(data, *topic.carries)
        except TidegaugeError:
            continue


def _metrics(data: bytes) -> None:
    try:
        reading_of(read_metrics(data, SERVER_METRICS))
        gpus_of(read_metrics(data, GPU_METRICS))
    except ExpositionError:
        return


def _configuration(data: bytes) -> None:
    try:
        configuration.parse(data.decode(errors="replace"))
    except ConfigurationError:
        return


def _form(data: bytes) -> None:
    schema, _, text = data.partition(b"\n")
    check_form(Form(json_object=text, json_text=text, json_schema=schema))
    check_form(Form(tool_calls=text, tools=schema))


def _text(data: bytes) -> None:
    text = data.decode(errors="replace")
    captured_text(text, "redacted", 300)
    captured_messages((Message(role="user", content=text, tool_calls=text),), "redacted", 300)


_JSON: Final = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"null", b"true", b"-1", b"1e999", b"0.5", b"\\"),
    *(b"18446744073709551616", b'"\\ud800"', b"\xed\xa0\x80", b"\xff", b'""', b"{}", b"[]", b"\n"),
)
_NAMES: Final = tuple(
    f'"{name}":'.encode()
    for name in (
        *("model", "messages", "role", "content", "tool_calls", "function", "arguments", "index"),
        *("choices", "delta", "message", "finish_reason", "usage", "error", "type", "text", "id"),
        *("prompt_tokens", "completion_tokens", "input_tokens", "output", "response", "refusal"),
        *(
            "stream",
            "n",
            "max_tokens",
            "response_format",
            "json_schema",
            "schema",
            "tools",
            "audio",
        ),
    )
)
_SCHEMA: Final = tuple(
    f'"{name}":'.encode()
    for name in (
        *("type", "properties", "items", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
        *("$ref", "$defs", "enum", "const", "required", "multipleOf", "minimum", "maxLength"),
        *("additionalProperties", "prefixItems", "pattern", "uniqueItems", "$schema", "name"),
    )
)
_HTTP: Final = (
    *(b"\r\n", b"\r\n\r\n", b"\n", b": ", b"0\r\n\r\n", b"2\r\nab\r\n", b"ffffffffffffffff\r\n"),
    *(b"POST /v1/chat/completions HTTP/1.1", b"GET / HTTP/1.0", b"CONNECT a:1 HTTP/1.1"),
    *(b"content-length: 5", b"transfer-encoding: chunked", b"connection: upgrade", b"upgrade: h2c"),
    *(b"content-encoding: gzip", b"expect: 100-continue", b"authorization: Bearer x", b"\x00"),
)
_SECRETS: Final = (
    *(b"@", b"eyJ", b".", b"-", b"password", b"=", b"Bearer ", b"://", b"sk-", b"4111", b"DE89"),
    *(b"-----BEGIN PRIVATE KEY-----", b"-----END ", b"\\u0040", b"%40", b"&#64;", b" ", b'"'),
)
_FACTS: Final = (
    *(b"3 May 2024", b"2024-05-03", b"1.2k", b"1,200", b"12.5%", b"7:45 p.m.", b"20 Uhr"),
    *(b'"', b"\xe2\x80\x9c", b"\xe3\x80\x8c", b"...", b"www.", b"@", b"GPT-4", b"U.S.", b"O'Neill"),
    *("\u0663\u0660".encode(), "\u6771\u4eac".encode(), b"```", b"[1]", b"\n1. "),
)

_APIS: Final = {path: api for path, api in APIS.items() if path in REQUESTS}


_READ: Final = 5_000
"""Bytes of a text that are held against each other: the time is linear in them."""


def _support(data: bytes) -> None:
    """Hold the second half of a text against the first."""
    text = data[:_READ].decode(errors="replace")
    context, answer = text[: len(text) // 2], text[len(text) // 2 :]
    found = check_support(answer, [context])
    assert 0 < found.score <= 1
    assert unsupported_facts(answer, [context]) == found.unsupported


TARGETS: Final[Mapping[str, Target]] = {
    "http": Target(_requests, WIRE, _HTTP),
    "upstream": Target(
        read_upstream,
        UPSTREAM,
        (
            *_HTTP,
            *_NAMES,
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"data: ",
            b"\n\n",
        ),
    ),
    "encodings": Target(_body, WIRE, (b"\x1f\x8b\x08", b"\x78\x9c", b"\x00\x00\xff\xff")),
    **{
        f"request{path.replace('/', '-')}": Target(
            _request_of(api), REQUESTS[path], (*_JSON, *_NAMES)
        )
        for path, api in _APIS.items()
    },
    **{
        f"answer{path.replace('/', '-')}": Target(_answer_of(api), ANSWERS, (*_JSON, *_NAMES))
        for path, api in _APIS.items()
    },
    **{
        f"stream{path.replace('/', '-')}": Target(
            _stream_of(api), STREAMS, (*_JSON, *_NAMES, b"data: ", b"\n\n", b"\r\n", b"event: x")
        )
        for path, api in _APIS.items()
    },
    "outbox": Target(_outbox, FRAMES, (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"*1", b"+")),
    "events": Target(_events, EVENTS, _JSON),
    "configuration": Target(
        _configuration,
        CONFIG,
        (b"models:", b"upstreams:", b"- ", b"&a ", b"*a", b"<<: ", b"!!", b"\n"),
    ),
    "metrics": Target(
        _metrics, METRICS, (b"{", b"}", b'"', b"\\", b"\n", b" ", b"NaN", b"1e999", b"#")
    ),
    "schemas": Target(_form, FORMS, (*_JSON, *_SCHEMA)),
    "texts": Target(_text, TEXTS, _SECRETS),
    "support": Target(_support, (*TEXTS, *CONTEXTS), _FACTS),
}
