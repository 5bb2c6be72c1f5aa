"""Answers of the other APIs that servers have been seen to send, and what is in each."""
# ruff: noqa: E501 - a table

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.gateway.upstream_answers import (
    BOTH,
    CHAT_ANSWERS,
    DONE,
    PARIS,
    ROME,
    TOKENS,
    USAGE,
    Answer,
    failed,
    frames,
    raw,
    stream,
    whole,
)

__all__ = ["ANSWERS"]


def completion(*choices: object, usage: object = USAGE, **fields: object) -> dict[str, Any]:
    return {
        "object": "text_completion",
        "model": "served",
        "choices": list(choices),
        "usage": usage,
        **fields,
    }


def written(
    text: object = "hello world", finish: object = "stop", **fields: object
) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": finish, **fields}


OF_COMPLETIONS = [
    whole("completion", completion(written())),
    whole("completion with logprobs", raw(completion(written(logprobs=["<n>"])), n="-Infinity")),
    whole("completion of null", completion(written(None)), text=""),
    whole("completion in a list", completion(written(["hello", " world"]))),
    whole("completion with an odd reason", completion(written(finish=3)), finish=None, unread=("finish_reason",)),
    whole("completion given up", completion(written(finish="abort")), finish="abort", outcome="failed"),
    whole("completion without choices", completion(), text="", finish=None, outcome="failed"),
    whole("completion with usage in texts", completion(written(), usage={"prompt_tokens": "7", "completion_tokens": "3"})),
    failed("completion that is an error", {"error": {"message": "boom"}}),
    failed("completion that is HTML", b"<html>", unread=("answer",)),
    stream("completion streamed", completion(written("hello", None), usage=None),
           completion(written(" world")), DONE),
    stream("completion streamed with halves", completion(written("\ud83c", None), usage=None),
           completion(written("\udf89")), DONE, text="\U0001f389"),
    stream("completion with an error between", completion(written("hello", None), usage=None),
           {"error": {"code": 500}}, DONE, text="hello", finish=None, usage=None, outcome="failed"),
    stream("completion that breaks off", completion(written("hello", None), usage=None), text="hello",
           finish=None, usage="estimated", outcome="failed"),
]  # fmt: skip


def part(text: str = "hello world") -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def item(*content: object) -> dict[str, Any]:
    return {"type": "message", "id": "m1", "role": "assistant", "content": list(content)}


def response(*output: object, status: object = "completed", **fields: object) -> dict[str, Any]:
    body = {"id": "r1", "object": "response", "status": status, "error": None, "model": "served"}
    return {**body, "output": list(output), "usage": TOKENS, **fields}


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + frames({"type": kind, **fields})


def text_delta(text: object) -> bytes:
    return event("response.output_text.delta", item_id="m1", delta=text)


CREATED = event("response.created", response=response(status="in_progress", usage=None))
COMPLETED = event("response.completed", response=response(item(part())))
CALL = {"type": "function_call", "id": "i1", "call_id": "a", "name": "weather", "arguments": PARIS}
NOT_YET: dict[str, Any] = {"text": None, "finish": None, "usage": None}

