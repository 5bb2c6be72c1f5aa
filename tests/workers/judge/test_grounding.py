from __future__ import annotations

from collections.abc import Sequence

from tests.workers.judge.conftest import origin, response

from tidegauge.quality.hallucination import LABEL
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ErrorKind, Message, ResponseEvent
from tidegauge.schemas.sketches import Exemplar, JudgeCondition, SketchKind
from tidegauge.streaming.extractor import Extractor, Measurement, Origin
from tidegauge.workers.judge.grounding import GroundingExtractor, GroundingRule

CHECKED, HALLUCINATED = measures.grounding_checked(LABEL), measures.hallucinated(LABEL)
ASKED = (Message(role="user", content="<context>It takes 3 days.</context>\nHow long?"),)


class Judging:
    """Measures one number of each answer, as judges do."""

    kind: SketchKind = "quality"
    reads = ResponseEvent

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> Sequence[Measurement]:
        return [
            Measurement(
                hits=("judged",),
                values={"score": 0.5},
                exemplar=Exemplar(request_id=event.request_id, rank=0.5, text="", customer=""),
            )
            for _, event in events
        ]

    def notices(self) -> tuple[str, ...]:
        return ("qualified:x",)

    def conditions(self) -> tuple[JudgeCondition, ...]:
        return ()


def extractor(**rule: object) -> GroundingExtractor:
    return GroundingExtractor(Judging(), GroundingRule(**rule))  # type: ignore[arg-type]


def measured(*events: ResponseEvent, **rule: object) -> list[Measurement]:
    pairs = [(origin(number), event) for number, event in enumerate(events)]
    return list(extractor(**rule).measure(pairs))


def test_it_is_an_extractor_of_the_same_kind() -> None:
    made: Extractor[ResponseEvent] = extractor()
    assert made.kind == "quality"
    assert made.reads is ResponseEvent
    assert made.notices() == ("qualified:x",)
    assert extractor(qualified=False).notices() == ("qualified:x", "unqualified:support")


def test_an_answer_that_invents_is_counted() -> None:
    supported, invented = measured(
        response(messages=ASKED, output="3 days."),
        response(messages=ASKED, output="9 days, says Bo."),
    )
    assert supported.hits == ("judged", CHECKED)
    assert invented.hits == ("judged", CHECKED, HALLUCINATED)
    assert supported.values == invented.values == {"score": 0.5}
    assert supported.totals["context"] == invented.totals["context"] == {"given": 1}
    counts = [
        [sum(found.totals[name].values()) for found in (supported, invented)]
        for name in (measures.cluster_checked(LABEL), measures.cluster_hallucinated(LABEL))
    ]
    assert counts == [[1, 1], [0, 1]]


def test_answers_are_kept_as_examples_the_more_they_invent_the_earlier() -> None:
    supported, one, two = measured(
        response(messages=ASKED, output="3 days."),
        response(messages=ASKED, output="9 days."),
        response(messages=ASKED, output="9 days, says Bo."),
    )
    typical, worst = (
        name(LABEL, measures.HALLUCINATION) for name in (measures.typical, measures.worst)
    )
    assert [name for name, _ in supported.examples] == [typical]
    assert [name for name, _ in one.examples] == [typical, worst]
    found = [dict(each.examples)[worst] for each in (one, two)]
    assert found[1].rank < found[0].rank
    assert found[1].value == 2


def test_answers_without_a_known_context_are_counted_apart() -> None:
    none, cut, hidden, failed = measured(
        response(output="9 days."),
        response(messages=ASKED, output="9 days.", omitted_characters=5_000),
        response(messages=ASKED, output=None, output_characters=7, capture="none"),
        response(messages=ASKED, error=ErrorKind.UPSTREAM_ERROR, status=502),
    )
    assert [each.hits for each in (none, cut, hidden, failed)] == [("judged",)] * 4
    counted = [each.totals.get("context") for each in (none, cut, hidden, failed)]
    assert counted == [{"none": 1}, {"cut": 1}, {"not_captured": 1}, None]


def test_an_unqualified_check_marks_its_answers() -> None:
    (found,) = measured(response(messages=ASKED, output="9 days."), qualified=False)
    assert measures.unqualified(LABEL) in found.hits
    assert measures.unqualified(LABEL) in found.trials


def test_a_share_of_the_answers_is_looked_at() -> None:
    events = [
        response(messages=ASKED, output="9 days.", request_id=f"r{number}") for number in range(400)
    ]
    found = [CHECKED in each.hits for each in measured(*events, rate=0.25)]
    assert 60 < sum(found) < 140
    assert found == [CHECKED in each.hits for each in measured(*events, rate=0.25)]
    assert not any(CHECKED in each.hits for each in measured(*events, rate=0.0))
