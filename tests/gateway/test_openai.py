"""The real ``openai`` package against the gateway, unchanged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionToolParam
from tests.gateway.conftest import Running, StartGateway
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion

from tidegauge.gateway.policy import keys
from tidegauge.schemas.exchange import ErrorKind


@pytest.fixture
async def keyed(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> tuple[Running, str]:
    file = tmp_path / "keys.json"
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    keys.save(file, [record])
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    return await start_gateway(models, keys_file=file), key


async def test_plain_and_streaming_with_a_key(keyed: tuple[Running, str]) -> None:
    running, key = keyed
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key) as client:
        reply = await client.chat.completions.create(
            model="served", messages=[{"role": "user", "content": "Hi"}]
        )
        assert reply.choices[0].message.content == "Hello."
        assert reply.usage is not None
        assert reply.usage.total_tokens == 10
        stream = await client.chat.completions.create(
            model="served", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello."
        assert all(chunk.usage is None for chunk in chunks)
        with_usage = await client.chat.completions.create(
            model="served",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        last = [chunk async for chunk in with_usage][-1]
        assert last.usage is not None
        assert (await client.models.list()).data[0].id == "served"
    assert [event.customer for event in running.answered] == ["acme"] * 3


async def test_the_synchronous_client(keyed: tuple[Running, str]) -> None:
    running, key = keyed

    def ask() -> str | None:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key=key) as client:
            reply = client.chat.completions.create(
                model="served", messages=[{"role": "user", "content": "Hi"}]
            )
            return reply.choices[0].message.content

    assert await asyncio.to_thread(ask) == "Hello."


async def test_tools(keyed: tuple[Running, str], upstream: ScriptedUpstream) -> None:
    running, key = keyed

    async def script(request: Received, connection: Connection) -> None:
        function = {"name": request.json["tools"][0]["function"]["name"], "arguments": '{"x": 1}'}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        }
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        await connection.answer(chat_completion(choices=[choice]))

    upstream.script = script
    tool: ChatCompletionToolParam = {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"x": {"type": "string"}}},
        },
    }
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key) as client:
        reply = await client.chat.completions.create(
            model="served", messages=[{"role": "user", "content": "Hi"}], tools=[tool]
        )
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.arguments == '{"x": 1}'
    assert running.answered[0].checks["tool_arguments"] == "failed"


async def test_errors_are_the_packages_own(
    keyed: tuple[Running, str], upstream: ScriptedUpstream
) -> None:
    running, key = keyed
    wrong = openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="wrong", max_retries=0)
    async with wrong:
        with pytest.raises(openai.AuthenticationError) as refused:
            await wrong.models.list()
    assert refused.value.code == "invalid_api_key"
    client = openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)
    async with client:
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="nothing", messages=[])
        assert unknown.value.code == "model_not_found"

        async def script(_request: Received, connection: Connection) -> None:
            await connection.begin_stream()
            await connection.event({"choices": [{"index": 0, "delta": {"content": "Hel"}}]})
            connection.die()

        upstream.script = script
        with pytest.raises(openai.APIError) as broken:  # noqa: PT012 - the stream is read inside
            stream = await client.chat.completions.create(
                model="served", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            async for _ in stream:
                pass
        assert broken.value.code == "upstream_interrupted"
    assert running.answered[-1].error == ErrorKind.UPSTREAM_INTERRUPTED
