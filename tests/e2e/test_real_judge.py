"""The rubric of groundedness with a judge at hand: its alarm rings after the answers invent.

``TIDEGAUGE_TEST_JUDGE_URL`` and ``TIDEGAUGE_TEST_JUDGE_MODEL`` name a server with a model that is
able to grade; without them the test is skipped. The small model of the other tests is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import pytest
from tests.monitoring.conftest import Harness, Traffic

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.quality import golden_set
from tidegauge.quality.hallucination import KINDS, hits_of, is_unsupported
from tidegauge.quality.judged_exchange import Score
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch
from tidegauge.workers.judge.judge_pool import JudgePool, Question
from tidegauge.workers.judge.main import make_judge_pool
from tidegauge.workers.judge.settings import JudgeSettings

RUBRIC = "groundedness"
MONITOR = f"quality.hallucination.{RUBRIC}"
QUESTIONS = 24
WINDOWS, ANSWERS = 300, 6
INVENTS_BEFORE, INVENTS_AFTER = 0.05, 0.5

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def pool() -> Iterator[JudgePool]:
    url = os.environ.get("TIDEGAUGE_TEST_JUDGE_URL")
    if not url:
        pytest.skip("no judge is at hand: set TIDEGAUGE_TEST_JUDGE_URL and ..._MODEL")
    model = os.environ["TIDEGAUGE_TEST_JUDGE_MODEL"]
    made = make_judge_pool(
        JudgeSettings(url=url, model=model, judges=RUBRIC, golden_set_questions=QUESTIONS)
    )
    made.start()
    assert made.wait_for_qualification(1200)
    yield made
    made.close()


def verdicts(pool: JudgePool) -> Mapping[bool, Sequence[bool]]:
    """Return whether an answer invents -> what the judge says of such answers: unsupported?"""
    asked = golden_set.built_in(KINDS, questions=QUESTIONS)
    results = pool.ask([Question(RUBRIC, each.exchange) for each in asked], deadline_seconds=900)
    found: dict[bool, list[bool]] = {False: [], True: []}
    for each, result in zip(asked, results, strict=True):
        if isinstance(result, Score) and result.values:
            found[each.kind != golden_set.GOOD].append(is_unsupported(result.values.values()))
    assert min(map(len, found.values())) >= 0.8 * QUESTIONS
    return found


def test_the_alarm_of_a_real_judge_rings_after_the_answers_invent_and_not_before(
    pool: JudgePool,
) -> None:
    assert pool.qualified(RUBRIC), pool.conditions()
    said, traffic = verdicts(pool), Traffic()
    label = measures.judge_label(RUBRIC, pool.judges[RUBRIC].specification.specification_hash)

    def window(number: int, invents: float) -> Sketch:
        hits: dict[str, int] = {}
        for _ in range(ANSWERS):
            of_kind = said[bool(traffic.rng.random() < invents)]
            unsupported = of_kind[int(traffic.rng.integers(len(of_kind)))]
            for name in hits_of(label, unsupported=unsupported):
                hits[name] = hits.get(name, 0) + 1
        return traffic.writers["quality"].sketch(number, values={}, hits=hits, events=ANSWERS)

    past = [traffic.vitals(number, 20) for number in range(-WINDOWS, 0)]
    past += [window(number, INVENTS_BEFORE) for number in range(-WINDOWS, 0)]
    built = RatesBaseline.from_bytes(build_rates_baseline(past).to_bytes(), "rates-1")
    harness: Harness = traffic.harness()
    harness.monitor.use("rates", "rates-1", built.references, harness.now_ms)
    swap = 60
    for number in range(2 * swap):
        sketch = window(number, INVENTS_BEFORE if number < swap else INVENTS_AFTER)
        harness.give(sketch, traffic.writers["quality"].progress(number + 1))
    alerts = harness.alerts(MONITOR)
    assert alerts, "it did not ring after the answers invented"
    assert alerts[0].time_ms > traffic.start_of(swap), "it rang before"
