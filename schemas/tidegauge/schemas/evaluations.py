"""Evaluations of single exchanges: embeddings, judgments and people's labels."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegauge.schemas.segments import Segment

__all__ = ["EmbeddingEvent", "JudgmentEvent", "LabelEvent", "Remark"]


class EmbeddingEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.embedding"
):
    """Where a request lies, seen from a baseline.

    Attributes:
        request_id: Which request.
        producer_id: ``group/topic-partition`` of the worker.
        sequence: Counts that producer's events from 1.
        time_ms: The request's event time.
        segment: Slice of the traffic.
        baseline: Id of the baseline.
        embedder: Fingerprint of what made the vector.
        cluster: Index of the nearest centroid.
        novelty: 1 - mean cosine to the nearest reference points; higher is stranger.
        vector: float16 values, little-endian; empty where vectors are not published.
    """

    request_id: str
    producer_id: str
    sequence: int
    time_ms: int
    segment: Segment
    baseline: str
    embedder: str
    cluster: int
    novelty: float
    vector: bytes = b""
    schema_version: int = 1


class JudgmentEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.judgment"
):
    """What a judge said of one answer or conversation, and how likely it was to be asked.

    Attributes:
        request_id: Which exchange; the last one of a conversation.
        producer_id: ``group/topic-partition`` of the worker.
        sequence: Counts that producer's events from 1.
        time_ms: The exchange's event time.
        segment: Slice of the traffic.
        judge: Judge's name, such as ``rubric`` or ``likelihood``.
        specification_hash: Of the judge's whole specification; a new one needs a new
            calibration.
        inclusion_probability: Chance that this exchange was judged, in (0, 1].
        sampling_period: Which published sampling rates that chance came from.
        salt: Salt of the sampling hash, so that anyone can check the draw.
        scores: Score's name -> value; empty when ``invalid``.
        invalid: Why there is no score, None when there is one.
        qualified: Whether the judge may alarm, by its golden set.
        label_mass: Probability on the rubric's labels, None for other judges.
        answer_tokens: Tokens of the answer that were scored.
        disagreement: Largest difference between the scores of the judge and its jury; None
            where no jury was asked.
        conversation_id: Conversation of the exchange; None if it is not known, and then the
            exchange stands for itself. Estimates count conversations.
        unit: Whether the answer was judged, or the whole conversation.
    """

    request_id: str
    producer_id: str
    sequence: int
    time_ms: int
    segment: Segment
    judge: str
    specification_hash: str
    inclusion_probability: float
    sampling_period: int
    salt: str
    scores: dict[str, float]
    qualified: bool
    invalid: str | None = None
    label_mass: float | None = None
    answer_tokens: int | None = None
    disagreement: float | None = None
    conversation_id: str | None = None
    unit: Literal["answer", "conversation"] = "answer"
    schema_version: int = 1


class LabelEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.label"
):
    """What a person said of one answer.

    Attributes:
        request_id: Which exchange.
        time_ms: When the person said it.
        annotator: Who, by a name of your choosing.
        score: In [0, 1], 1 for a good answer.
        inclusion_probability: Chance that this exchange was judged and given to a person, in
            (0, 1]; None if it is not known.
        note: The person's own words in the file that is imported; the topic does not hold them,
            they are a ``Remark``.
    """

    request_id: str
    time_ms: int
    annotator: str
    score: float
    inclusion_probability: float | None = None
    note: str = ""
    schema_version: int = 1


class Remark(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.remark"):
    """What a judge or a person says of one answer in words, kept as long as the answer's text.

    Attributes:
        request_id: Which exchange.
        time_ms: A judge's: the exchange's event time; a person's: when the person said it.
        author: The judge with its specification, such as ``groundedness@1a2b``, or the annotator.
        text: The words.
    """

    request_id: str
    time_ms: int
    author: str
    text: str
    schema_version: int = 1
