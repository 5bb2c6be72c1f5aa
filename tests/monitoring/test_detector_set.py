from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.findings import State

if TYPE_CHECKING:
    from tests.monitoring.conftest import Desk, Kit


def with_baseline(desk: Desk, kit: Kit, windows: int) -> Desk:
    document = build_rates_baseline(kit.baseline_windows(windows, 20)).to_bytes()
    baseline = RatesBaseline.from_bytes(document, "rates-1")
    desk.monitor.use("rates", "rates-1", baseline.references, desk.now_ms)
    return desk


def states(desk: Desk, kit: Kit, *, shift: float) -> list[State]:
    for window in range(60):
        desk.give(
            kit.quality(window, 200, shift=shift), kit.writers["quality"].progress(window + 1)
        )
    return [verdict.state for verdict in desk.verdicts("quality.likelihood")]


def test_a_small_change_is_information_and_no_alarm(kit: Kit) -> None:
    """With thousands of answers even a small change is significant."""
    desk = with_baseline(kit.desk(), kit, 300)
    found = states(desk, kit, shift=0.06)
    assert State.INFO in found
    assert State.WARN not in found
    assert desk.alerts() == []
    strict = kit.desk()
    strict.plan = replace(strict.plan, minimum_effect={"quality": 1.0})
    strict.monitor = type(strict.monitor)(strict.plan)
    assert State.WARN in states(with_baseline(strict, kit, 300), kit, shift=0.06)


def test_an_alarm_outlives_a_window_that_cannot_be_tested(kit: Kit) -> None:
    desk = with_baseline(kit.desk(), kit, 30)
    assert states(desk, kit, shift=0.8)[-1] == State.WARN
    writer = kit.writers["quality"]
    value = measures.score(kit.judge, "fluency")
    unqualified = measures.unqualified(kit.judge)
    desk.give(
        writer.sketch(200, values={value: [-1.0] * 5}, hits={unqualified: 5}), writer.progress(201)
    )
    verdict = desk.monitor.view().verdict("quality.likelihood", kit.version(1))
    assert verdict is not None
    assert verdict.state == State.WARN
    assert [alert.status for alert in desk.alerts("quality.likelihood")] == ["firing"]


def test_segments_share_their_monitors_budget_in_order_of_appearance(kit: Kit) -> None:
    desk = with_baseline(kit.desk(), kit, 30)
    for number in (1, 2, 3):
        desk.give(
            kit.vitals(number, 20, version=number), kit.writers["vitals"].progress(number + 1)
        )
    owed = [v.mean_seconds_to_false_alarm for v in desk.verdicts("errors.rate")]
    first = owed[0]
    assert first is not None
    assert [round(seconds / first, 6) for seconds in owed if seconds] == [1, 3, 6]
