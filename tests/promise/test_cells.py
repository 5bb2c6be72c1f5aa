"""Every kind of stream once, end to end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidegauge.promise.cells import StreamPlan, conversation_outcomes, service_outcomes
from tidegauge.promise.drawn_conversations import Sources
from tidegauge.promise.scenarios import (
    BASELINES,
    CONVERSATION_TRAFFIC,
    MORE_ERRORS,
    NO_CHANGE,
    SERVICE_TRAFFIC,
    StreamChange,
)

HOUR, SIX_HOURS = BASELINES[:2]
PLAN = StreamPlan(number=0, days=0.1, window_ms=60_000)


def test_new_topics_are_noticed(sources: Sources) -> None:
    traffic = replace(CONVERSATION_TRAFFIC["conversations"], fewest=600)
    new = StreamChange("half on new topics", new_topics=0.5)
    (found,) = conversation_outcomes(traffic, SIX_HOURS, (new,), PLAN, sources)
    assert found.alarms
    assert not found.refused
    assert 0 < found.delays[found.alarms[0].monitor] < found.units


def test_a_baseline_that_is_too_small_is_refused(sources: Sources) -> None:
    traffic = replace(CONVERSATION_TRAFFIC["single questions"], fewest=20)
    (found,) = conversation_outcomes(traffic, HOUR, (NO_CHANGE,), PLAN, sources)
    assert "texts" in found.refused["drift.topics"]
    assert not found.allowed


@pytest.mark.parametrize(
    "name", ["conversations, day's cycle, template, short replies", "conversations on one topic"]
)
def test_traffic_without_a_change_is_quiet(sources: Sources, name: str) -> None:
    traffic = replace(CONVERSATION_TRAFFIC[name], fewest=400)
    (found,) = conversation_outcomes(traffic, SIX_HOURS, (NO_CHANGE,), PLAN, sources)
    assert not found.alarms
    assert 0 < sum(found.allowed.values()) < PLAN.days / 30


def test_more_errors_are_noticed_and_no_change_is_not(sources: Sources) -> None:
    traffic = replace(SERVICE_TRAFFIC["steady load"], baselines=(SIX_HOURS,), changed=SIX_HOURS)
    many = replace(MORE_ERRORS, errors=0.2)
    quiet, changed = service_outcomes(traffic, (NO_CHANGE, many), PLAN, sources.recorded)
    assert not quiet.alarms
    assert "errors.rate" in {one.monitor for one in changed.alarms}
    assert changed.delays["errors.rate"] < 400
