"""The judge worker's extractor: samples answers, has them judged, counts the others by reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Protocol

from prometheus_client import Counter

from tidegauge.quality.judged_exchange import (
    JudgedExchange,
    Score,
    SkipReason,
    judgeable,
    question_key,
)
from tidegauge.quality.sampling import SamplingPlan, draw
from tidegauge.reports.formatting import duration
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import JudgeCondition, SketchKind
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.judge_standing import JudgeStanding
from tidegauge.workers.judge.judgment import JudgeVerdict, measured
from tidegauge.workers.judge.sampler import Sampler

__all__ = ["AskedJudges", "JudgeLimits", "Judges", "QualityExtractor"]

_SPEED_MEMORY: Final = 0.3
_USED_SHARE: Final = 0.8

_JUDGMENTS = Counter("tidegauge_judge_judgments", "Verdicts of judges", ["judge", "outcome"])
_SKIPPED = Counter("tidegauge_judge_skipped", "Sampled answers not judged", ["reason"])


class AskedJudges(Protocol):
    """The part of the judge pool that scores answers, or conversations that have ended."""

    def ask(
        self, questions: Sequence[Question], *, deadline_seconds: float
    ) -> list[Score | SkipReason]:
        """Return a score for each question, or the reason for none, before the deadline."""

    def applies(self, judge: str, exchange: JudgedExchange) -> bool:
        """Whether a judge is asked about an exchange."""

    def qualified(self, judge: str) -> bool:
        """Whether a judge may raise alarms."""


class Judges(AskedJudges, Protocol):
    """The part of the judge pool that the extractor of answers uses."""

    def notices(self) -> tuple[str, ...]:
        """Return the judges' states as short codes."""

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return the judges that give no scores, or none that count, and why."""

    def wait_for_qualification(self, timeout_seconds: float) -> bool:
        """Wait for the first qualification runs; return whether they ended in time."""


@dataclass(frozen=True, slots=True)
class JudgeLimits:
    """Limits of time for judging.

    Attributes:
        deadline_seconds: Longest time for one batch.
        max_age_seconds: Answers older than this are not judged; 0 for no limit.
    """

    deadline_seconds: float
    max_age_seconds: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """One response under measurement.

    Attributes:
        origin: Where the event came from.
        event: The response.
        place: Its number in the draw, in [0, 1).
        drawn: Judges whose sample it is in; it is sampled if there is one.
        exchange: The exchange that the judges are shown; None when it cannot be judged.
        skipped: Why it is not judged; None while it may be.
        scores: Judge -> its score.
    """

    origin: Origin
    event: ResponseEvent
    place: float
    drawn: tuple[str, ...]
    exchange: JudgedExchange | None = None
    skipped: SkipReason | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)


class QualityExtractor:
    """Measures the quality of a sample of the answers.

    All judges draw by the same number, so the answers of a judge with a smaller rate are among
    those of the others, if it is asked about them. An answer is ``sampled`` when a judge that is
    asked about it has drawn it, and then it is either ``judged`` by at least one judge or skipped
    for a reason, so that the counts add up.

    Args:
        pool: The judges.
        sampler: Draws the answers.
        specification_hashes: Judge -> its specification's hash, in the judges' order.
        limits: How long a batch may take, and how old an answer may be.
        now_ms: Wall clock, Unix milliseconds.
        of_context: Judges whose scores, between 0 and 1, say how far the context supports an
            answer.
        votes_on: Judge -> the check of the output on which its scores are votes.
        references: Question, as ``question_key`` writes it -> an answer that is known to be right.
        clock: Monotonic clock, seconds.
    """

    def __init__(  # noqa: PLR0913 - what it is put together from, by name
        self,
        pool: Judges,
        sampler: Sampler,
        *,
        specification_hashes: Mapping[str, str],
        limits: JudgeLimits,
        now_ms: Callable[[], int],
        of_context: Collection[str] = (),
        votes_on: Mapping[str, str] = MappingProxyType({}),
        references: Mapping[str, str] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._of_context = of_context
        self._votes_on = votes_on
        self._sampler = sampler
        self._specification_hashes = specification_hashes
        self._limits = limits
        self._now_ms = now_ms
        self._references = references
        self._clock = clock
        self._calls_per_second: float | None = None
        self._waited = False
        self._aged: dict[str, JudgeStanding] = {}

    @property
    def kind(self) -> SketchKind:
        """The kind of sketch: ``quality``."""
        return "quality"

    @property
    def reads(self) -> type[ResponseEvent]:
        """The type of event that is measured: responses."""
        return ResponseEvent

    def notices(self) -> tuple[str, ...]:
        """Return the judges' states as short codes."""
        return self._pool.notices()

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return the judges that give no scores, or none that count, and why."""
        found = {condition.judge: condition for condition in self._pool.conditions()}
        for judge, standing in self._aged.items():
            if (aged := standing.condition) is not None:
                found[judge] = aged
        return tuple(found.values())

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> Sequence[Measurement]:
        """Return what each answer adds to its segment's window, judged or not."""
        if not events:
            return ()
        if not self._waited:
            self._pool.wait_for_qualification(self._limits.deadline_seconds)
            self._waited = True
        plans = self._sampler.plans(max(event.time_ms for _, event in events))
        if not plans:  # the judges there are grade conversations
            return [Measurement() for _ in events]
        answers = [self._draw(origin, event, plans) for origin, event in events]
        if (factor := self._room(answers)) < 1:
            plans = {judge: plan.scaled(factor) for judge, plan in plans.items()}
            answers = [_redrawn(answer, plans) for answer in answers]
        return [self._measured(answer, plans) for answer in self._ask(answers)]

    def _draw(
        self, origin: Origin, event: ResponseEvent, plans: Mapping[str, SamplingPlan]
    ) -> _Answer:
        place = draw(next(iter(plans.values())).salt, event.request_id)
        answer = _Answer(origin, event, place, _drawn(place, event, plans))
        age_seconds = (self._now_ms() - event.time_ms) / 1000
        if 0 < self._limits.max_age_seconds < age_seconds:
            self._note_age(answer, age_seconds)
            return replace(answer, skipped=SkipReason.TOO_OLD)
        subject = judgeable(event)
        if isinstance(subject, SkipReason):
            return replace(answer, skipped=subject)
        if self._references:
            known = self._references.get(question_key(subject.prompt))
            subject = replace(subject, reference=known)
        asked = {judge for judge in plans if self._pool.applies(judge, subject)}
        for judge in asked:
            self._aged.pop(judge, None)
            self._sampler.answer(judge, event.segment.key)
        drawn = tuple(judge for judge in answer.drawn if judge in asked)
        return replace(answer, exchange=subject, drawn=drawn)

    def _note_age(self, answer: _Answer, age_seconds: float) -> None:
        detail = (
            f"the answers are {duration(age_seconds)} old when they arrive, and those older than "
            f"{duration(self._limits.max_age_seconds)} are not judged: set the clock of "
            f"{answer.event.producer_id} right, or wait until the worker has caught up"
        )
        for judge in answer.drawn:
            standing = self._aged.setdefault(judge, JudgeStanding(judge))
            standing.learn(SkipReason.TOO_OLD, detail)

    def _room(self, answers: Sequence[_Answer]) -> float:
        """Return the share of the drawn calls that there is time for, 1 or more if for all.

        Only the number of answers counts, never their content: the answers that are kept would
        also have been drawn at the smaller probability, which their judgments carry.
        """
        calls = sum(len(answer.drawn) for answer in answers if answer.exchange)
        if self._calls_per_second is None or not calls:
            return 1.0
        return self._calls_per_second * self._limits.deadline_seconds * _USED_SHARE / calls

    def _ask(self, answers: Sequence[_Answer]) -> list[_Answer]:
        asked = [
            (number, Question(judge, answer.exchange))
            for number, answer in enumerate(answers)
            if answer.exchange is not None and answer.skipped is None
            for judge in answer.drawn
        ]
        began = self._clock()
        results = self._pool.ask(
            [question for _, question in asked], deadline_seconds=self._limits.deadline_seconds
        )
        self._learn_speed(sum(isinstance(each, Score) for each in results), self._clock() - began)
        scores: dict[int, dict[str, Score]] = {}
        reasons: dict[int, SkipReason] = {}
        for (number, question), result in zip(asked, results, strict=True):
            if isinstance(result, Score):
                scores.setdefault(number, {})[question.judge] = result
                self._sampler.learn(question.judge, answers[number].event.segment.key, result)
            else:
                reasons[number] = result
        return [
            replace(
                answer,
                scores=scores.get(number, {}),
                skipped=answer.skipped if number in scores else reasons.get(number, answer.skipped),
            )
            for number, answer in enumerate(answers)
        ]

    def _learn_speed(self, judged: int, seconds: float) -> None:
        if not judged or seconds <= 0:
            return
        speed, old = judged / seconds, self._calls_per_second
        self._calls_per_second = speed if old is None else old + _SPEED_MEMORY * (speed - old)

    def _measured(self, answer: _Answer, plans: Mapping[str, SamplingPlan]) -> Measurement:
        if not answer.drawn:
            return Measurement()
        if answer.skipped is not None:
            _SKIPPED.labels(answer.skipped.value).inc()
            reason = measures.skipped(answer.skipped.value)
            return Measurement(progress={measures.SAMPLED: 1, reason: 1})
        verdicts = tuple(
            JudgeVerdict(
                judge=judge,
                specification_hash=self._specification_hashes[judge],
                number=number,
                judges=len(self._specification_hashes),
                qualified=self._pool.qualified(judge),
                plan=plans[judge],
                score=answer.scores[judge],
                of_context=judge in self._of_context,
                votes_on=self._votes_on.get(judge, ""),
            )
            for number, judge in enumerate(self._specification_hashes, start=1)
            if judge in answer.scores
        )
        for verdict in verdicts:
            outcome = "scored" if verdict.score.invalid is None else "invalid"
            _JUDGMENTS.labels(verdict.judge, outcome).inc()
        return measured(answer.origin, answer.event, verdicts)


def _drawn(
    place: float, event: ResponseEvent, plans: Mapping[str, SamplingPlan]
) -> tuple[str, ...]:
    stratum = event.segment.key
    return tuple(
        judge for judge, plan in plans.items() if place < plan.inclusion_probability(stratum)
    )


def _redrawn(answer: _Answer, plans: Mapping[str, SamplingPlan]) -> _Answer:
    """Draw an answer again at smaller rates: fewer judges, or shed when none is left."""
    if answer.exchange is None or not answer.drawn:
        return answer
    smaller = _drawn(answer.place, answer.event, plans)
    kept = tuple(judge for judge in smaller if judge in answer.drawn)
    return replace(answer, drawn=kept) if kept else replace(answer, skipped=SkipReason.SHED)
