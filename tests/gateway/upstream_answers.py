"""Chat answers that servers have been seen to send, usual and odd, and what is in each."""
# ruff: noqa: E501 - a table

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import zstandard

__all__ = [
    "BOTH",
    "CHAT_ANSWERS",
    "DONE",
    "PARIS",
    "ROME",
    "TOKENS",
    "USAGE",
    "Answer",
    "failed",
    "frames",
    "raw",
    "stream",
    "whole",
]

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
TOKENS = {"input_tokens": 7, "output_tokens": 3}
PARIS, ROME = '{"city":"Paris"}', '{"city":"Rome"}'
JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Answer:
    """An upstream's answer, and the facts in it.

    ``usage`` is the tokens of prompt and answer, ``"estimated"``, or None without any.
    """

    name: str
    body: bytes
    route: str = "/v1/chat/completions"
    stream: bool = False
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", JSON),)
    text: str | None = "hello world"
    calls: tuple[tuple[str | None, str], ...] = ()
    finish: str | None = "stop"
    usage: tuple[int, int] | str | None = (7, 3)
    outcome: str = "ok"
    unread: tuple[str, ...] = ()


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def raw(value: object, **odd: str) -> bytes:
    """Encode a value; the string ``<name>`` in it becomes the JSON text given under that name."""
    text = json.dumps(value)
    for name, literal in odd.items():
        text = text.replace(f'"<{name}>"', literal)
    return text.encode()


def choice(content: object = "hello world", finish: object = "stop", **fields: Any) -> Any:  # noqa: ANN401
    message = {"role": "assistant", "content": content, **fields}
    return {"index": 0, "message": message, "finish_reason": finish}


def chat(*choices: object, usage: object = USAGE, **fields: object) -> dict[str, Any]:
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "served"}
    return {**body, "choices": list(choices), "usage": usage, **fields}


