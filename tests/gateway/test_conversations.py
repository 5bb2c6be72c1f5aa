"""Conversations, turns and repeats in the gateway's events, with requests of a real client."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion

from tidegauge.capture.history import derived_id
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent

Messages = list[ChatCompletionMessageParam]
TOOL_CALLS = [{"id": "call_7", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]


def response(number: int, text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    return {
        "id": f"resp-{number}",
        "object": "response",
        "created_at": 1,
        "model": "served",
        "status": "completed",
        "output": [item | {"content": content}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    }


class Speaker:
    """An upstream whose every answer is another; some of its first requests fail."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.failures = 0

    async def __call__(self, request: Received, connection: Connection) -> None:
        if self.failures:
            self.failures -= 1
            await connection.answer({"error": {"message": "busy"}}, status=503)
            return
        number = next(self.numbers)
        text = f"Answer {number}."
        if request.path == "/v1/responses":
            await connection.answer(response(number, text))
        else:
            await connection.answer(chat_completion(text))


@pytest.fixture
def speaker(upstream: ScriptedUpstream) -> Speaker:
    speaker = Speaker()
    upstream.script = speaker
    return speaker


@pytest.fixture
async def running(
    start_gateway: StartGateway, upstream: ScriptedUpstream, speaker: Speaker
) -> Running:
    del speaker
    return await start_gateway({"served": {"upstreams": [{"url": upstream.url}]}})


@pytest.fixture
async def client(running: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        yield client


def user(text: str) -> ChatCompletionMessageParam:
    return {"role": "user", "content": text}


def assistant(text: str) -> ChatCompletionMessageParam:
    return {"role": "assistant", "content": text}


async def converse(client: openai.AsyncOpenAI, *questions: str, **options: Any) -> None:  # noqa: ANN401
    """Ask one question after the other, each with all that was said before."""
    messages: Messages = [{"role": "system", "content": "You know the tides."}]
    for question in questions:
        messages.append(user(question))
        reply = await client.chat.completions.create(model="served", messages=messages, **options)
        messages.append(assistant(reply.choices[0].message.content or ""))


def ids(running: Running) -> list[str | None]:
    """Return the conversations of the answers: an opening may be recorded before it has one."""
    return [event.conversation_id for event in running.answered]


def places(events: list[RequestEvent]) -> list[tuple[int | None, int]]:
    return [(event.turn, event.step) for event in events]


async def test_a_conversation_is_recognised_by_its_first_exchange(
    running: Running, client: openai.AsyncOpenAI
) -> None:
    await converse(client, "High tide?", "And low?", "Thanks")
    await converse(client, "Low tide?", "And tomorrow?")
    asked = running.asked
    assert places(asked) == [(1, 1), (2, 1), (3, 1), (1, 1), (2, 1)]
    assert [event.is_opening for event in asked] == [True, False, False, True, False]
    first, second = set(ids(running)[:3]), set(ids(running)[3:])
    assert len(first) == len(second) == 1
    assert None not in first | second
    assert first != second
    assert [event.key for event in asked] == [
        f"{event.conversation_id}\n{event.request_id}" if event.turn in {2, 3} else event.request_id
        for event in asked
    ]


async def test_gateway_and_shipper_derive_ids_with_one_secret(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """The opening's id is derived by the shipper, the follow-up's by the gateway."""
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, conversation_secret="secret")  # noqa: S106 - of this test
    messages = [user("High tide?"), assistant("Hello."), user("And low?")]
    for end in (1, 3):
        body = {"model": "served", "messages": messages[:end]}
        await running.client.post("/v1/chat/completions", json=body)
    question = [Message(role="user", content="High tide?")]
    expected = derived_id(b"secret", "anonymous", question, "Hello.")
    assert ids(running) == [expected, expected]


async def test_text_that_events_do_not_carry_identifies_conversations(
    start_gateway: StartGateway, upstream: ScriptedUpstream, speaker: Speaker
) -> None:
    del speaker
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, capture_text="none")
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        await converse(client, "I am ann@example.org", "And low?")
        await converse(client, "I am bob@example.org", "And low?")
    asked = running.asked
    assert [event.messages for event in asked] == [()] * 4
    assert places(asked) == [(1, 1), (2, 1), (1, 1), (2, 1)]
    first, second, third, fourth = ids(running)
    assert first == second != third == fourth
    assert None not in ids(running)


