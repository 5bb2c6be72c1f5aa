"""The promise on waves and conversations, and the usual shortcut, which breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from tidegauge.promise.cells import (
    StreamOutcome,
    StreamPlan,
    conversation_outcomes,
    service_outcomes,
)
from tidegauge.promise.drawn_conversations import Sources
from tidegauge.promise.results import CELL_CHANCE, FalseAlarms, false_alarms
from tidegauge.promise.scenarios import (
    BASELINES,
    CONVERSATION_TRAFFIC,
    NO_CHANGE,
    SERVICE_TRAFFIC,
    SPEED_WAVES,
)

DAY = BASELINES[2]
STREAMS = 4
Draw: TypeAlias = Callable[[Sources, StreamPlan], list[StreamOutcome]]
PLAN = StreamPlan(number=0, days=1.5, window_ms=60_000)


def on_waves(sources: Sources, plan: StreamPlan) -> list[StreamOutcome]:
    traffic = replace(SERVICE_TRAFFIC[SPEED_WAVES], baselines=(DAY,))
    return service_outcomes(traffic, (NO_CHANGE,), plan, sources.recorded)


def on_conversations(sources: Sources, plan: StreamPlan) -> list[StreamOutcome]:
    traffic = CONVERSATION_TRAFFIC["conversations on one topic"]
    return conversation_outcomes(traffic, DAY, (NO_CHANGE,), plan, sources)


def drawn(draw: Draw, sources: Sources, *, plugged_in: bool) -> FalseAlarms:
    plans = [replace(PLAN, number=n, plugged_in=plugged_in) for n in range(STREAMS)]
    return false_alarms(one for plan in plans for one in draw(sources, plan))


@pytest.mark.stats
@pytest.mark.timeout(900)
@pytest.mark.parametrize("draw", [on_waves, on_conversations])
def test_dependent_traffic_keeps_the_promise(draw: Draw, sources: Sources) -> None:
    found = drawn(draw, sources, plugged_in=False)
    assert found.allowed > 0
    assert found.found <= found.most(CELL_CHANCE)


@pytest.mark.stats
@pytest.mark.timeout(900)
@pytest.mark.parametrize("draw", [on_waves, on_conversations])
def test_requests_as_units_and_estimates_as_the_truth_break_it(
    draw: Draw, sources: Sources
) -> None:
    found = drawn(draw, sources, plugged_in=True)
    assert found.found > found.most(CELL_CHANCE)
