from __future__ import annotations

from tidegauge.reports.hallucination_rate import context_counts, hallucinations
from tidegauge.schemas import measures
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sketch, SourceRange

LABEL = "support@12345678"


def sketch(hits: dict[str, int], context: dict[str, int]) -> Sketch:
    return Sketch(
        kind="quality",
        segment=Segment(model="m"),
        window_start_ms=0,
        window_ms=10_000,
        producer_id="judge/responses-0",
        sequence=1,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=0),
        events=10,
        hits=hits,
        totals={measures.CONTEXT: context} if context else {},
    )


def test_the_rate_is_of_the_answers_that_were_held_against_a_context() -> None:
    (found,) = hallucinations(
        sketch({measures.grounding_checked(LABEL): 40, measures.hallucinated(LABEL): 10}, {})
    )
    assert (found.name, found.checked, found.unsupported, found.rate) == ("support", 40, 10, 0.25)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.25 < found.high
    assert found.qualified


def test_without_checked_answers_there_is_no_rate() -> None:
    assert hallucinations(sketch({}, {"none": 5, "cut": 2})) == ()


def test_answers_are_counted_by_their_context() -> None:
    found = context_counts(sketch({}, {"given": 30, "none": 10, "cut": 5, "redacted": 2}))
    assert found is not None
    assert (found.answers, found.share) == (47, 0.75)
    assert found.not_measured == {"cut": 5, "redacted": 2}


def test_a_share_of_nothing_known_is_unknown() -> None:
    found = context_counts(sketch({}, {"cut": 5}))
    assert found is not None
    assert found.share is None
    assert context_counts(sketch({}, {})) is None


def test_an_unqualified_check_says_so() -> None:
    hits = {measures.grounding_checked(LABEL): 4, measures.unqualified(LABEL): 4}
    assert not hallucinations(sketch(hits, {}))[0].qualified
