from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.health import judge_conditions
from tidegauge.schemas.findings import State
from tidegauge.schemas.sketches import JudgeCondition, JudgeState, Progress

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic

GONE = "the judge at http://judge:8000 answered 404: 'The model `m` does not exist.'"
STOPPED = [
    state for state in JudgeState if state not in {JudgeState.PENDING, JudgeState.UNQUALIFIED}
]


def report(
    traffic: Traffic, windows: int, *conditions: JudgeCondition, notices: tuple[str, ...] = ()
) -> Progress:
    progress = traffic.writers["quality"].progress(windows)
    return msgspec.structs.replace(progress, judges=conditions, notices=notices)


def condition(state: JudgeState, detail: str = GONE) -> JudgeCondition:
    return JudgeCondition(judge="helpfulness", state=state, detail=detail)


@pytest.mark.parametrize("state", STOPPED)
def test_a_judge_that_stops_is_an_alarm_in_its_servers_words(
    harness: Harness, traffic: Traffic, state: JudgeState
) -> None:
    harness.give(report(traffic, 1, condition(state)))
    harness.tick(traffic.start_of(1))
    harness.tick(traffic.start_of(2))
    (alert,) = harness.alerts("pipeline.judge_replies.helpfulness")
    assert (alert.status, alert.severity) == ("firing", "warn")
    assert alert.verdict is not None
    assert "The model `m` does not exist" in alert.verdict.sentence
    harness.give(report(traffic, 3))
    harness.tick(traffic.start_of(3))
    assert harness.alerts("pipeline.judge_replies.helpfulness")[-1].status == "resolved"


def test_a_judge_that_works_or_is_being_qualified_is_not_mentioned(
    harness: Harness, traffic: Traffic
) -> None:
    harness.give(report(traffic, 1, condition(JudgeState.PENDING, "")))
    harness.tick(traffic.start_of(1))
    assert harness.verdicts("pipeline.judge_replies.helpfulness") == []


def test_a_judge_that_never_graded_is_shown_and_one_that_stops_grading_is_an_alarm(
    harness: Harness, traffic: Traffic
) -> None:
    invalid = condition(JudgeState.INVALID, "no grade is among the likeliest next tokens")
    other = ("qualified:likelihood:shuffled",)
    harness.give(report(traffic, 1, invalid, notices=other))
    harness.tick(traffic.start_of(1))
    assert harness.alerts("pipeline.judge_replies.helpfulness") == []
    assert harness.verdicts("pipeline.judge_replies.helpfulness")[-1].state is State.UNQUALIFIED
    harness.give(report(traffic, 3, invalid, notices=(*other, "qualified:helpfulness:shuffled")))
    harness.tick(traffic.start_of(3))
    assert harness.alerts("pipeline.judge_replies.helpfulness")[-1].status == "firing"


def test_an_unqualified_judge_is_shown_as_long_as_another_one_is_qualified(
    harness: Harness, traffic: Traffic
) -> None:
    unqualified = condition(JudgeState.UNQUALIFIED, "it scored 3 of 10 golden answers")
    qualified = ("qualified:likelihood:shuffled",)
    harness.give(report(traffic, 1, unqualified, notices=qualified))
    harness.tick(traffic.start_of(1))
    (verdict,) = harness.verdicts("pipeline.judge_replies.helpfulness")
    assert verdict.state == State.UNQUALIFIED
    assert "it scored 3 of 10 golden answers" in verdict.sentence
    assert harness.alerts() == []
    harness.give(report(traffic, 2, unqualified))
    harness.tick(traffic.start_of(2))
    (alert,) = harness.alerts("pipeline.judge_replies.helpfulness")
    assert alert.verdict is not None
    assert "nothing tests the quality of answers" in alert.verdict.sentence


def test_the_newest_report_counts(traffic: Traffic) -> None:
    found = judge_conditions(
        [
            report(traffic, 5, condition(JudgeState.LATE, "late")),
            report(traffic, 1, condition(JudgeState.REFUSED, "refused")),
        ]
    )
    assert found["helpfulness"].state is JudgeState.LATE


def test_a_judge_that_never_stops_talking_is_refused(harness: Harness, traffic: Traffic) -> None:
    many = [condition(JudgeState.LATE, "x" * 10_000)]
    outcome = harness.give(report(traffic, 1, *many))
    assert [rejection.reason for rejection in outcome.rejections] == ["invalid_field"]
