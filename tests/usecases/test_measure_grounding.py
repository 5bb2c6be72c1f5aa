from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tidegauge.adapters.vllm import JudgeRefusedError, VllmClient
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.schemas.exchange import Message
from tidegauge.usecases.measure_grounding import GroundingPair, measure_grounding

CONTEXT = "The old ferry of Ana Lima leaves at noon."
PAIRS = [
    GroundingPair(context=CONTEXT, claim="The ferry leaves at noon.", grounded=True),
    GroundingPair(context=CONTEXT, claim="Ana Lima has a ferry.", grounded=True),
    GroundingPair(context=CONTEXT, claim="The train leaves at night.", grounded=False),
    GroundingPair(context="too long", claim="Ana Costa has a train.", grounded=False),
]


class Reader:
    """Finds words likely that stand in the question, which is where the context is."""

    def __init__(self, refused: Callable[[str], bool] = lambda _: False) -> None:
        self.refused = refused
        self.asked: list[tuple[str, ...]] = []

    async def read(self, _model: str, messages: Sequence[Message]) -> tuple[ScoredToken, ...]:
        texts = tuple(message.content for message in messages)
        self.asked.append(texts)
        if self.refused(texts[1]):
            raise JudgeRefusedError("it is too long")
        words = [word for text in texts for word in ("|", *text.split())]
        return tuple(
            ScoredToken(hash(word), -0.5 if word in texts[1].split() else -5.0) for word in words
        )


async def measured(
    reader: Reader, keep: Path | None = None, model: str = "m"
) -> tuple[dict[str, float], int]:
    class Client(VllmClient):
        async def read(self, model: str, messages: Sequence[Message]) -> tuple[ScoredToken, ...]:
            return await reader.read(model, messages)

    client = Client("http://127.0.0.1:9")
    found = await measure_grounding(PAIRS, client=client, model=model, keep=keep)
    return found.auroc, found.unread


async def test_every_pair_is_read_with_its_context_and_each_claim_once_without_it() -> None:
    reader = Reader()
    areas, unread = await measured(reader)
    assert unread == 0
    assert areas["groundedness"] == areas["support"] == 1
    assert areas["explained"] == 0.75
    assert len(reader.asked) == len(set(reader.asked)) == 9, "four, four, and an empty claim"


async def test_a_pair_that_the_model_cannot_read_counts_with_the_mean() -> None:
    areas, unread = await measured(Reader(lambda asked: asked.startswith("too long")))
    assert unread == 1
    assert areas["groundedness"] == pytest.approx(1)


async def test_what_was_read_is_kept_and_a_broken_off_run_goes_on(tmp_path: Path) -> None:
    keep = tmp_path / "build/read.jsonl"
    refusing = Reader(lambda asked: asked.startswith("too long"))
    first = await measured(refusing, keep)
    again = Reader()
    assert await measured(again, keep) == first
    assert not again.asked
    lines = keep.read_text().splitlines()
    keep.write_text("\n".join([*lines[:2], lines[2][:20]]))
    rest = Reader()
    await measured(rest, keep)
    assert 0 < len(rest.asked) < 9
    complete = Reader()
    await measured(complete, keep)
    assert not complete.asked
    other = Reader()
    await measured(other, keep, model="another")
    assert len(other.asked) == 9