async def test_an_opening_whose_answer_takes_long_has_its_id_with_the_answer(
    running: Running, client: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await go_on.wait()
        await connection.answer(chat_completion("At noon."))

    upstream.script = script
    opening: Messages = [user("High tide?")]
    asking = asyncio.create_task(client.chat.completions.create(model="served", messages=opening))
    await eventually(lambda: running.asked)
    go_on.set()
    await asking
    later = [*opening, assistant("At noon."), user("And low?")]
    await client.chat.completions.create(model="served", messages=later)
    first, second = running.asked
    assert (first.conversation_id, first.turn, second.turn) == (None, 1, 2)
    assert [event.conversation_id for event in running.answered] == [second.conversation_id] * 2


async def test_a_stream_and_its_follow_up(
    running: Running, client: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    from tests.gateway.scripted import speak  # noqa: PLC0415 - in place of the fixture's

    upstream.script = speak
    stream = await client.chat.completions.create(
        model="served", messages=[user("High tide?")], stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    later = [user("High tide?"), assistant(text), user("And low?")]
    await client.chat.completions.create(model="served", messages=later)
    first, second = ids(running)
    assert first == second is not None


@pytest.mark.parametrize(
    "options",
    [
        {"extra_headers": {"x-session-id": "thread-7"}},
        {"metadata": {"conversation_id": "thread-7"}},
        {"metadata": {"session_id": "thread-7", "user": "ann"}},
        {"extra_body": {"litellm_session_id": "thread-7"}},
        {
            "extra_headers": {"x-session-id": "thread-7"},
            "metadata": {"conversation_id": "thread-8"},
        },
    ],
)
async def test_a_client_that_says_which_conversation_it_is(
    running: Running, client: openai.AsyncOpenAI, options: dict[str, Any]
) -> None:
    await converse(client, "High tide?", "And low?", **options)
    for text in ("yes", "no"):
        await client.chat.completions.create(model="served", messages=[user(text)], **options)
    asked = running.asked
    assert [event.conversation_id for event in asked] == ["thread-7"] * 4
    assert [(event.turn, event.repeat_of) for event in asked] == [
        (1, None),
        (2, None),
        (3, None),
        (4, None),
    ]


async def test_a_header_of_a_deployment(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}]}},
        conversation_headers=("X-Chat", "x-session-id"),
    )
    for headers in ({"x-chat": "chat-1", "x-session-id": "s"}, {"x-session-id": "s"}):
        body = {"model": "served", "messages": [user("High tide?")]}
        await running.client.post("/v1/chat/completions", json=body, headers=headers)
    assert [event.conversation_id for event in running.asked] == ["chat-1", "s"]


async def test_metadata_that_is_no_object_does_no_harm(running: Running) -> None:
    for metadata in ("x", ["conversation_id"], {"conversation_id": {"a": 1}}, 7):
        reply = await running.chat(metadata=metadata)
        assert reply.status_code == 200
    assert [event.turn for event in running.asked] == [1] * 4


async def test_what_a_request_says_it_is_made_with_is_in_both_events(running: Running) -> None:
    await running.chat(metadata={"prompt_version": "v12", "experiment": "b"})
    body = {"model": "served", "messages": [user("High tide?")], "metadata": {"variant": "a"}}
    headers = {b"x-prompt-version": b"v13\xe9", b"x-experiment": b"short answers"}
    await running.client.post("/v1/chat/completions", json=body, headers=headers)
    await running.chat(metadata={"prompt_version": {"a": 1}, "experiment": ""})
    tags = [event.tags for event in running.asked]
    assert tags[0] == {"prompt_version": "v12", "experiment": "b"}
    assert tags[1]["experiment"] == "short answers", "a header goes before metadata"
    assert tags[1]["prompt_version"].startswith("hashed-")
    assert tags[2] == {}
    assert [event.tags for event in running.answered] == tags


