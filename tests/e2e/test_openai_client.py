"""OpenAI's own client, unchanged, against the gateway and against vLLM itself."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import openai
import pytest
from tests.e2e.conftest import TOKENS

from tidegauge.demo.vllm_server import SERVED_NAMES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

QUESTIONS = (
    "What is the capital of France?",
    "Nenne drei Farben. 🎨",
    "How do I return a jacket that does not fit?",
)


class Gateway(Protocol):
    address: str
    key: str
    log: Path


@pytest.fixture
def ours(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=gateway.key, max_retries=0)


@pytest.fixture
def theirs(vllm: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{vllm}/v1", api_key="none", max_retries=0)


def _plain(client: openai.OpenAI, model: str, question: str) -> tuple[str, str, int, int]:
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=TOKENS,
        seed=1,
    )
    (choice,) = answer.choices
    assert answer.usage is not None
    return (
        choice.message.content or "",
        choice.finish_reason,
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )


def _streamed(client: openai.OpenAI, model: str, question: str) -> tuple[list[str], str | None]:
    pieces: list[str] = []
    finish: str | None = None
    with client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=TOKENS,
        seed=1,
        stream=True,
    ) as stream:
        for chunk in stream:
            # Usage was not asked for, so no chunk without a choice may come.
            (choice,) = chunk.choices
            pieces.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    return pieces, finish


@pytest.mark.parametrize("question", QUESTIONS)
def test_plain_answers_are_those_of_vllm(
    ours: openai.OpenAI, theirs: openai.OpenAI, question: str
) -> None:
    answer = _plain(ours, "assistant", question)
    assert answer == _plain(theirs, "smollm2-135m", question)
    assert answer[0]


@pytest.mark.parametrize("question", QUESTIONS)
def test_streamed_answers_are_those_of_vllm(
    ours: openai.OpenAI, theirs: openai.OpenAI, question: str
) -> None:
    pieces, finish = _streamed(ours, "assistant", question)
    direct, direct_finish = _streamed(theirs, "smollm2-135m", question)
    assert ("".join(pieces), finish) == ("".join(direct), direct_finish)
    assert len(pieces) > 3


def test_usage_is_streamed_when_it_is_asked_for(ours: openai.OpenAI) -> None:
    stream = ours.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": QUESTIONS[0]}],
        max_tokens=TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    )
    *_, last = stream
    assert last.usage is not None
    assert 0 < last.usage.completion_tokens <= TOKENS


def test_the_models_are_listed(ours: openai.OpenAI, theirs: openai.OpenAI) -> None:
    assert "assistant" in {model.id for model in ours.models.list()}
    assert {model.id for model in theirs.models.list()} == set(SERVED_NAMES)


def test_errors_are_the_clients_own_classes(ours: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        _plain(ours, "no-such-model", "hello")
    stranger = ours.with_options(api_key="tg-000000000000-wrong")
    with pytest.raises(openai.AuthenticationError):
        _plain(stranger, "assistant", "hello")
    with pytest.raises(openai.BadRequestError):
        ours.chat.completions.create(model="assistant", messages="hello")  # type: ignore[arg-type]