OF_RESPONSES = [
    whole("response", response(item(part()))),
    whole("response with a thought", response({"type": "reasoning", "summary": []}, item(part()))),
    whole("response with another kind of item", response({"type": "tool_search_call", "arguments": {}}, item(part()))),
    whole("response with null for an item", response(None, item(part())), unread=("output",)),
    whole("response whose content is a text", response(item() | {"content": "hello world"})),
    whole("response whose output is one", response() | {"output": item(part())}),
    whole("response that refuses", response(item({"type": "refusal", "refusal": "No."})), text=None),
    whole("response that calls", response(CALL), text=None, finish="tool_calls", calls=BOTH[:1]),
    whole("response that calls with an object", response(CALL | {"arguments": {"city": "Paris"}}), text=None,
          finish="tool_calls", calls=BOTH[:1]),
    whole("response that calls a custom tool",
          response({"type": "custom_tool_call", "call_id": "a", "name": "run", "input": "1"}), text=None,
          finish="tool_calls", calls=(("run", "1"),)),
    whole("response that calls twice", response(CALL, CALL | {"id": "i2", "call_id": "b", "arguments": ROME}),
          text=None, finish="tool_calls", calls=BOTH),
    whole("response with an image", response({"type": "image_generation_call", "result": "AA"}), text=None),
    *[whole(f"response that asks for {kind}", response({"type": kind, "call_id": "a", "action": {}}), text=None)
      for kind in ("computer_call", "local_shell_call", "apply_patch_call", "mcp_approval_request")],
    whole("response in capitals", response(item(part()), status="COMPLETED")),
    failed("response expired", response(status="expired", usage=None)),
    failed("response in a state that nobody knows", response(status="requires_action", usage=None)),
    whole("response cut off", response(item(part()), status="incomplete",
          incomplete_details={"reason": "max_output_tokens"}), finish="length"),
    whole("response filtered", response(item(part()), status="incomplete",
          incomplete_details={"reason": "content_filter"}), finish="content_filter"),
    whole("response incomplete without a reason", response(item(part()), status="incomplete"), finish=None),
    whole("response queued", response(status="queued", usage=None), **NOT_YET, outcome="pending"),
    whole("response in progress", response(status="in_progress", usage=None), **NOT_YET, outcome="pending"),
    whole("response cancelled", response(status="cancelled", usage=None), **NOT_YET, outcome="cancelled"),
    failed("response failed", response(status="failed", usage=None, error={"code": "server_error"})),
    failed("response failed without an error", response(status="failed", usage=None)),
    failed("response that is an error", {"error": {"message": "boom"}}),
    failed("response that is HTML", b"<html>", unread=("answer",)),
    whole("response whose status is a number", response(item(part()), status=5), finish=None, unread=("status",)),
    whole("response whose text stands apart", response() | {"output_text": "hello world"}),
    whole("response with usage null", response(item(part()), usage=None), usage="estimated"),
    whole("response with usage in texts", response(item(part()), usage={"input_tokens": "7", "output_tokens": "3"})),
    stream("response streamed", CREATED, text_delta("hello"), text_delta(" world"), COMPLETED),
    stream("response streamed with another item", CREATED, text_delta("hello world"), event("response.completed",
           response=response({"type": "tool_search_call", "arguments": {"query": "x"}}, item(part())))),
    stream("response streamed with half a usage", CREATED, text_delta("hello"), text_delta(" world"),
           event("response.completed", response=response(item(part()), usage={"input_tokens": None, "output_tokens": 3})),
           usage="estimated"),
    stream("response whose end repeats nothing", CREATED, text_delta("hello"), text_delta(" world"),
           event("response.completed", response=response())),
    stream("response whose end is bare", CREATED, text_delta("hello world"), event("response.completed"),
           finish=None, usage="estimated"),
    stream("response with a delta of null", CREATED, text_delta(None), text_delta("hello world"), COMPLETED),
    stream("response of whole items", CREATED, event("response.output_item.done", item=item(part())),
           event("response.completed", response=response())),
    stream("response of whole texts", CREATED, event("response.output_text.done", text="hello world"),
           event("response.completed", response=response())),
    *[stream(f"response that ends in state {state!r}", CREATED, text_delta("hello world"),
             event("response.completed", response=response(item(part()), status=state))) for state in (None, "succeeded")],
    stream("response in halves", CREATED, text_delta("\ud83c"), text_delta("\udf89"),
           event("response.completed", response=response()), text="\U0001f389"),
    stream("response that refuses, streamed", CREATED, event("response.refusal.delta", delta="No."),
           event("response.completed", response=response()), text=None),
    stream("response that calls, streamed", CREATED,
           event("response.output_item.added", item=CALL | {"arguments": ""}),
           event("response.function_call_arguments.delta", item_id="i1", delta=PARIS),
           event("response.completed", response=response()), text=None, finish="tool_calls", calls=BOTH[:1]),
    stream("response incomplete, streamed", CREATED, text_delta("hello world"),
           event("response.incomplete", response=response(item(part()), status="incomplete",
                 incomplete_details={"reason": "max_output_tokens"})), finish="length"),
    stream("response failed, streamed", CREATED, text_delta("hello"), event("response.failed",
           response=response(status="failed", usage=None, error={"code": "server_error"})), text="hello",
           finish=None, usage=None, outcome="failed"),
    stream("response with an error between", CREATED, text_delta("hello"), event("error", code="server_error"),
           text="hello", finish=None, usage=None, outcome="failed"),
    stream("response that breaks off", CREATED, text_delta("hello"), text="hello", finish=None,
           usage="estimated", outcome="failed"),
]  # fmt: skip


