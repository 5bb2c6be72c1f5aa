"""Well-formed inputs that the fuzzer changes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from tidegauge.capture.frame import FrameEncoder, encode_header

__all__ = [
    "ANSWERS",
    "CONFIG",
    "CONTEXTS",
    "EVENTS",
    "FORMS",
    "FRAMES",
    "METRICS",
    "REQUESTS",
    "STREAMS",
    "TEXTS",
    "UPSTREAM",
    "WIRE",
]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_MESSAGES: Final = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
    },
]
_SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
_CHAT: Final[dict[str, Any]] = {
    "model": "m",
    "messages": _MESSAGES,
    "stream": True,
    "max_tokens": 5,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA}},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}],
}

REQUESTS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "/v1/chat/completions": (
        _json(_CHAT),
        _json({**_CHAT, "metadata": {"context": ["A is 1.", {"text": "B is 2."}, [3]]}}),
    ),
    "/v1/completions": (_json({"model": "m", "prompt": ["a", [1, 2]], "n": 2}),),
    "/v1/embeddings": (_json({"model": "m", "input": ["a", [1, 2]]}),),
    "/v1/responses": (
        _json(
            {
                "model": "m",
                "instructions": "Be brief.",
                "input": [
                    {"type": "message", "role": "user", "content": "Hi"},
                    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
                    {"type": "function_call_output", "call_id": "c", "output": "1"},
                ],
                "text": {"format": {"type": "json_schema", "schema": _SCHEMA}},
            }
        ),
    ),
    "/v1/messages": (
        _json(
            {
                "model": "m",
                "system": "Be brief.",
                "max_tokens": 5,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            }
        ),
    ),
}

_USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 2}
_CALL: Final = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
ANSWERS: Final = (
    _json(
        {
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hi", "tool_calls": [_CALL]},
                    "finish_reason": "stop",
                }
            ],
            "usage": _USAGE,
        }
    ),
    _json({"choices": [{"index": 0, "text": "Hi", "finish_reason": "length"}], "usage": _USAGE}),
    _json({"data": [{"index": 0, "embedding": [0.5]}], "usage": _USAGE}),
    _json(
        {
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
            "usage": {"input_tokens": 3, "output_tokens": 2},
        }
    ),
    _json({"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "x"}),
    _json({"error": {"message": "no", "type": "server_error"}}),
)
STREAMS: Final = (
    *(b"data: " + answer.replace(b"message", b"delta") + b"\n\n" for answer in ANSWERS),
    b": ping\n\ndata: " + ANSWERS[0].replace(b"message", b"delta") + b"\r\n\r\ndata: [DONE]\n\n",
    b'event: x\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n',
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n',
)

_HEAD: Final = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer x\r\n"
WIRE: Final = (
    _HEAD + b"content-length: 2\r\n\r\n{}",
    _HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: y\r\n\r\n" + _HEAD + b"\r\n",
    _HEAD
    + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n",
    gzip.compress(b"{}" * 100, mtime=0),
)

_EVENT: Final = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
_ANSWERED: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
UPSTREAM: Final = (
    _ANSWERED + b"content-length: %d\r\n\r\n" % len(_EVENT) + _EVENT,
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    + _ANSWERED
    + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nx: y\r\n\r\n" % (len(_EVENT), _EVENT),
    _ANSWERED + b"content-encoding: gzip\r\n\r\n" + gzip.compress(_EVENT * 3, mtime=0),
    b"HTTP/1.0 200 OK\r\nset-cookie: a=b\r\n\r\n" + _EVENT + b"data: [DONE]\n\n",
)

FRAMES: Final = tuple(
    encode_header("gateway-1") + FrameEncoder(topic, kind).encode(1, 2, "key", value)
    for topic, kind, value in (
        ("requests.v1", "tidegauge.request", b"{}"),
        ("requests.v1+responses.v1*1", "compact/tidegauge.exchange.3", b"\x91\x95\xa1a\x01"),
    )
)
EVENTS: Final = tuple(
    file.read_bytes()
    for file in sorted(
        resources.files("tidegauge.schemas").joinpath("examples").iterdir(), key=lambda it: it.name
    )
    if file.name.endswith(".json")
)
CONFIG: Final = (
    b"""
models:
  m:
    upstreams:
      - url: http://127.0.0.1:8000
        weight: 0.5
        overrides: {temperature: 0}
        price: {input: 1, output: 2}
        gpu_usd_per_hour: [{usd: 1, hours: [22, 6], from: 2026-11-01T00:00Z}]
        metrics_url: http://127.0.0.1:8000/metrics
        gpu_metrics_url: nvml
    failed_checks: {json_schema: retry}
""",
)
METRICS: Final = (
    b'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n',
    b'vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 21.0 1700000\n',
    b'# HELP DCGM_FI_DEV_GPU_UTIL Use.\nDCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1"} 98\n',
)
FORMS: Final = (
    _json(_SCHEMA) + b'\n{"a": 1}',
    _json({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}) + b"\n[[[]]]",
    _json(_CHAT["tools"]) + b'\n[{"function":{"name":"f","arguments":"{}"}}]',
)
TEXTS: Final = (
    b"Write to ann@example.org, card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00.",
    b'{"password": "hunter2", "to": "ann\\u0040example.org", "url": "redis://:pw@host"}',
    b"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl",
)
CONTEXTS: Final = (
    b"Ana Lima opened it on 3 May 2024 at 7:45 p.m. with $1,200. It is 1.2k dollars since May.",
    b'The W.H.O. said "stay at home, all of you" 3 times. See https://who.example or GPT-4, v2.1.',
)