async def test_responses_that_name_their_predecessor(
    running: Running, client: openai.AsyncOpenAI
) -> None:
    reply = await client.responses.create(model="served", input="High tide?")
    for question in ("And low?", "Thanks"):
        reply = await client.responses.create(
            model="served", input=question, previous_response_id=reply.id
        )
    await client.responses.create(model="served", input="Hm?", previous_response_id="resp-gone")
    *chain, unknown = running.asked
    assert places(chain) == [(1, 1), (2, 1), (3, 1)]
    assert len({*ids(running)[:3]} - {None}) == 1
    assert chain[1].conversation_id == chain[2].conversation_id
    assert (unknown.conversation_id, unknown.turn) == (None, 2)


async def test_responses_of_a_conversation(running: Running) -> None:
    for conversation in ("conv_7", {"id": "conv_7"}):
        body = {"model": "served", "input": "High tide?", "conversation": conversation}
        await running.client.post("/v1/responses", json=body)
    assert [(event.conversation_id, event.turn) for event in running.asked] == [
        ("conv_7", 1),
        ("conv_7", 2),
    ]


async def test_a_tool_loop_belongs_to_its_turn(
    running: Running, client: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async def script(request: Received, connection: Connection) -> None:
        if request.json["messages"][-1]["role"] == "user":
            message = {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            await connection.answer(chat_completion(choices=[choice]))
        else:
            await connection.answer(chat_completion("At noon."))

    upstream.script = script
    messages: Messages = []
    for question in ("High tide?", "And low?"):
        messages.append(user(question))
        for _ in range(2):
            reply = await client.chat.completions.create(model="served", messages=messages)
            message = reply.choices[0].message
            messages.append(message.model_dump(exclude_none=True))  # type: ignore[arg-type]
            if message.tool_calls:
                messages.append({"role": "tool", "tool_call_id": "call_7", "content": "12:00"})
    asked = running.asked
    assert places(asked) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [event.is_opening for event in asked] == [True, False, False, False]
    assert len({*ids(running)} - {None}) == 1


async def test_tool_loops_of_other_apis(running: Running, upstream: ScriptedUpstream) -> None:
    calls = {
        "/v1/responses": {
            "id": "resp-1",
            "object": "response",
            "status": "completed",
            "output": [
                {"type": "function_call", "call_id": "call_7", "name": "tide", "arguments": "{}"}
            ],
        },
        "/v1/messages": {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "call_7", "name": "tide", "input": {}}],
            "stop_reason": "tool_use",
        },
    }

    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(calls[request.path])

    upstream.script = script
    called = {"type": "function_call", "call_id": "call_7", "name": "tide", "arguments": "{}"}
    items: list[Any] = [
        user("High tide?"),
        called,
        {"type": "function_call_output", "call_id": "call_7", "output": "12:00"},
    ]
    tool_use = {"type": "tool_use", "id": "call_7", "name": "tide", "input": {}}
    turns: list[Any] = [
        user("Low tide?"),
        {"role": "assistant", "content": [tool_use]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_7", "content": "12:00"}],
        },
    ]
    for end in (1, 3):
        body: dict[str, Any] = {"model": "served", "input": items[:end]}
        await running.client.post("/v1/responses", json=body)
    for end in (1, 3):
        body = {"model": "served", "messages": turns[:end], "max_tokens": 9}
        await running.client.post("/v1/messages", json=body)
    asked = running.asked
    assert places(asked) == [(1, 1), (1, 2), (1, 1), (1, 2)]
    first, second, third, fourth = ids(running)
    assert first == second != third == fourth
    assert None not in ids(running)


async def test_a_retry_of_the_package(
    running: Running, client: openai.AsyncOpenAI, speaker: Speaker
) -> None:
    speaker.failures = 1
    question: Messages = [user("High tide?")]
    await client.chat.completions.create(model="served", messages=question)
    first, again = running.asked
    assert (first.repeat_of, again.repeat_of) == (None, first.request_id)
    assert [event.is_opening for event in (first, again)] == [True, False]
    assert first.key == first.request_id
    assert again.key == f"{first.request_id}\n{again.request_id}"


async def test_an_idempotency_key(running: Running, client: openai.AsyncOpenAI) -> None:
    for _ in range(2):
        await client.chat.completions.create(
            model="served",
            messages=[user("High tide?")],
            extra_headers={"Idempotency-Key": "key-1"},
        )
    first, again = running.asked
    assert again.repeat_of == first.request_id


async def test_many_who_say_hi_are_many(running: Running) -> None:
    for _ in range(20):
        await running.chat("hi")
    asked = running.asked
    assert sum(event.repeat_of is not None for event in asked) == 1
    assert len({event.key.partition("\n")[0] for event in asked}) == 19