def message(
    *content: object, stop: object = "end_turn", usage: object = TOKENS, **fields: object
) -> dict[str, Any]:
    body = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "stop_sequence": None,
    }
    return {**body, "content": list(content), "stop_reason": stop, "usage": usage, **fields}


def block(index: int, **content: object) -> bytes:
    return event("content_block_start", index=index, content_block=content)


def block_delta(index: int, **content: object) -> bytes:
    return event("content_block_delta", index=index, delta=content)


SAID = {"type": "text", "text": "hello world"}
STARTED = event(
    "message_start", message=message(stop=None, usage={"input_tokens": 7, "output_tokens": 1})
)
TEXT = (block(0, type="text", text=""), block_delta(0, type="text_delta", text="hello"),
        block_delta(0, type="text_delta", text=" world"), event("content_block_stop", index=0))  # fmt: skip
ENDED = (
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}),
    event("message_stop"),
)

OF_MESSAGES = [
    whole("message", message(SAID), finish="end_turn"),
    whole("message with a thought", message({"type": "thinking", "thinking": "hm"}, SAID), finish="end_turn"),
    whole("message cut off", message(SAID, stop="max_tokens"), finish="max_tokens"),
    whole("message that calls", message(SAID, {"type": "tool_use", "id": "a", "name": "weather",
          "input": {"city": "Paris"}}, stop="tool_use"), finish="tool_use", calls=BOTH[:1]),
    whole("message whose content is a text", message() | {"content": "hello world"}, finish="end_turn"),
    whole("message with a cache", message(SAID, usage={"input_tokens": 2, "cache_read_input_tokens": 4,
          "cache_creation_input_tokens": 1, "output_tokens": 3}), finish="end_turn"),
    whole("message with an odd usage", message(SAID, usage={"input_tokens": None, "output_tokens": "3"}),
          finish="end_turn", usage="estimated"),
    whole("message that runs a tool of the server", message({"type": "server_tool_use", "id": "a", "name": "search",
          "input": {}}, stop="pause_turn"), text=None, finish="pause_turn"),
    whole("message that refuses", message(stop="refusal"), text="", finish="refusal"),
    whole("message whose content is null", message() | {"content": None}, text="", finish="end_turn"),
    failed("message that is an error", {"type": "error", "error": {"type": "overloaded_error"}}),
    failed("message that is HTML", b"<html>", unread=("answer",)),
    stream("message streamed", STARTED, event("ping"), *TEXT, *ENDED, finish="end_turn"),
    stream("message streamed with a thought", STARTED, block(0, type="thinking", thinking=""),
           block_delta(0, type="thinking_delta", thinking="hm"), *TEXT, *ENDED, finish="end_turn"),
    stream("message that calls, streamed", STARTED,
           block(0, type="tool_use", id="a", name="weather", input={}),
           block_delta(0, type="input_json_delta", partial_json=PARIS[:5]),
           block_delta(0, type="input_json_delta", partial_json=PARIS[5:]),
           block(1, type="tool_use", id="b", name="weather", input={}),
           block_delta(1, type="input_json_delta", partial_json=ROME), *ENDED, text=None, finish="end_turn",
           calls=BOTH),
    stream("message with an error between", STARTED, *TEXT[:2], event("error", error={"type": "overloaded_error"}),
           text="hello", finish=None, usage=(7, 1), outcome="failed"),
    stream("message without its start", *TEXT, event("message_delta", delta={"stop_reason": "end_turn"}, usage=TOKENS),
           finish="end_turn"),
    stream("message whose end gives no reason", STARTED, *TEXT, event("message_stop"), finish=None, usage=(7, 1)),
    stream("message that breaks off", STARTED, *TEXT, finish=None, usage=(7, 1), outcome="failed"),
]  # fmt: skip


def of(route: str, answers: list[Answer]) -> list[Answer]:
    return [replace(answer, route=route) for answer in answers]


ANSWERS = [
    *CHAT_ANSWERS,
    *of("/v1/completions", OF_COMPLETIONS),
    *of("/v1/responses", OF_RESPONSES),
    *of("/v1/messages", OF_MESSAGES),
]
