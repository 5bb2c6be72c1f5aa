"""Events of workers: mergeable sketches of windows of event time, and progress."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from tidegauge.schemas.segments import Segment

__all__ = [
    "EXEMPLAR_CHARACTERS",
    "Exemplar",
    "Histogram",
    "JudgeCondition",
    "JudgeState",
    "Moments",
    "Progress",
    "RecordPlace",
    "Sampled",
    "Sketch",
    "SketchKind",
    "SourceRange",
    "Tally",
    "TextState",
]

SketchKind = Literal["drift", "vitals", "quality"]
"""Kind of worker that made a sketch."""

TextState = Literal["unread", "shown", "not_captured", "expired"]
"""What is known of an exemplar's texts: nobody has looked for them, they are there, the request
was recorded without them, or the log does not hold it any more."""

EXEMPLAR_CHARACTERS = 400
"""Exemplars' texts are cut off at this length."""


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Count, sum and sum of squares of a number, with its extremes; n = 0 has no extremes."""

    n: int
    total: float
    squares: float
    least: float
    most: float


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """A DDSketch as plain counts: merging adds them, exactly.

    Attributes:
        accuracy: Relative error of a quantile, such as .01.
        positive: Bucket index -> count, bucket i holding (gamma**(i-1), gamma**i].
        negative: The same for the absolute values of negative numbers.
        zero: Numbers whose absolute value is below 1e-9.
    """

    accuracy: float
    positive: dict[int, int]
    negative: dict[int, int] = {}
    zero: int = 0


class RecordPlace(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Where a record lies in the log; on the wire an array, in this order."""

    topic: str
    partition: int
    offset: int


class Exemplar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request that shows what a number stands for.

    No topic holds its texts, since topics with exemplars are kept for longer than texts. What
    shows an exemplar reads them at ``source``, while the log has them.

    Attributes:
        request_id: Which.
        rank: Sampling rank, a hash of the request id in [0, 1): merging keeps the least.
        text: The prompt; empty in a topic.
        customer: Whose it was.
        value: The number, where there is one.
        source: The record with its texts; None of an exemplar that has not been counted yet.
        text_state: What is known of the texts.
        context: The context that its answer was given, of a judged answer.
        answer: The answer, if it was judged.
        reason: The judge's reason for its score, if it gave one.
    """

    request_id: str
    rank: float
    text: str
    customer: str
    value: float | None = None
    source: RecordPlace | None = None
    text_state: TextState = "unread"
    context: str = ""
    answer: str = ""
    reason: str = ""


class Sampled(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A request of a sample of all requests; on the wire an array, in this order.

    Attributes:
        rank: A hash of the request id in [0, 2**32): merging keeps the least.
        customer: Whose it was, the first characters of the name.
        shows: Indicators that held for it.
    """

    rank: int
    customer: str
    shows: tuple[str, ...]


class SourceRange(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one partition that a sketch covers, both ends included."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int


class Sketch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.sketch"):
    """One segment's window of event time, as one worker saw one partition.

    Attributes:
        kind: Which worker made it.
        producer_id: ``group/topic-partition``: the same for whichever worker process ran.
        sequence: Counts that producer's sketches and progress from 1.
        segment: Slice of the traffic.
        window_start_ms: Start of the window, a multiple of ``window_ms``.
        window_ms: The window's length.
        source: The records it covers.
        baseline: Id of the baseline that its indicators refer to; empty if to none.
        events: Events counted, late ones included.
        late: Events whose own window was closed already and that are counted here.
        hits: Indicator -> number of events for which it held.
        trials: Indicator -> number of events for which it was looked at, where that is
            not ``events``.
        moments: Number -> its moments.
        histograms: Number -> its DDSketch.
        totals: Name -> label -> whole number, such as nano-dollars by customer.
        strata: Number -> stratum, as ``measures.stratum`` names it -> DDSketch of the events that
            had this load and these lengths.
        exemplars: Indicator -> a few requests, of least rank.
        sample: Requests of least rank among all those of which indicators were asked.
    """

    kind: SketchKind
    producer_id: str
    sequence: int
    segment: Segment
    window_start_ms: int
    window_ms: int
    source: SourceRange
    events: int
    baseline: str = ""
    late: int = 0
    hits: dict[str, int] = {}
    trials: dict[str, int] = {}
    moments: dict[str, Moments] = {}
    histograms: dict[str, Histogram] = {}
    totals: dict[str, dict[str, int]] = {}
    strata: dict[str, dict[str, Histogram]] = {}
    exemplars: dict[str, tuple[Exemplar, ...]] = {}
    sample: tuple[Sampled, ...] = ()
    schema_version: int = 1


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one gateway's events in one partition.

    Attributes:
        processed: Events taken into account, once each.
        dead_lettered: Events put aside, with a reason.
        repeated: Copies of events seen before, dropped.
        last_sequence: The highest sequence seen.
    """

    processed: int = 0
    dead_lettered: int = 0
    repeated: int = 0
    last_sequence: int = 0


class JudgeState(StrEnum):
    """Why a judge gives no scores, or none that count."""

    UNREACHABLE = "unreachable"
    """Its server is away or busy."""
    LATE = "late"
    """It does not answer before the time limit."""
    REFUSED = "refused"
    """Its server refuses the questions."""
    FAILING = "failing"
    """Its server answers, and fails on the questions."""
    CANNOT_BE_ASKED = "cannot_be_asked"
    """Its server lacks what the judge needs, or has another model."""
    INVALID = "invalid"
    """Its replies cannot be read as a score."""
    CUT_OFF = "cut_off"
    """Its replies end before their grade."""
    TOO_OLD = "too_old"
    """The answers are too old when they arrive."""
    TOO_LONG = "too_long"
    """The exchanges are longer than it can read."""
    UNQUALIFIED = "unqualified"
    """It does not tell good from bad golden answers."""
    PENDING = "pending"
    """Its qualification has not ended."""


class JudgeCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a judge that does not work.

    Attributes:
        judge: The judge's name.
        state: The state.
        detail: The server's or the worker's own sentence.
    """

    judge: str
    state: JudgeState
    detail: str = ""


class Progress(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.progress"
):
    """How far a worker has come in one partition; follows the sketches it has published.

    Attributes:
        kind: Which worker.
        producer_id: See ``Sketch``.
        sequence: See ``Sketch``.
        time_ms: When it was said.
        topic: The partition's topic.
        partition: The partition.
        next_offset: First record that is not yet accounted for.
        watermark_ms: No window that ends at or before this is still open here.
        tallies: Gateway run -> what became of its events; ``""`` for records of no known one.
        totals: Name -> whole number since the group began, such as sampled, judged, skipped.
        notices: Short codes of states worth showing, such as ``unqualified:helpfulness``.
        judges: The judges that do not work, if this is a judge worker.
    """

    kind: SketchKind
    producer_id: str
    sequence: int
    time_ms: int
    topic: str
    partition: int
    next_offset: int
    watermark_ms: int
    tallies: dict[str, Tally]
    totals: dict[str, int] = {}
    notices: tuple[str, ...] = ()
    judges: tuple[JudgeCondition, ...] = ()
    schema_version: int = 1
