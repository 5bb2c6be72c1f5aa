"""Whole answers as streams of events, for clients that have been promised a stream.

While an upstream is silent its client gets comments, and with the first one the promise that events
follow. An upstream that then answers in one piece leaves it to the gateway to keep that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tidegauge.capture.answer_fields import Json, as_json, load_all

__all__ = ["choices_as_events", "event_of", "message_as_events", "response_as_events"]

_DONE: Final = b"data: [DONE]\n\n"
_OUTPUT_STATES: Final = frozenset({"completed", "incomplete", "failed", "cancelled", "queued"})


def event_of(body: bytes) -> bytes:
    r"""Return a body as the data of one event; nothing for an empty one.

    Example:
        >>> event_of(b'{"a":\n1}')
        b'data: {"a":\ndata: 1}\n\n'
    """
    data = b"".join(b"data: %b\n" % line for line in body.splitlines())
    return b"%b\n" % data if data else b""


def choices_as_events(body: bytes, *, with_usage: bool) -> bytes:
    """Return an answer of chat or of completions as the events of a stream.

    Args:
        body: The answer.
        with_usage: Whether the client asked for the usage at the end.
    """
    whole = _object(body)
    choices = None if whole is None else whole.get("choices")
    if whole is None or not isinstance(choices, list):
        return event_of(body) + _DONE
    common = {name: value for name, value in whole.items() if name not in {"choices", "usage"}}
    if common.get("object") == "chat.completion":
        common["object"] = "chat.completion.chunk"
    events = [_event({**common, "choices": [_delta(choice)]}) for choice in choices]
    if with_usage and whole.get("usage") is not None:
        events.append(_event({**common, "choices": [], "usage": whole["usage"]}))
    return b"".join([*events, _DONE])


def _delta(choice: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a choice with its message as a delta, whose tool calls have indexes."""
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return choice
    delta = dict(choice["message"])
    if isinstance(delta.get("tool_calls"), list):
        delta["tool_calls"] = [
            {"index": index, **call} if isinstance(call, dict) else call
            for index, call in enumerate(delta["tool_calls"])
        ]
    return {**{name: value for name, value in choice.items() if name != "message"}, "delta": delta}


def message_as_events(body: bytes) -> bytes:
    """Return an answer of the Messages API as the events of a stream."""
    whole = _object(body)
    if whole is None or not isinstance(whole.get("content"), list):
        return event_of(body)
    usage = whole.get("usage")
    begun = {**whole, "content": [], "stop_reason": None, "stop_sequence": None}
    ended = {name: whole.get(name) for name in ("stop_reason", "stop_sequence")}
    blocks = [event for place in enumerate(whole["content"]) for event in _block(*place)]
    events = [
        {"type": "message_start", "message": begun},
        *blocks,
        {"type": "message_delta", "delta": ended, "usage": usage if usage is not None else {}},
        {"type": "message_stop"},
    ]
    return b"".join(map(_named, events))


def _block(index: int, block: Any) -> Iterator[Json]:  # noqa: ANN401 - any JSON
    """Yield the events of one block; what is no text and no call stands whole at its start."""
    kind = block.get("type") if isinstance(block, dict) else None
    start, delta = block, None
    if kind == "text":
        start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block.get("text")}
    elif kind == "tool_use":
        arguments = as_json(block.get("input"))
        start = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": arguments}
    yield {"type": "content_block_start", "index": index, "content_block": start}
    if delta is not None:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def response_as_events(body: bytes) -> bytes:
    """Return an answer of the Responses API as the events of a stream."""
    whole = _object(body)
    if whole is None or not isinstance(whole.get("output"), list):
        return event_of(body)
    state = whole.get("status")
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    items = [event for place in enumerate(whole["output"]) for event in _item(*place)]
    last = state if isinstance(state, str) and state in _OUTPUT_STATES else "completed"
    events = [
        {"type": "response.created", "response": begun},
        *items,
        {"type": f"response.{last}", "response": whole},
    ]
    return b"".join(
        _named({**event, "sequence_number": number}) for number, event in enumerate(events)
    )


def _item(index: int, item: Any) -> Iterator[Json]:  # noqa: ANN401 - any JSON
    """Yield the events of one item of the output: its texts and arguments come as deltas."""
    known: Json = item if isinstance(item, dict) else {}
    place = {"item_id": known.get("id"), "output_index": index}
    parts = known["content"] if isinstance(known.get("content"), list) else []
    arguments = known.get("arguments") if known.get("type") == "function_call" else None
    emptied: Json = {"content": []} if parts else {} if arguments is None else {"arguments": ""}
    begun = {**known, **emptied} if known else item
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for number, part in enumerate(parts):
        yield from _part({**place, "content_index": number}, part)
    if isinstance(arguments, str):
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", **place, "delta": arguments}
        yield {"type": f"{kind}.done", **place, "arguments": arguments}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(place: Json, part: Any) -> Iterator[Json]:  # noqa: ANN401 - any JSON
    text = part.get("text") if isinstance(part, dict) else None
    begun = part if text is None else {**part, "text": ""}
    yield {"type": "response.content_part.added", **place, "part": begun}
    if isinstance(text, str):
        common = {**place, "logprobs": []}
        yield {"type": "response.output_text.delta", **common, "delta": text}
        yield {"type": "response.output_text.done", **common, "text": text}
    yield {"type": "response.content_part.done", **place, "part": part}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = load_all(body)[0]
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _event(value: Json) -> bytes:
    return b"data: %b\n\n" % json.dumps(value, separators=(",", ":")).encode()


def _named(value: Json) -> bytes:
    return b"event: %b\n%b" % (str(value["type"]).encode(), _event(value))