async def test_a_refused_request_has_no_place(running: Running, client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="nothing", messages=[user("High tide?")])
    await client.chat.completions.create(model="served", messages=[user("High tide?")])
    (refused, served) = running.answered
    assert (refused.turn, refused.conversation_id) == (None, None)
    assert (served.turn, served.repeat_of) == (1, None)


async def test_examples_of_a_prompt_are_no_history(running: Running) -> None:
    examples = [user("great!"), assistant("positive"), user("awful"), assistant("negative")]
    for number in range(10):
        body = {"model": "served", "messages": [*examples, user(f"review {number}")]}
        await running.client.post("/v1/chat/completions", json=body)
    asked = running.asked
    assert len({event.conversation_id for event in asked[:7]}) == 1
    assert places(asked[8:]) == [(1, 1), (1, 1)]
    assert len({*ids(running)[8:], None}) == 3


async def test_a_copy_for_a_candidate_has_the_place_of_its_original(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    models = {
        "served": {
            "upstreams": [
                {"url": upstream.url},
                {"url": upstream.url, "version": "next", "shadow": 1.0},
            ]
        }
    }
    running = await start_gateway(models)
    body = {"model": "served", "messages": [user("High tide?")]}
    headers = {"x-session-id": "thread-7"}
    await running.client.post("/v1/chat/completions", json=body, headers=headers)
    await eventually(lambda: len(running.asked) == 2)
    assert {event.shadow for event in running.asked} == {True, False}
    assert [(e.conversation_id, e.turn) for e in running.asked] == [("thread-7", 1)] * 2


@pytest.fixture
def dialogues() -> list[list[tuple[str, str]]]:
    """Real conversations, as pairs of a question and its answer."""
    if "TIDEGAUGE_DATA_DIR" not in os.environ:
        pytest.skip("TIDEGAUGE_DATA_DIR is not set")
    source = Path(os.environ["TIDEGAUGE_DATA_DIR"], "sgd/conversations.jsonl")
    with source.open() as file:
        turns = [json.loads(line)["turns"] for line in islice(file, 12)]
    return [[(question, answer) for question, answer, _ in dialogue] for dialogue in turns]


async def test_real_conversations(
    running: Running,
    client: openai.AsyncOpenAI,
    upstream: ScriptedUpstream,
    dialogues: list[list[tuple[str, str]]],
) -> None:
    """Conversations that overlap in time are told apart, each with its turns in order."""
    asked: list[tuple[int, str]] = []

    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(chat_completion(asked[-1][1]))

    upstream.script = script
    histories: list[Messages] = [[] for _ in dialogues]
    for turn in range(max(map(len, dialogues))):
        for number, dialogue in enumerate(dialogues):
            if turn < len(dialogue):
                question, answer = dialogue[turn]
                asked.append((number, answer))
                histories[number].append(user(question))
                await client.chat.completions.create(model="served", messages=histories[number])
                histories[number].append(assistant(answer))
    found: list[list[ResponseEvent]] = [[] for _ in dialogues]
    for (number, _), event in zip(asked, running.answered, strict=True):
        found[number].append(event)
    for dialogue, events in zip(dialogues, found, strict=True):
        assert len({event.conversation_id for event in events}) == 1
        assert [event.turn for event in events] == [*range(1, len(dialogue) + 1)]
    assert len({events[0].conversation_id for events in found}) == len(dialogues)


async def test_context_in_the_metadata_is_captured_and_the_conversation_is_still_known(
    running: Running, client: openai.AsyncOpenAI
) -> None:
    context = {"context": "High tide is at noon."}
    asked = "When is high tide?"
    messages: Messages = [user(asked)]
    reply = await client.chat.completions.create(
        model="served", messages=messages, metadata=context
    )
    messages += [assistant(reply.choices[0].message.content or ""), user("And low?")]
    await client.chat.completions.create(model="served", messages=messages, metadata=context)
    first, second = running.asked
    assert [(message.role, message.content) for message in first.messages] == [
        ("context", "High tide is at noon."),
        ("user", asked),
    ]
    assert (first.turn, second.turn) == (1, 2)
    assert len(set(ids(running))) == 1
