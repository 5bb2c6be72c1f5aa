"""Measurements and judgment events of judged answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.sampling import SamplingPlan, draw
from tidegauge.schemas import measures
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import ResponseEvent, last_user_message
from tidegauge.schemas.sketches import EXEMPLAR_CHARACTERS, Exemplar
from tidegauge.schemas.topics import JUDGMENTS
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.processor import Output

__all__ = ["JudgeVerdict", "measured"]


@dataclass(frozen=True, slots=True)
class JudgeVerdict:
    """One judge's score of one answer, and how the answer was sampled.

    Attributes:
        judge: Judge's name.
        specification_hash: Hash of its specification.
        number: The judge's place among the judges, from 1.
        judges: Number of judges.
        qualified: Whether the judge may raise alarms.
        plan: The sampling plan that the answer was drawn by.
        score: The judge's score.
    """

    judge: str
    specification_hash: str
    number: int
    judges: int
    qualified: bool
    plan: SamplingPlan
    score: Score


def measured(
    origin: Origin, event: ResponseEvent, verdicts: tuple[JudgeVerdict, ...]
) -> Measurement:
    """Return what a judged answer adds to its segment's window.

    Args:
        origin: Where the event came from.
        event: The response.
        verdicts: One for each judge that was asked, at least one.
    """
    hits: list[str] = []
    trials: list[str] = []
    values: dict[str, float] = {}
    for verdict in verdicts:
        label = measures.judge_label(verdict.judge, verdict.specification_hash)
        trials += [measures.invalid(label), measures.unqualified(label)]
        if verdict.score.invalid is not None:
            hits.append(measures.invalid(label))
        if not verdict.qualified:
            hits.append(measures.unqualified(label))
        values |= _values(label, verdict.score, _probability(verdict, event))
    question = last_user_message(event.messages)
    return Measurement(
        hits=tuple(hits),
        trials=tuple(trials),
        values=values,
        exemplar=Exemplar(
            request_id=event.request_id,
            rank=draw("exemplar", event.request_id),
            text=question[:EXEMPLAR_CHARACTERS],
            customer=event.customer,
        ),
        progress={measures.SAMPLED: 1, measures.JUDGED: 1},
        outputs=tuple(_output(origin, event, verdict) for verdict in verdicts),
    )


def _values(label: str, score: Score, probability: float) -> Mapping[str, float]:
    if score.invalid is not None:
        return {}
    values = {measures.weight(label): 1 / probability}
    if score.answer_tokens is not None:
        values[measures.answer_tokens(label)] = score.answer_tokens
    for name, value in score.values.items():
        values[measures.score(label, name)] = value
        values[measures.weighted(label, name)] = value / probability
        values[measures.cross(label, name)] = value / probability**2
    return values


def _output(origin: Origin, event: ResponseEvent, verdict: JudgeVerdict) -> Output:
    judgment = JudgmentEvent(
        request_id=event.request_id,
        producer_id=origin.producer_id,
        # One number for each record and judge, the same whenever it is judged again.
        sequence=origin.offset * verdict.judges + verdict.number,
        time_ms=event.time_ms,
        segment=event.segment,
        judge=verdict.judge,
        specification_hash=verdict.specification_hash,
        inclusion_probability=_probability(verdict, event),
        sampling_period=verdict.plan.period,
        salt=verdict.plan.salt,
        scores=dict(verdict.score.values),
        qualified=verdict.qualified,
        invalid=verdict.score.invalid,
        label_mass=verdict.score.label_mass,
        answer_tokens=verdict.score.answer_tokens,
        conversation_id=event.conversation_id,
    )
    return Output(
        topic=JUDGMENTS,
        key=event.request_id,
        event=judgment,
        source=origin.producer_id,
        event_id=f"{origin.producer_id}/{origin.offset}/{verdict.judge}",
        time_ms=event.time_ms,
    )


def _probability(verdict: JudgeVerdict, event: ResponseEvent) -> float:
    return verdict.plan.inclusion_probability(event.segment.key)
