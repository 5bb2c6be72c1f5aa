"""How well each built-in way tells supported from unsupported claims, on labelled pairs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import msgspec

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeReplyError, VllmClient
from tidegauge.quality.context import ContextState, Passage
from tidegauge.quality.exchange_parts import ExchangeParts
from tidegauge.quality.groundedness import (
    Explained,
    groundedness,
    questions,
    read_explained,
)
from tidegauge.quality.likelihood import ScoredToken, answer_start, probe
from tidegauge.quality.qualification import area_interval, area_under_curve
from tidegauge.quality.specifications import GroundednessSpec
from tidegauge.quality.support import Support, check_support
from tidegauge.quality.support.words import words_in
from tidegauge.schemas.exchange import Message
from tidegauge.usecases.errors import EvaluationFileError
from tidegauge.usecases.evaluation_files import read_examples
from tidegauge.usecases.kept_readings import KeptReadings

__all__ = ["GroundingBar", "GroundingPair", "GroundingResults", "measure_grounding", "read_pairs"]

LEAST_AREA: Final = 0.75
LEAST_ABOVE_OVERLAP: Final = 0.05
_AT_ONCE: Final = 4
_SEED: Final = 1


class GroundingPair(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, the context that it is held against, and whether the context supports it."""

    context: str
    claim: str
    grounded: bool


