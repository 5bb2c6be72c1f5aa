"""Answers through the gateway equal those of a real vLLM asked directly."""

from __future__ import annotations

import openai
import pytest
from tests.gateway.conftest import Running, StartGateway, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

QUESTIONS = (
    "What is the capital of France?",
    "Erkläre in einem Satz, was eine Gezeitenpegelmessung ist.",
    "Write a haiku about the sea \N{WATER WAVE}.",
)


@pytest.fixture
async def running(start_gateway: StartGateway, vllm: str) -> Running:
    gateway = await start_gateway(upstream_url=vllm)
    await eventually(lambda: gateway.app.runtime.ready)
    return gateway


async def test_plain_and_streamed_answers_are_equal(running: Running, vllm: str) -> None:
    through = openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any")
    direct = openai.AsyncOpenAI(base_url=f"{vllm}/v1", api_key="any")
    async with through, direct:
        model = (await through.models.list()).data[0].id
        for question in QUESTIONS:
            said = [await _plain(client, model, question) for client in (through, direct)]
            assert said[0] == said[1]
            streamed = [await _streamed(client, model, question) for client in (through, direct)]
            assert streamed[0] == streamed[1]
            assert "".join(streamed[0]) == said[0][0]
    plain, stream = running.answered[:2]
    assert plain.usage is not None
    assert plain.usage == stream.usage
    assert not stream.usage.estimated
    assert stream.time_to_first_token_ms is not None
    assert stream.inter_token is not None
    assert plain.output == stream.output
    assert plain.queue_ms is not None
    assert stream.queue_ms is not None
    assert min(plain.queue_ms, stream.queue_ms) >= 0


async def _plain(client: openai.AsyncOpenAI, model: str, question: str) -> tuple[str | None, ...]:
    reply = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=24,
    )
    choice = reply.choices[0]
    return choice.message.content, choice.finish_reason, str(reply.usage)


async def _streamed(client: openai.AsyncOpenAI, model: str, question: str) -> list[str]:
    stream = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=24,
        stream=True,
    )
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks)
    return [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]


async def test_the_other_routes(running: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any") as client:
        model = (await client.models.list()).data[0].id
        completion = await client.completions.create(model=model, prompt="The sea", max_tokens=4)
        assert completion.choices[0].text
        response = await client.responses.create(model=model, input="Hi", max_output_tokens=4)
        assert response.usage is not None
        async with client.responses.stream(model=model, input="Hi", max_output_tokens=4) as stream:
            final = [event async for event in stream][-1]
        assert final.type in ("response.completed", "response.incomplete")
    answered = running.answered
    assert [event.segment.route for event in answered] == [
        "/v1/completions",
        "/v1/responses",
        "/v1/responses",
    ]
    assert all(event.usage and not event.usage.estimated for event in answered)
    assert all(event.output for event in answered)
    assert answered[2].time_to_first_token_ms is not None


async def test_structured_output_is_checked(running: Running) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    }
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any") as client:
        model = (await client.models.list()).data[0].id
        await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Where is the Eiffel tower?"}],
            temperature=0,
            max_tokens=60,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": schema},
            },
        )
    (answered,) = running.answered
    assert answered.sampling.response_format == "json_schema"
    assert answered.checks["json_schema"] == "passed"
