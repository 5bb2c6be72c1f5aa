"""Shadow copies, and what a failed check may lead to."""

from __future__ import annotations

from typing import Any

import pytest
from tests.gateway.conftest import StartGateway, eventually
from tests.gateway.scripted import (
    Connection,
    Received,
    ScriptedUpstream,
    chat_completion,
    stream_hello,
)

from tidegauge.gateway.configuration import parse
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.schemas.exchange import ErrorKind, Usage


def _models(*upstreams: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {"served": {"upstreams": list(upstreams), **fields}}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_candidate_gets_copies_and_its_answers_are_discarded(
    start_gateway: StartGateway, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    async with ScriptedUpstream() as candidate:
        running = await start_gateway(
            _models(
                {"url": upstream.url},
                {
                    "url": candidate.url,
                    "weight": 0,
                    "shadow": 1,
                    "version": "next",
                    "overrides": {"temperature": 0.1},
                },
            )
        )

        async def script(request: Received, connection: Connection) -> None:
            if request.json.get("stream"):
                await stream_hello(request, connection)
            else:
                await connection.answer(chat_completion("Of the candidate."))

        candidate.script = script
        response = await running.chat(stream=stream)
        assert "candidate" not in response.text
        await eventually(lambda: len(running.answered) == 2)
    shadow, served = sorted(running.answered, key=lambda event: not event.shadow)
    assert (served.shadow, served.segment.version) == (False, "v1")
    assert (shadow.shadow, shadow.segment.version) == (True, "next")
    assert shadow.sampling.temperature == 0.1
    assert shadow.output == ("Hello." if stream else "Of the candidate.")
    assert shadow.messages == served.messages
    assert shadow.request_id != served.request_id
    assert len(running.log()) == 1
    counts = running.recorder.counts()
    assert counts.served == counts.captured["responses.v1"] == 2


async def test_a_candidate_that_is_down_harms_nobody(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        _models({"url": upstream.url}, {"url": "http://127.0.0.1:9", "weight": 0, "shadow": 1})
    )
    assert (await running.chat()).status_code == 200
    await eventually(lambda: len(running.answered) == 2)
    (shadow,) = [event for event in running.answered if event.shadow]
    assert shadow.error == ErrorKind.UPSTREAM_UNREACHABLE


def answers(*texts: str) -> Any:  # noqa: ANN401 - a script
    left = list(texts)

    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(chat_completion(left.pop(0)))

    return script


async def test_a_failed_check_is_asked_once_more_and_both_are_paid(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    entry = {"url": upstream.url, "price": {"input": 1e6, "output": 0}}
    running = await start_gateway(_models(entry, failed_checks={"empty": "retry"}))
    upstream.script = answers("", "Better.", "", "")
    assert (await running.chat()).json()["choices"][0]["message"]["content"] == "Better."
    (answered,) = running.answered
    assert (answered.attempts, answered.checks["empty"]) == (2, "passed")
    assert answered.usage == Usage(input_tokens=14, output_tokens=6)
    assert answered.cost_usd == pytest.approx(14)
    response = await running.chat()
    assert response.status_code == 200
    assert running.answered[1].checks["empty"] == "failed"
    assert len(upstream.requests) == 4


async def test_a_failed_check_can_be_an_error(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        _models({"url": upstream.url}, failed_checks={"refusal": "error"})
    )
    upstream.script = answers("I'm sorry, but I can't help with that.", "The tide is high.")
    response = await running.chat()
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "output_check_failed"
    (answered,) = running.answered
    assert answered.error == ErrorKind.UPSTREAM_ERROR
    assert answered.checks["refusal"] == "failed"
    assert (await running.chat()).status_code == 200


async def test_streams_are_only_checked(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        _models({"url": upstream.url}, failed_checks={"truncation": "error"})
    )

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        choice = {"index": 0, "delta": {"content": "Hel"}, "finish_reason": "length"}
        await connection.event({"choices": [choice]})
        await connection.end_stream()

    upstream.script = script
    assert (await running.chat(stream=True)).status_code == 200
    assert running.answered[0].checks["truncation"] == "failed"
    assert running.answered[0].error is None


@pytest.mark.parametrize(
    "fields", ["failed_checks: {nonsense: retry}", "failed_checks: {json: perhaps}"]
)
def test_policies_that_do_not_exist_are_refused(fields: str) -> None:
    with pytest.raises(ConfigurationError, match="failed_checks"):
        parse(f"models: {{a: {{upstreams: [{{url: 'http://h'}}], {fields}}}}}")