class GroundingBar(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, what was found, and whether it is met."""

    name: str
    limit: float
    found: float
    met: bool


class GroundingResults(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        pairs: Number of pairs.
        grounded: Those that are supported.
        model: The model that read them; None where none did.
        unread: Pairs that the model could not read; they count with the mean of the others.
        auroc: Way -> probability that a supported claim scores above an unsupported one.
        intervals: Way -> 95% interval of that.
        flagged: Share of unsupported claims with an unsupported fact.
        flagged_wrongly: The same of supported claims.
        bars: The limits.
    """

    pairs: int
    grounded: int
    model: str | None
    unread: int
    auroc: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    flagged: float
    flagged_wrongly: float
    bars: tuple[GroundingBar, ...]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads pairs by a model."""

    client: VllmClient
    specification: GroundednessSpec
    memory: dict[tuple[Message, ...], tuple[ScoredToken, ...]]
    kept: KeptReadings | None = None

    async def read(self, pair: GroundingPair) -> Explained | None:
        if self.kept is None:
            return await self._read(pair)
        key = self.kept.key(pair.context, pair.claim)
        if key not in self.kept:
            self.kept.keep(key, await self._read(pair))
        return self.kept[key]

    async def _read(self, pair: GroundingPair) -> Explained | None:
        parts = ExchangeParts(
            system="",
            passages=(Passage("tagged", pair.context),),
            state=ContextState.GIVEN,
            earlier=(),
            question="",
            steps=(),
            answer=pair.claim,
        )
        with_context, bare = questions(self.specification, parts)
        try:
            given = await self.client.read(self.specification.model, with_context)
            alone, probed = await self._recall(bare), await self._recall(probe(bare))
        except (JudgeRefusedError, JudgeReplyError):
            return None
        found = read_explained(given, alone, start=answer_start(alone, probed))
        return found if isinstance(found, Explained) else None

    async def _recall(self, messages: tuple[Message, ...]) -> tuple[ScoredToken, ...]:
        if messages not in self.memory:
            self.memory[messages] = await self.client.read(self.specification.model, messages)
        return self.memory[messages]


def read_pairs(path: Path, *, sample: int | None = None) -> tuple[GroundingPair, ...]:
    """Return the pairs of a file.

    Args:
        path: The file.
        sample: Most pairs, drawn with a fixed seed; all of them if None.

    Raises:
        EvaluationFileError: The file cannot be read, or does not hold pairs of both labels.
    """
    pairs = read_examples(path, GroundingPair)
    if sample is not None and sample < len(pairs):
        pairs = tuple(random.Random(_SEED).sample(pairs, sample))  # noqa: S311 - to repeat
    if len({pair.grounded for pair in pairs}) < 2:  # noqa: PLR2004 - both labels
        raise EvaluationFileError(
            f"{path} needs grounded pairs and others: all of its {len(pairs)} pairs are the same"
        )
    return pairs


async def measure_grounding(
    pairs: Sequence[GroundingPair],
    *,
    client: VllmClient | None = None,
    model: str = "",
    keep: Path | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> GroundingResults:
    """Measure every way on the pairs.

    Args:
        pairs: The pairs, of both labels.
        client: Client of a vLLM server, opened; None to measure the ways without a model alone.
        model: The model's name there.
        keep: File of what the model has read, which is added to and not read again.
        done: Called with the number of pairs that the model has read.

    Raises:
        JudgeServerError: The server does not answer.
    """
    supports = [check_support(pair.claim, [pair.context]) for pair in pairs]
    scores: dict[str, list[float]] = {
        "length": [-float(len(pair.claim)) for pair in pairs],
        "word_overlap": [_overlap(pair) for pair in pairs],
        "unsupported_facts": [-float(len(support.unsupported)) for support in supports],
        "support": [support.score for support in supports],
    }
    unread = 0
    if client is not None:
        spec = GroundednessSpec(model=model)
        kept = None if keep is None else KeptReadings(keep, spec.specification_hash)
        reader = _Reader(client, spec, {}, kept)
        explained = await _read_all(reader, pairs, done)
        unread = sum(each is None for each in explained)
        scores |= _with_model(supports, explained)
    labels = [pair.grounded for pair in pairs]
    by_label = {way: _by_label(values, labels) for way, values in scores.items()}
    auroc = {way: round(area_under_curve(*pair), 4) for way, pair in by_label.items()}
    return GroundingResults(
        pairs=len(pairs),
        grounded=sum(labels),
        model=model or None,
        unread=unread,
        auroc=auroc,
        intervals={way: _interval(*pair) for way, pair in by_label.items()},
        flagged=_share(supports, labels, grounded=False),
        flagged_wrongly=_share(supports, labels, grounded=True),
        bars=_bars(auroc),
    )


async def _read_all(
    reader: _Reader, pairs: Sequence[GroundingPair], done: Callable[[int], None]
) -> list[Explained | None]:
    room = asyncio.Semaphore(_AT_ONCE)
    finished = 0

    async def one(pair: GroundingPair) -> Explained | None:
        nonlocal finished
        async with room:
            found = await reader.read(pair)
        finished += 1
        done(finished)
        return found

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(pair)) for pair in pairs]
    return [task.result() for task in tasks]


def _with_model(
    supports: Sequence[Support], explained: Sequence[Explained | None]
) -> Mapping[str, list[float]]:
    read = [each for each in explained if each is not None]
    usual = Explained(
        share=fmean(each.share for each in read) if read else 0.0,
        lowest=fmean(each.lowest for each in read) if read else 0.0,
        tokens=0,
    )
    found = [each or usual for each in explained]
    return {
        "explained": [each.share for each in found],
        "lowest_tokens": [each.lowest for each in found],
        "groundedness": [
            groundedness(support, each) for support, each in zip(supports, found, strict=True)
        ],
    }


def _overlap(pair: GroundingPair) -> float:
    """Return the share of a claim's words that its context holds, in this very form."""
    held = {word.form for word in words_in(pair.context)}
    asked = [word.form in held for word in words_in(pair.claim)]
    return sum(asked) / len(asked) if asked else 1.0


def _by_label(values: Sequence[float], labels: Sequence[bool]) -> tuple[list[float], list[float]]:
    pairs = list(zip(values, labels, strict=True))
    return [value for value, label in pairs if label], [v for v, label in pairs if not label]


def _interval(good: Sequence[float], bad: Sequence[float]) -> tuple[float, float]:
    low, high = area_interval(good, bad)
    return round(low, 4), round(high, 4)


def _share(supports: Sequence[Support], labels: Sequence[bool], *, grounded: bool) -> float:
    found = [
        bool(support.unsupported)
        for support, label in zip(supports, labels, strict=True)
        if label == grounded
    ]
    return round(sum(found) / len(found), 4)


def _bars(auroc: Mapping[str, float]) -> tuple[GroundingBar, ...]:
    best = auroc.get("groundedness", auroc["support"])
    above = round(best - auroc["word_overlap"], 4)
    return (
        GroundingBar(
            name="area under the curve", limit=LEAST_AREA, found=best, met=best >= LEAST_AREA
        ),
        GroundingBar(
            name="above word overlap",
            limit=LEAST_ABOVE_OVERLAP,
            found=above,
            met=above >= LEAST_ABOVE_OVERLAP,
        ),
    )