def zipped(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = gzip.compress(data, mtime=0)
    return data


def halves(data: bytes) -> tuple[bytes, bytes]:
    return data[: len(data) // 2], data[len(data) // 2 :]


def whole(name: str, body: object, **expected: Any) -> Answer:  # noqa: ANN401
    return Answer(name, body if isinstance(body, bytes) else encoded(body), **expected)


def said(name: str, content: object, reason: object = "stop", **expected: Any) -> Answer:  # noqa: ANN401
    return whole(name, chat(choice(content, reason)), **expected)


def used(name: str, usage: object, tokens: object = "estimated", **expected: Any) -> Answer:  # noqa: ANN401
    return whole(name, chat(choice(), usage=usage), usage=tokens, **expected)


def called(name: str, *calls: object, expected: Sequence[tuple[str | None, str]]) -> Answer:
    body = chat(choice(None, "tool_calls", tool_calls=list(calls)))
    return whole(name, body, text=None, calls=tuple(expected), finish="tool_calls")


def failed(name: str, body: object, **expected: Any) -> Answer:  # noqa: ANN401
    facts: dict[str, Any] = {"text": None, "finish": None, "usage": None, "outcome": "failed"}
    return whole(name, body, **{**facts, **expected})


def function(arguments: object, name: str | None = "weather", **fields: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def delta(finish: object = None, **fields: object) -> dict[str, Any]:
    return chunk({"index": 0, "delta": fields, "finish_reason": finish})


def chunk(*choices: object, **fields: object) -> dict[str, Any]:
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "served"}
    return {**body, "choices": list(choices), **fields}


def frames(*events: object, end: str = "\n\n") -> bytes:
    parts = (
        event if isinstance(event, bytes) else b"data: " + encoded(event) + end.encode()
        for event in events
    )
    return b"".join(parts)


DONE = b"data: [DONE]\n\n"
USAGE_ONLY = chunk(usage=USAGE)
HELLO, WORLD, STOP = delta(content="hello"), delta(content=" world"), delta("stop")


def stream(name: str, *events: object, **expected: Any) -> Answer:  # noqa: ANN401
    body = frames(*events)
    return Answer(
        name, body, **{"stream": True, "headers": (("content-type", EVENTS),), **expected}
    )


def calls_streamed(
    name: str, *deltas: object, expected: Sequence[tuple[str | None, str]]
) -> Answer:
    events = [delta(tool_calls=[call]) for call in deltas]
    facts: dict[str, Any] = {"text": None, "finish": "tool_calls", "calls": tuple(expected)}
    return stream(name, *events, delta("tool_calls"), USAGE_ONLY, DONE, **facts)


BOTH = (("weather", PARIS), ("weather", ROME))

WHOLE = [
    whole("usual", chat(choice())),
    # Content.
    said("content in parts with thinking",
         [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
          {"type": "text", "text": "hello world"}]),
    said("content that is one part", {"type": "text", "text": "hello world"}),
    said("content in strings", ["hello", " world"]),
    said("content with a value", [{"type": "text", "text": {"value": "hello world"}}]),
    said("content of the other API", [{"type": "output_text", "text": "hello world"}]),
    said("content with null in it", [None, {"type": "text", "text": "hello world"}],
         unread=("content",)),
    said("content that is a number", 42, text="", unread=("content",)),
    said("content that is null", None, text=""),
    said("content with an image", [{"type": "image_url", "image_url": {"url": "data:…"}}], text=None),
    said("half an emoji", "hi \ud83c", text="hi \ufffd"),
    said("a character of no plane", "a\x00b", text="a\x00b"),
    whole("refusal", chat(choice(None, refusal="No.")), text=None),
    said("refusal in a part", [{"type": "refusal", "refusal": "No."}], text=None),
    whole("refusal that is an object", chat(choice(refusal={"a": 1})), unread=("refusal",)),
    whole("audio", chat(choice(None, audio={"id": "a", "data": "AA", "transcript": "hello world"}))),
    whole("audio without a transcript", chat(choice(None, audio={"data": "AA"})), text=None),
    whole("audio that is a text", chat(choice(audio="AA")), unread=("audio",)),
    whole("images", chat(choice(images=[{"type": "image_url"}]))),
    whole("images alone", chat(choice("", images=[{"type": "image_url"}])), text=None),
    whole("reasoning that is a list", chat(choice(reasoning=["hm"]))),
    said("content that is the object asked for", {"answer": 42}, text='{"answer":42}'),
    said("content with a thought of another name",
         [{"type": "reasoning_content", "text": "hm"}, {"type": "text", "text": "hello world"}]),
    whole("a video", chat(choice("", videos=[{"url": "…"}])), text=None),
    # The finish reason.
    *[said(f"finish reason {odd!r}", "hello world", odd, finish=None, unread=("finish_reason",))
      for odd in ({"type": "stop"}, 1, ["stop"], True)],
    said("finish reason empty", "hello world", "", finish=None),
    said("finish reason absent", "hello world", None, finish=None),
    *[said(f"finish reason {reason}", "hello world", reason, finish=reason, outcome="failed")
      for reason in ("abort", "error", "ABORT", "insufficient_system_resource")],
    *[said(f"finish reason {reason}", "hello world", reason, finish=reason, outcome="failed")
      for reason in ("internal_error", "engine_overloaded", "MALFORMED_FUNCTION_CALL",
                     "function_call_filter: MALFORMED_FUNCTION_CALL", "rate_limit",
                     "resource_exhausted", "Unavailable")],
    said("cut off", "hello world", "length", finish="length"),
    # Choices.
    whole("choices empty", chat(), text="", finish=None, outcome="failed"),
    whole("choices null", chat() | {"choices": None}, text=None, finish=None, outcome="failed"),
    whole("choices that are one", chat() | {"choices": choice()}),
    whole("choices that are a text", chat() | {"choices": "no"}, text=None, finish=None,
          outcome="failed", unread=("choices",)),
    whole("choices with null", chat(None), text="", finish=None, outcome="failed",
          unread=("choices",)),
    *[whole(f"index {index!r}", chat(choice() | {"index": index})) for index in (None, "0", 1, -1, 0.0)],
    whole("several choices", chat(choice("other") | {"index": 1}, choice())),
    # Tools.
    called("arguments that are an object", function({"city": "Paris"}), expected=[("weather", PARIS)]),
    called("arguments that are a list", function(["a"]), expected=[("weather", '["a"]')]),
    called("arguments null", function(None), expected=[("weather", "")]),
    called("a name that is a number", function("{}", None) | {"id": 7}, expected=[(None, "{}")]),
    called("a custom tool", {"id": "a", "type": "custom", "custom": {"name": "run", "input": "1"}},
           expected=[("run", "1")]),
    called("two calls with one index", function(PARIS, index=0), function(ROME, index=0), expected=BOTH),
    called("two calls with one id", function(PARIS, id="a"), function(ROME, id="a"), expected=BOTH),
    called("a call without a function", {"id": "a", "name": "weather", "arguments": PARIS},
           expected=[("weather", PARIS)]),
    whole("calls that are one", chat(choice(None, "tool_calls", tool_calls=function(PARIS))),
          text=None, finish="tool_calls", calls=(("weather", PARIS),)),
    whole("calls that are a text", chat(choice(tool_calls="no")), unread=("tool_calls",)),
    whole("calls in a text", chat(choice(None, "tool_calls", tool_calls=json.dumps([function(PARIS)]))),
          text=None, finish="tool_calls", calls=(("weather", PARIS),)),
    whole("a text beside calls", chat(choice("Let me look.", tool_calls=[function({"city": "Paris"})])),
          text="Let me look.", calls=(("weather", PARIS),)),
    whole("a function call", chat(choice(None, "function_call",
                                         function_call={"name": "weather", "arguments": PARIS})),
          text=None, finish="function_call", calls=(("weather", PARIS),)),
    whole("a function call with an object",
          chat(choice(None, function_call={"name": "weather", "arguments": {"city": "Paris"}})),
          text=None, calls=(("weather", PARIS),)),
    whole("a function call beside the calls that it repeats",
          chat(choice(None, "tool_calls", tool_calls=[function(PARIS)],
                      function_call={"name": "weather", "arguments": PARIS})),
          text=None, finish="tool_calls", calls=(("weather", PARIS),)),
    called("arguments of another name", {"id": "a", "function": {"name": "weather", "parameters": {"city": "Paris"}}},
           expected=[("weather", PARIS)]),
    whole("half an emoji in an argument", chat(choice(None, tool_calls=[function({"a": "\ud83c"})])),
          text=None, calls=(("weather", '{"a":"\ufffd"}'),)),
    # The usage.
    used("usage of other names", TOKENS, (7, 3)),
    used("usage of a third", {"promptTokenCount": 7, "candidatesTokenCount": 3}, (7, 3)),
    used("usage in texts", {"prompt_tokens": "7", "completion_tokens": "3"}, (7, 3)),
    used("usage in floats", {"prompt_tokens": 7.0, "completion_tokens": 3.0}, (7, 3)),
    used("usage by its total", {"prompt_tokens": 7, "total_tokens": 10}, (7, 3)),
    used("usage in a group of its own", {"tokens": TOKENS}, (7, 3)),
    used("usage of two names, one of zeros", dict.fromkeys(USAGE, 0) | TOKENS, (7, 3)),
    used("usage of two names and a cache", USAGE | TOKENS | {"cache_read_input_tokens": 4}, (7, 3)),
    used("usage empty", {}),
    used("usage of zeros", dict.fromkeys(USAGE, 0)),
    used("usage of no tokens of the prompt", USAGE | {"prompt_tokens": 0}),
    used("usage of no tokens of the answer", USAGE | {"completion_tokens": 0}),
    said("usage of no tokens of an empty answer", "", usage=(7, 3), text=""),
    used("usage null", None),
    used("usage with null", {"prompt_tokens": None, "completion_tokens": 3, "total_tokens": 3}),
    *[used(f"usage {odd!r}", USAGE | {"completion_tokens": odd}, unread=("usage.completion_tokens",))
      for odd in (-1000, 10**20, 10**400, 2**63, 2.5, "many", True, [3])],
    *[used(f"usage that is {odd!r}", odd, unread=("usage",)) for odd in ([1], "7", 7)],
    whole("usage not a number", raw(chat(choice(), usage=USAGE | {"prompt_tokens": "<n>"}), n="NaN"),
          usage="estimated"),
    whole("usage in a choice", chat(choice() | {"usage": USAGE}, usage=None)),
    # Other fields.
    *[whole(f"logprob {odd}", raw(chat(choice() | {"logprobs": {"content": [{"logprob": "<n>"}]}}), n=odd))
      for odd in ("-Infinity", "NaN", "1e999", "-1e999")],
    whole("model that is a number", chat(choice(), model=5)),
    whole("fingerprint that is an object", chat(choice(), system_fingerprint={})),
    whole("created beyond 64 bits", chat(choice(), created=10**30)),
    whole("a number of 5,000 digits", raw(chat(choice(), created="<n>"), n="9" * 5000)),
    whole("metadata nested deeply", raw(chat(choice(), metadata="<n>"), n="[" * 300 + "]" * 300)),
    whole("more behind it", encoded(chat(choice())) + b"\n{}"),
    whole("zeros behind it", encoded(chat(choice())) + b" \x00\x00"),
    whole("an error behind it", encoded(chat(choice())) + b'\n{"error": {"code": 500}}', outcome="failed"),
    whole("a message that is a text", chat({"message": "hello world", "finish_reason": "stop"})),
    whole("a finish reason of another name", chat({"message": {"content": "hello world"}, "finishReason": "stop"})),
    whole("a byte order mark", b"\xef\xbb\xbf" + encoded(chat(choice()))),
    whole("bytes that are no UTF-8", encoded(chat(choice("hi<>"))).replace(b"<>", b"\xe9"),
          text="hi\ufffd"),
    whole("an error that is null", chat(choice(), error=None)),
    # No answers.
    failed("an error", {"error": {"message": "Rate limit exceeded", "code": 429}}),
    failed("an error that is a text", {"error": "overloaded"}),
    failed("an error of an older server", {"object": "error", "message": "boom", "code": 400}),
    failed("an error of the other API", {"type": "error", "error": {"type": "overloaded_error"}}),
    failed("an error beside choices", chat(choice(""), error={"code": 502}), text="", finish="stop",
           usage=(7, 3)),
    failed("an error in a choice", chat(choice("") | {"error": {"code": 502}}, usage=None), text="",
           finish="stop"),
    failed("an error in a message", chat(choice("", error={"code": 502}), usage=None), text="",
           finish="stop"),
    failed("a detail", {"detail": "Not Found"}),
    failed("HTML", b"<html>login</html>", headers=(("content-type", "text/html"),), unread=("answer",)),
    *[failed(f"a body {odd!r}", odd, unread=("answer",))
      for odd in (b"", b" \n", b"null", b"[]", b'"hello"', b'{"choices": [{"mess')],
    failed("a redirect", b"", status=302, headers=(("location", "/login"),), unread=("answer",)),
    failed("no content", b"", status=204, headers=(), unread=("answer",)),
    *[failed(f"status {status}", {"error": {"message": "no"}}, status=status)
      for status in (402, 408, 429, 498, 500, 503, 524, 529)],
    *[failed(f"status {status}", {"error": {"message": "no"}}, status=status, outcome="rejected")
      for status in (400, 403, 404, 422)],
    # Transport.
    whole("without a content type", chat(choice()), headers=()),
    whole("as a text", chat(choice()), headers=(("content-type", "text/plain"),)),
    whole("gzip that nobody asked for", gzip.compress(encoded(chat(choice())), mtime=0),
          headers=(("content-type", JSON), ("content-encoding", "gzip"))),
    whole("gzip in several bodies", b"".join(gzip.compress(part, mtime=0) for part in halves(encoded(chat(choice())))),
          headers=(("content-type", JSON), ("content-encoding", "gzip"))),
    whole("gzip with bytes behind it", gzip.compress(encoded(chat(choice())), mtime=0) + b"\x00\x00",
          headers=(("content-type", JSON), ("content-encoding", "gzip"))),
    whole("zstd that nobody asked for", b"".join(map(zstandard.compress, halves(encoded(chat(choice()))))),
          headers=(("content-type", JSON), ("content-encoding", "zstd"))),
    whole("gzip twice", zipped(encoded(chat(choice())), 2),
          headers=(("content-type", JSON), ("content-encoding", "gzip, GZIP"))),
    whole("gzip by two headers", gzip.compress(zlib.compress(encoded(chat(choice()))), mtime=0),
          headers=(("content-encoding", "deflate"), ("content-encoding", "gzip"))),
    whole("no encoding", chat(choice()), headers=(("content-type", JSON), ("content-encoding", "identity"))),
    *[whole(f"the encoding {odd!r}", zipped(encoded(chat(choice())), odd.count("gzip")), text=None, finish=None, usage=None,
            headers=(("content-type", JSON), ("content-encoding", odd)), outcome="unread",
            unread=("content_encoding",)) for odd in ("br", "gzip, br", "gzip, gzip, gzip")],
    whole("deflate that nobody asked for", zlib.compress(encoded(chat(choice()))),
          headers=(("content-type", JSON), ("content-encoding", "Deflate"))),
    whole("lines of JSON", b"\n".join(map(encoded, (HELLO, WORLD, STOP, USAGE_ONLY)))),
    whole("a stream that nobody asked for", frames(HELLO, WORLD, STOP, USAGE_ONLY, DONE)),
]  # fmt: skip

STREAMS = [
    stream("streamed", HELLO, WORLD, STOP, USAGE_ONLY, DONE),
    # Chunks.
    stream("a role first", delta(role="assistant", content=""), HELLO, WORLD, STOP, USAGE_ONLY, DONE),
    stream("reasoning first", delta(reasoning_content="hm"), HELLO, WORLD, STOP, USAGE_ONLY, DONE),
    stream("reasoning in an object", delta(reasoning={"a": "hm"}), HELLO, WORLD, STOP, USAGE_ONLY, DONE),
    stream("content in parts",
           delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
           delta(content=[{"type": "text", "text": "hello"}]), WORLD, STOP, USAGE_ONLY, DONE),
    stream("content that is a number", HELLO, delta(content=5), WORLD, STOP, USAGE_ONLY, DONE,
           unread=("content",)),
    stream("an emoji in two halves", delta(content="hi \ud83c"), delta(content="\udf89 yes"), STOP,
           USAGE_ONLY, DONE, text="hi \U0001f389 yes"),
    stream("audio", delta(audio={"id": "a"}), delta(audio={"transcript": "Hel", "data": "AA"}),
           delta(audio={"transcript": "lo", "data": "AA"}), STOP, USAGE_ONLY, DONE, text="Hello"),
    stream("images", delta(content="", images=[{"type": "image_url"}]), STOP, USAGE_ONLY, DONE, text=None),
    stream("a refusal", delta(refusal="N"), delta(refusal="o."), STOP, USAGE_ONLY, DONE, text=None),
    stream("choices null", HELLO, WORLD, STOP, chunk(usage=USAGE) | {"choices": None}, DONE),
    stream("choices absent", HELLO, WORLD, STOP, {"usage": USAGE}, DONE),
    stream("choices that are one", chunk() | {"choices": HELLO["choices"][0]}, WORLD, STOP, USAGE_ONLY, DONE),
    stream("index null", *[chunk({**each["choices"][0], "index": None}) for each in (HELLO, WORLD, STOP)],
           USAGE_ONLY, DONE),
    stream("an index that grows", *[chunk({**each["choices"][0], "index": index})
           for index, each in enumerate((HELLO, WORLD, STOP))], USAGE_ONLY, DONE),
    stream("cancelled", HELLO, WORLD, delta("cancelled"), USAGE_ONLY, DONE, finish="cancelled",
           outcome="failed"),
    stream("whole at the end", HELLO, WORLD, chunk(choice()), USAGE_ONLY, DONE),
    stream("whole at once", chunk(choice()), USAGE_ONLY, DONE),
    stream("no JSON between", HELLO, b"data: {oops\n\n", WORLD, STOP, USAGE_ONLY, DONE, unread=("answer",)),
    stream("logprobs", b"data: " + raw(chunk({"index": 0, "delta": {"content": "hello world"},
           "logprobs": {"content": [{"logprob": "<n>"}]}}), n="-Infinity") + b"\n\n", STOP, USAGE_ONLY, DONE),
    # The finish reason.
    stream("finish reason empty", *[chunk({**each["choices"][0], "finish_reason": ""})
           for each in (HELLO, WORLD)], STOP, USAGE_ONLY, DONE),
    stream("finish reason odd", HELLO, WORLD, delta({"a": 1}), USAGE_ONLY, DONE, finish=None,
           unread=("finish_reason",)),
    stream("given up", HELLO, WORLD, delta("abort"), USAGE_ONLY, DONE, finish="abort", outcome="failed"),
    stream("done without a reason", HELLO, WORLD, USAGE_ONLY, DONE, finish=None),
    stream("a reason and not done", HELLO, WORLD, STOP, usage="estimated"),
    stream("in an unknown encoding", HELLO, WORLD, STOP, DONE, text=None, finish=None, usage=None, outcome="unread",
           headers=(("content-type", EVENTS), ("content-encoding", "br")), unread=("content_encoding",)),
    stream("neither", HELLO, WORLD, finish=None, usage="estimated", outcome="failed"),
    stream("a byte order mark", b"\xef\xbb\xbf", HELLO, WORLD, STOP, USAGE_ONLY, DONE),
    stream("single line feeds", frames(HELLO, WORLD, STOP, USAGE_ONLY, end="\n") + b"data: [DONE]\n"),
    # The usage.
    stream("null tokens on every chunk",
           *[each | {"usage": dict.fromkeys(USAGE)} for each in (HELLO, WORLD)], STOP | {"usage": USAGE}, DONE),
    stream("usage growing", HELLO | {"usage": USAGE | {"completion_tokens": 1}}, WORLD, STOP | {"usage": USAGE}, DONE),
    stream("usage of zeros at the end", HELLO, WORLD, STOP, USAGE_ONLY,
           chunk(usage=dict.fromkeys(USAGE, 0)), DONE),
    stream("usage elsewhere", HELLO, WORLD, STOP | {"x_groq": {"usage": USAGE}}, DONE),
    stream("usage in a choice", HELLO, WORLD, chunk({**STOP["choices"][0], "usage": USAGE}), DONE),
    stream("usage of other names", HELLO, WORLD, STOP, chunk(usage=TOKENS), DONE),
    stream("usage beyond 64 bits", HELLO, WORLD, STOP, chunk(usage=USAGE | {"completion_tokens": 10**20}),
           DONE, usage="estimated", unread=("usage.completion_tokens",)),
    stream("the end with a blank", HELLO, WORLD, USAGE_ONLY, b"data: [DONE] \n\n", finish=None),
    stream("the end in quotes", HELLO, WORLD, USAGE_ONLY, b'data: "[done]"\n\n', finish=None),
    stream("a delta that is a text", chunk({"index": 0, "delta": "hello world", "finish_reason": None}), STOP,
           USAGE_ONLY, DONE),
    stream("an error in a delta", HELLO, delta(error={"code": 500}), DONE, text="hello", finish=None, usage=None,
           outcome="failed"),
    stream("an error that is no event", HELLO, b'{"error": {"message": "boom"}}\n\n', DONE, text="hello",
           finish=None, usage=None, outcome="failed"),
    # Errors.
    stream("an error in a choice", HELLO, chunk({**delta("error", content="")["choices"][0],
           "error": {"code": 502}}), DONE, text="hello", finish="error", usage=None, outcome="failed"),
    stream("an error beside choices", HELLO, delta("error", content="") | {"error": {"code": 502}}, DONE,
           text="hello", finish="error", usage=None, outcome="failed"),
    stream("an error alone", HELLO, {"error": {"message": "boom"}}, DONE, text="hello", finish=None,
           usage=None, outcome="failed"),
    stream("an error of an older server", HELLO, {"object": "error", "message": "boom"}, DONE,
           text="hello", finish=None, usage=None, outcome="failed"),
    stream("an error named by its event", HELLO, b'event: error\ndata: {"message": "boom"}\n\n',
           text="hello", finish=None, usage=None, outcome="failed"),
    stream("an error that is no event", b'{"error": {"message": "boom"}}', text=None, finish=None,
           usage=None, outcome="failed"),
    stream("an error after the reason", HELLO, WORLD, STOP, {"error": {"code": 500}}, usage=None,
           outcome="failed"),
    stream("only done", DONE, text=None, finish=None, usage=None, outcome="failed"),
    stream("nothing", text=None, finish=None, usage=None, outcome="failed"),
    # Tools.
    calls_streamed("a name in pieces", function("", "weathe", index=0, id="a"), function("", "r", index=0),
                   function(PARIS, None, index=0), expected=[("weather", PARIS)]),
    calls_streamed("a call in parts", function("", id="a", index=0),
                   {"index": 0, "function": {"arguments": '{"city":'}},
                   {"index": 0, "function": {"arguments": '"Paris"}'}}, expected=BOTH[:1]),
    calls_streamed("calls with one index", function(PARIS, id="a", index=0),
                   function(ROME, id="b", index=0), expected=BOTH),
    calls_streamed("calls with one index in parts", function("", id="a", index=0),
                   {"index": 0, "function": {"arguments": PARIS}}, function("", id="b", index=0),
                   {"index": 0, "function": {"arguments": ROME}}, expected=BOTH),
    calls_streamed("calls with one index and no ids", function(PARIS, index=0), function(ROME, index=0),
                   expected=BOTH),
    calls_streamed("calls without an index", function(PARIS, id="a"), function(ROME, id="b"), expected=BOTH),
    calls_streamed("calls without an index in parts", function("", id="a"),
                   {"function": {"arguments": PARIS}}, function("", id="b"),
                   {"function": {"arguments": ROME}}, expected=BOTH),
    calls_streamed("calls with null for an index", function(PARIS, id="a", index=None),
                   function(ROME, id="b", index=None), expected=BOTH),
    calls_streamed("calls in turn by index", function("", id="a", index=0), function("", id="b", index=1),
                   {"index": 0, "function": {"arguments": PARIS}},
                   {"index": 1, "function": {"arguments": ROME}}, expected=BOTH),
    calls_streamed("parts told by their id", function("", id="a", index=0), function("", id="b", index=0),
                   {"index": 0, "id": "a", "function": {"arguments": PARIS}},
                   {"index": 0, "id": "b", "function": {"arguments": ROME}}, expected=BOTH),
    calls_streamed("a new id for every part", function("", id="a", index=0),
                   {"index": 0, "id": "b", "function": {"arguments": PARIS}}, expected=BOTH[:1]),
    *[calls_streamed(f"the id {again!r} and the name with every part", function('{"city":', id="a", index=0),
                     function('"Paris"}', id=again, index=0), expected=BOTH[:1]) for again in ("", "b")],
    calls_streamed("calls with one id", function(PARIS, id="a", index=0), function(ROME, id="a", index=1), expected=BOTH),
    calls_streamed("custom calls with one index",
                   *[{"index": 0, "id": name, "type": "custom", "custom": {"name": "run", "input": "1"}} for name in "ab"],
                   expected=[("run", "1"), ("run", "1")]),
    *[calls_streamed(f"calls in turn by indexes such as {indexes[1]!r}",
                     function("", id="a", index=indexes[0]), function("", id="b", index=indexes[1]),
                     {"index": indexes[0], "function": {"arguments": PARIS}},
                     {"index": indexes[1], "function": {"arguments": ROME}}, expected=BOTH)
      for indexes in (("0", "1"), (0.0, 1.0))],
    calls_streamed("arguments that begin with an empty object", function({}, id="a", index=0),
                   {"index": 0, "function": {"arguments": PARIS}}, expected=BOTH[:1]),
    calls_streamed("an index that grows", function("", id="a", index=0),
                   {"index": 1, "function": {"arguments": PARIS}}, expected=BOTH[:1]),
    calls_streamed("an index from one", function(PARIS, id="a", index=1), function(ROME, id="b", index=2),
                   expected=BOTH),
    calls_streamed("an index in a text", function(PARIS, id="a", index="0"), function(ROME, id="b", index="0"),
                   expected=BOTH),
    calls_streamed("arguments that are an object", function({"city": "Paris"}, id="a", index=0),
                   expected=BOTH[:1]),
    calls_streamed("a custom tool", {"index": 0, "id": "a", "type": "custom", "custom": {"name": "run"}},
                   {"index": 0, "custom": {"input": "1"}}, expected=[("run", "1")]),
    stream("calls together", delta(tool_calls=[function(PARIS, id="a"), function(ROME, id="b")]),
           delta("tool_calls"), USAGE_ONLY, DONE, text=None, finish="tool_calls", calls=BOTH),
    stream("a call and the end", delta(content="Let me look."),
           delta("tool_calls", tool_calls=[function({"city": "Paris"}, id="a", index=0)]) | {"usage": USAGE},
           DONE, text="Let me look.", finish="tool_calls", calls=BOTH[:1]),
    stream("a function call", delta(function_call={"name": "weather", "arguments": ""}),
           delta(function_call={"arguments": PARIS}), delta("function_call"), USAGE_ONLY, DONE,
           text=None, finish="function_call", calls=BOTH[:1]),
    # Transport.
    replace(stream("in capitals", HELLO, WORLD, STOP, USAGE_ONLY, DONE),
            headers=(("Content-Type", "Text/Event-Stream; charset=UTF-8"),)),
    replace(stream("without a content type", HELLO, WORLD, STOP, USAGE_ONLY, DONE), headers=()),
    replace(stream("as JSON", HELLO, WORLD, STOP, USAGE_ONLY, DONE), headers=(("content-type", JSON),)),
    replace(stream("in gzip, each event by itself", HELLO, WORLD, STOP, USAGE_ONLY, DONE),
            body=b"".join(gzip.compress(frames(event), mtime=0) for event in (HELLO, WORLD, STOP, USAGE_ONLY, DONE)),
            headers=(("content-type", EVENTS), ("content-encoding", "gzip"))),
    replace(stream("in gzip", HELLO, WORLD, STOP, USAGE_ONLY, DONE),
            body=gzip.compress(frames(HELLO, WORLD, STOP, USAGE_ONLY, DONE), mtime=0),
            headers=(("content-type", EVENTS), ("content-encoding", "gzip"))),
    replace(stream("lines that end as in HTTP"), body=frames(HELLO, WORLD, STOP, USAGE_ONLY, end="\r\n\r\n"),
            text="hello world", finish="stop", usage=(7, 3), outcome="ok"),
    replace(stream("the last line has no end"), body=frames(HELLO, WORLD, STOP, USAGE_ONLY).rstrip(),
            text="hello world", finish="stop", usage=(7, 3), outcome="ok"),
    stream("comments between", b": ping\n\n", HELLO, b": ping\n\n", WORLD, STOP, USAGE_ONLY, DONE),
    replace(whole("whole though a stream was asked for", chat(choice())), stream=True),
    replace(failed("an error though a stream was asked for", {"error": {"code": 429}}), stream=True),
]  # fmt: skip

CHAT_ANSWERS = [*WHOLE, *STREAMS]
