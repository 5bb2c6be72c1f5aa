"""Measurements and judgment events of judged answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from tidegauge.detection.random_groups import group_of, group_sum
from tidegauge.quality.hallucination import hits_of, is_unsupported
from tidegauge.quality.judged_exchange import JudgedUnit, Score
from tidegauge.quality.sampling import SamplingPlan, draw
from tidegauge.quality.specifications import VOTE
from tidegauge.schemas import measures
from tidegauge.schemas.evaluations import JudgmentEvent, Remark
from tidegauge.schemas.exchange import CheckOutcome, ResponseEvent
from tidegauge.schemas.sketches import Exemplar
from tidegauge.schemas.topics import JUDGMENTS, REMARKS
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.processor import Output

__all__ = ["JudgeVerdict", "cluster_counts", "exemplar_of", "measured"]


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
        of_context: Whether its score says how far the context supports the answer.
        unit: What it judges.
        votes_on: Check of the output on which its score is a vote; empty for none.
    """

    judge: str
    specification_hash: str
    number: int
    judges: int
    qualified: bool
    plan: SamplingPlan
    score: Score
    of_context: bool = False
    unit: JudgedUnit = "answer"
    votes_on: str = ""


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
    totals: dict[str, Mapping[str, int]] = {}
    for verdict in verdicts:
        label = measures.judge_label(verdict.judge, verdict.specification_hash)
        trials += [measures.invalid(label), measures.unqualified(label)]
        if verdict.score.invalid is not None:
            hits.append(measures.invalid(label))
        if not verdict.qualified:
            hits.append(measures.unqualified(label))
        if verdict.of_context and verdict.score.values:
            unsupported = is_unsupported(verdict.score.values.values())
            hits += hits_of(label, unsupported=unsupported)
        probability = _probability(verdict, event)
        values |= _values(label, verdict.score, probability)
        totals |= _cluster_totals(label, event, verdict, 1 / probability)
        if (checked := event.checks.get(verdict.votes_on)) and verdict.score.values:
            hits.append(measures.voted(label, verdict.votes_on))
            totals |= _vote_totals(label, event, verdict, 1 / probability, checked)
    shown = exemplar_of(event)
    return Measurement(
        hits=tuple(hits),
        trials=tuple(trials),
        values=values,
        totals=totals,
        exemplar=shown,
        examples=tuple(_examples(shown, verdicts)),
        progress={measures.SAMPLED: 1, measures.JUDGED: 1},
        outputs=tuple(
            output for verdict in verdicts for output in _outputs(origin, event, verdict)
        ),
    )


def exemplar_of(event: ResponseEvent) -> Exemplar:
    """Return an answer as an exemplar of rank at random."""
    return Exemplar(
        request_id=event.request_id,
        rank=draw("exemplar", event.request_id),
        text="",
        customer=event.customer,
    )


def _examples(
    shown: Exemplar, verdicts: tuple[JudgeVerdict, ...]
) -> Iterator[tuple[str, Exemplar]]:
    """Yield an answer as an example of each score: of the worst, and of typical ones."""
    for verdict in verdicts:
        label = measures.judge_label(verdict.judge, verdict.specification_hash)
        for name, value in verdict.score.values.items():
            scored = msgspec.structs.replace(shown, value=value)
            yield measures.typical(label, name), scored
            # The lowest scores have the least ranks, so that merging keeps the worst answers.
            rank = 1 / (1 + math.exp(-min(30.0, max(-30.0, value))))
            yield measures.worst(label, name), msgspec.structs.replace(scored, rank=rank)


def _values(label: str, score: Score, probability: float) -> Mapping[str, float]:
    if score.invalid is not None:
        return {}
    values = {measures.weight(label): 1 / probability}
    if score.disagreement is not None:
        values[measures.disagreement(label)] = score.disagreement
    if score.answer_tokens is not None:
        values[measures.answer_tokens(label)] = score.answer_tokens
    for name, value in score.values.items():
        values[measures.score(label, name)] = value
        values[measures.weighted(label, name)] = value / probability
        values[measures.cross(label, name)] = value / probability**2
    return values


def _cluster_totals(
    label: str, event: ResponseEvent, verdict: JudgeVerdict, weight: float
) -> Mapping[str, Mapping[str, int]]:
    """Return what the answer adds to the sums of its conversation's group."""
    if verdict.score.invalid is not None:
        return {}
    group = group_of(event.customer, event.conversation_id or event.request_id)
    found = {measures.cluster_weights(label): group_sum(group, weight)}
    for name, value in verdict.score.values.items():
        found[measures.cluster_sums(label, name)] = group_sum(group, value * weight)
    if verdict.of_context and verdict.score.values:
        unsupported = is_unsupported(verdict.score.values.values())
        found |= cluster_counts(label, event, unsupported=unsupported)
    return found


def _vote_totals(
    label: str, event: ResponseEvent, verdict: JudgeVerdict, weight: float, checked: CheckOutcome
) -> Mapping[str, Mapping[str, int]]:
    """Return what a judge's vote on a check adds to the totals."""
    check = verdict.votes_on
    vote, failed = min(verdict.score.values.values()) < VOTE, checked == "failed"
    cells = {(True, True): "both", (True, False): "judge", (False, True): "check"}
    group = group_of(event.customer, event.conversation_id or event.request_id)
    return {
        measures.votes(label, check): group_sum(cells.get((vote, failed), "neither"), weight),
        measures.vote_weights(label, check): group_sum(group, weight),
        measures.vote_gaps(label, check): group_sum(group, weight * (vote - failed)),
    }


def cluster_counts(
    label: str, event: ResponseEvent, *, unsupported: bool
) -> Mapping[str, Mapping[str, int]]:
    """Return what an answer that was held against its context adds to its group's counts.

    Args:
        label: What held it against its context, as sketches name judges.
        event: The answer.
        unsupported: Whether the context does not support it.
    """
    group = group_of(event.customer, event.conversation_id or event.request_id)
    return {
        measures.cluster_checked(label): {group: 1},
        measures.cluster_hallucinated(label): {group: int(unsupported)},
    }


def _outputs(origin: Origin, event: ResponseEvent, verdict: JudgeVerdict) -> Iterator[Output]:
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
        disagreement=verdict.score.disagreement,
        conversation_id=event.conversation_id,
        unit=verdict.unit,
    )
    event_id = f"{origin.producer_id}/{origin.offset}/{verdict.judge}"
    yield Output(
        topic=JUDGMENTS,
        key=event.request_id,
        event=judgment,
        source=origin.producer_id,
        event_id=event_id,
        time_ms=event.time_ms,
    )
    if verdict.score.reason:
        label = measures.judge_label(verdict.judge, verdict.specification_hash)
        yield Output(
            topic=REMARKS,
            key=f"{event.request_id}\n{label}",
            event=Remark(
                request_id=event.request_id,
                time_ms=event.time_ms,
                author=label,
                text=verdict.score.reason,
            ),
            source=origin.producer_id,
            event_id=f"{event_id}/remark",
            time_ms=event.time_ms,
        )


def _probability(verdict: JudgeVerdict, event: ResponseEvent) -> float:
    return verdict.plan.inclusion_probability(event.segment.key)
