"""Trying a judge: its scores of exchanges from a file, and its qualification on golden answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeReplyError, VllmClient
from tidegauge.quality import rubric
from tidegauge.quality.errors import ExchangeTooLongError
from tidegauge.quality.golden_set import KINDS, GoldenAnswer, built_in
from tidegauge.quality.judged_exchange import JudgedExchange, Score
from tidegauge.quality.qualification import Qualification
from tidegauge.quality.specifications import (
    AppliesTo,
    ClassifierSpec,
    RubricSpec,
    Specification,
)
from tidegauge.workers.judge.judge_files import make_client, make_judge
from tidegauge.workers.judge.judges import Judge
from tidegauge.workers.judge.qualification_run import explain, run_qualification
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["TriedJudge", "TriedScore", "qualify_judge", "try_judge"]


@dataclass(frozen=True, slots=True)
class TriedScore:
    """What a judge said of one exchange.

    Attributes:
        scores: Score's name -> value; empty without a score.
        label_mass: Probability on a rubric's labels; None for other judges.
        invalid: Why there is no score, in a word or the server's sentence; None if there is one.
        reason: The judge's own reasons, if it was asked for them.
    """

    scores: Mapping[str, float]
    label_mass: float | None = None
    invalid: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TriedJudge:
    """A judge's qualification.

    Attributes:
        judge: Its name.
        specification_hash: Hash of its specification.
        model: The model that was asked.
        qualified: Whether it may alarm.
        why_not: Why it is not qualified; empty if it is.
        qualification: The result for each kind of badness.
    """

    judge: str
    specification_hash: str
    model: str
    qualified: bool
    why_not: str
    qualification: Qualification


def try_judge(
    settings: JudgeSettings,
    specification: Specification,
    exchanges: Sequence[JudgedExchange],
    *,
    reasons: bool = False,
) -> list[TriedScore]:
    """Return what a judge says of each exchange, from wherever it came.

    Args:
        settings: How to reach its server.
        specification: The judge.
        exchanges: The exchanges.
        reasons: Whether a rubric's judge is asked for its reasons, in a call of its own.

    Raises:
        JudgeServerError: The server is away, or lacks what the judge needs.
    """
    anywhere = _anywhere(specification)

    async def one(client: VllmClient, judge: Judge, exchange: JudgedExchange) -> TriedScore:
        exchange = replace(exchange, unit=specification.unit)
        if not anywhere.applies(exchange):
            return TriedScore({}, invalid="the judge is not asked about such exchanges")
        try:
            score = await judge.score(exchange)
        except (JudgeRefusedError, JudgeReplyError, ExchangeTooLongError) as error:
            return TriedScore({}, invalid=str(error))
        reason = ""
        if reasons and isinstance(specification, RubricSpec):
            reason = await _reason(client, specification, exchange)
        return TriedScore(score.values, score.label_mass, score.invalid, reason)

    async def every() -> list[TriedScore]:
        turn = asyncio.Semaphore(settings.concurrency)

        async def in_turn(exchange: JudgedExchange) -> TriedScore:
            async with turn:
                return await one(client, judge, exchange)

        async with _client(settings, specification) as client:
            judge = make_judge(client, specification)
            # The first one alone: a server that is away is then said once, and at once.
            first = [await in_turn(exchange) for exchange in exchanges[:1]]
            return [*first, *await asyncio.gather(*map(in_turn, exchanges[1:]))]

    return asyncio.run(every())


def qualify_judge(
    settings: JudgeSettings,
    specification: Specification,
    own: Sequence[GoldenAnswer] = (),
) -> TriedJudge:
    """Return a judge's qualification on the golden answers, built-in ones and others.

    Args:
        settings: How to reach its server, and how many questions are asked.
        specification: The judge.
        own: Golden answers beside the built-in ones.

    Raises:
        JudgeServerError: The server is away, or lacks what the judge needs.
    """

    async def run() -> tuple[Qualification, str]:
        turn = asyncio.Semaphore(settings.concurrency)

        async def ask(judge: Judge, answer: GoldenAnswer) -> Score:
            async with turn:
                return await judge.score(answer.exchange)

        async with _client(settings, specification) as client:
            judge = make_judge(client, specification)
            kinds = [kind for kind in KINDS if kind in judge.kinds]
            known = built_in(kinds, questions=settings.golden_set_questions) if kinds else ()
            found = await run_qualification(judge, ask, (*own, *known), {})
            return found.qualification, found.refused

    qualification, refused = asyncio.run(run())
    return TriedJudge(
        judge=specification.name,
        specification_hash=specification.specification_hash,
        model=specification.model,
        qualified=qualification.qualified,
        why_not="" if qualification.qualified else refused or explain(qualification),
        qualification=qualification,
    )


def _anywhere(specification: Specification) -> Specification:
    """Return a judge that is asked about exchanges of any segment and customer.

    Lines of a file name none of them.
    """
    if not isinstance(specification, RubricSpec | ClassifierSpec):
        return specification
    rule = specification.applies_to
    return msgspec.structs.replace(
        specification, applies_to=AppliesTo(has=rule.has, lacks=rule.lacks)
    )


def _client(settings: JudgeSettings, specification: Specification) -> VllmClient:
    own = specification.url if isinstance(specification, ClassifierSpec) else ""
    return make_client(settings, own)


async def _reason(client: VllmClient, asked: RubricSpec, exchange: JudgedExchange) -> str:
    messages = rubric.reasoning_request(asked, exchange)
    reply = await client.complete(asked.model, messages, max_tokens=asked.reasoning_tokens)
    return reply.text.strip()
