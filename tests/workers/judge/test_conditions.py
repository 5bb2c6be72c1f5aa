"""A judge that stops is told from one answer that cannot be judged, in its server's own words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from aiohttp import web
from tests.quality.rubrics import helpfulness
from tests.workers.judge.conftest import ScriptedServer, origin, response
from tests.workers.judge.test_extractor import Bench
from tests.workers.judge.test_judge_pool import eventually

from tidegauge.adapters.vllm import VllmClient
from tidegauge.quality.golden_set import built_in
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.schemas.exchange import Message
from tidegauge.schemas.sketches import JudgeCondition, JudgeState
from tidegauge.workers.judge.judge_pool import Earlier, JudgePool, Question
from tidegauge.workers.judge.judges import Judge, RubricJudge
from tidegauge.workers.judge.qualification_run import QualificationRun, StoredRun

Start = Callable[..., JudgePool]
GOLDEN = built_in(helpfulness().qualified_on, questions=4)


class Store:
    """Qualification runs in memory."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str, str], StoredRun] = {}

    def recall(self) -> Earlier:
        return dict(self.runs)

    def remember(self, judge: str, server: str, found: QualificationRun) -> None:
        self.runs[judge, found.specification_hash, server] = StoredRun(1_000, found.scores)


@pytest.fixture
def start(server: ScriptedServer) -> Iterator[Start]:
    started: list[JudgePool] = []

    def begin(**changes: Any) -> JudgePool:  # noqa: ANN401 - any of the pool's settings
        def judges(client: VllmClient) -> Mapping[str, Judge]:
            return {"helpfulness": RubricJudge(client, helpfulness(**rubric))}

        rubric = changes.pop("rubric", {"retries": False})
        client = VllmClient(changes.pop("url", server.url), attempts=2, timeout_seconds=5)
        settings = {"stages": [()], "patience_seconds": 0.0, **changes}
        pool = JudgePool(judges, client, **settings)
        pool.start()
        started.append(pool)
        return pool

    yield begin
    for pool in started:
        pool.close()


def question(text: str = "Grass is green.", words: str = "And grass?") -> Question:
    return Question("helpfulness", JudgedExchange((Message(role="user", content=words),), text))


def stopped(pool: JudgePool) -> tuple[JudgeState, str] | None:
    """Return why the judge does not work, apart from what its golden answers say."""
    found = [
        (each.state, each.detail)
        for each in pool.conditions()
        if each.state not in {JudgeState.UNQUALIFIED, JudgeState.PENDING}
    ]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("status", "said", "state"),
    [
        (404, "The model `m` does not exist.", JudgeState.CANNOT_BE_ASKED),
        (401, "wrong key", JudgeState.CANNOT_BE_ASKED),
        (400, "top_logprobs must be at most 5", JudgeState.CANNOT_BE_ASKED),
        (400, "System role not supported", JudgeState.CANNOT_BE_ASKED),
        (500, "engine is dead", JudgeState.FAILING),
        (503, "loading", JudgeState.UNREACHABLE),
    ],
)
def test_a_judge_that_cannot_be_qualified_says_why(
    start: Start, server: ScriptedServer, status: int, said: str, state: JudgeState
) -> None:
    server.broken = lambda _: web.json_response({"message": said}, status=status)
    pool = start(stages=[GOLDEN])
    eventually(lambda: stopped(pool) is not None)
    found = stopped(pool)
    assert found is not None
    assert found[0] is state
    assert said in found[1]
    assert f"{status}" in found[1]
    server.broken = lambda _: None
    eventually(lambda: stopped(pool) is None)
    assert [condition.state for condition in pool.conditions()] == [JudgeState.UNQUALIFIED]


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        (404, SkipReason.CANNOT_BE_ASKED, JudgeState.CANNOT_BE_ASKED),
        (400, SkipReason.REFUSED, JudgeState.REFUSED),
        (500, SkipReason.FAILED_ON, JudgeState.FAILING),
        (503, SkipReason.UNREACHABLE, JudgeState.UNREACHABLE),
    ],
)
def test_a_judge_that_stops_says_why(
    start: Start, server: ScriptedServer, status: int, reason: SkipReason, state: JudgeState
) -> None:
    pool = start()
    assert isinstance(pool.ask([question()], deadline_seconds=5)[0], Score)
    assert stopped(pool) is None
    server.broken = lambda _: web.json_response({"message": "it is so"}, status=status)
    found_reasons = pool.ask([question()] * 3, deadline_seconds=3)
    assert reason in found_reasons
    assert set(found_reasons) <= {reason, SkipReason.LATE}
    found = stopped(pool)
    assert found is not None
    assert found[0] is state
    assert "it is so" in found[1]
    server.broken = lambda _: None
    assert isinstance(pool.ask([question()], deadline_seconds=5)[0], Score)
    assert stopped(pool) is None


@pytest.mark.parametrize("status", [400, 500])
def test_one_answer_that_fails_each_time_costs_itself(
    start: Start, server: ScriptedServer, status: int
) -> None:
    def fails_on_one(body: dict[str, Any]) -> web.Response | None:
        bad = any("poison" in message["content"] for message in body["messages"])
        return web.json_response({"message": "no"}, status=status) if bad else None

    server.broken = fails_on_one
    pool = start()
    asked = [question("poison" if number == 17 else f"Green {number}.") for number in range(50)]
    began = time.monotonic()
    found = pool.ask(asked, deadline_seconds=60)
    assert time.monotonic() - began < 10, "the batch does not wait until its time limit"
    assert sum(isinstance(each, Score) for each in found) == 49
    assert found[17] is (SkipReason.REFUSED if status == 400 else SkipReason.FAILED_ON)
    assert stopped(pool) is None


def test_one_golden_answer_that_fails_each_time_costs_itself(
    start: Start, server: ScriptedServer
) -> None:
    poison = GOLDEN[9].exchange.answer

    def fails_on_one(body: dict[str, Any]) -> web.Response | None:
        bad = any(poison[:30] in message["content"] for message in body["messages"])
        return web.json_response({"message": "no"}, status=500) if bad else None

    server.broken = fails_on_one
    pool = start(stages=[GOLDEN])
    assert pool.wait_for_qualification(20)
    assert stopped(pool) is None


def test_replies_without_a_grade_are_a_state_with_a_reason(
    start: Start, server: ScriptedServer
) -> None:
    server.grade = {"Well": -0.1}
    pool = start()
    pool.ask([question()] * 6, deadline_seconds=10)
    reason = "no grade is among the likeliest next tokens"
    assert stopped(pool) == (JudgeState.INVALID, reason)


def test_replies_that_are_cut_off_are_a_state(start: Start, server: ScriptedServer) -> None:
    server.grade, server.reply = {"<think>": -0.1}, "<think>It is thin. Grade: 2 would be"
    pool = start(rubric={"retries": True})
    (first, *_) = pool.ask([question()] * 6, deadline_seconds=10)
    assert isinstance(first, Score)
    assert first.invalid == "reply_cut_off"
    found = stopped(pool)
    assert found is not None
    assert found[0] is JudgeState.CUT_OFF
    assert "reasoning_tokens" in found[1]


def test_another_models_answer_is_no_score(start: Start, server: ScriptedServer) -> None:
    server.model = "somebody-else"
    pool = start()
    assert pool.ask([question()], deadline_seconds=5) == [SkipReason.CANNOT_BE_ASKED]
    found = stopped(pool)
    assert found is not None
    assert "asked for the model 'm', and 'somebody-else' answered" in found[1]


def test_a_question_that_is_too_long_costs_itself(start: Start) -> None:
    pool = start()
    long = question(words="why " * 50_000)
    found = pool.ask([long] * 8 + [question()], deadline_seconds=10)
    assert found[:8] == [SkipReason.TOO_LONG] * 8
    assert isinstance(found[8], Score)
    assert stopped(pool) is None


def test_a_judge_that_reads_none_of_the_exchanges_is_a_state(start: Start) -> None:
    pool = start()
    pool.ask([question(words="why " * 50_000)] * 50, deadline_seconds=20)
    found = stopped(pool)
    assert found is not None
    assert found[0] is JudgeState.TOO_LONG
    assert "budget_tokens" in found[1]
    pool.ask([question()], deadline_seconds=10)
    assert stopped(pool) is None


def test_a_judge_shows_less_of_an_exchange_that_its_server_cannot_take(
    start: Start, server: ScriptedServer
) -> None:
    def short(body: dict[str, Any]) -> web.Response | None:
        if sum(len(message["content"]) for message in body["messages"]) < 9_000:
            return None
        said = "This model's maximum context length is 2048 tokens."
        return web.json_response({"message": said}, status=400)

    server.broken = short
    pool = start()
    (found,) = pool.ask([question("green " * 4_000)], deadline_seconds=10)
    assert isinstance(found, Score)
    tried = len(server.asked)
    pool.ask([question("green " * 4_000)], deadline_seconds=10)
    assert len(server.asked) == tried + 1, "it has learnt how much the server takes"


def test_a_judge_may_be_away_for_a_moment(start: Start, server: ScriptedServer) -> None:
    server.broken = lambda _: web.Response(status=503)
    pool = start(patience_seconds=3600.0)
    assert pool.ask([question()], deadline_seconds=2) == [SkipReason.UNREACHABLE]
    assert stopped(pool) is None


def test_a_recent_qualification_is_not_asked_for_again(
    start: Start, server: ScriptedServer
) -> None:
    store = Store()
    kept: dict[str, Any] = {
        "stages": [GOLDEN],
        "earlier": store.recall,
        "remember": store.remember,
        "now_ms": lambda: 1_500,
    }
    pool = start(**kept)
    assert pool.wait_for_qualification(20)
    eventually(lambda: bool(store.runs))
    pool.close()
    asked = len(server.asked)
    assert asked == len(GOLDEN)
    again = start(**kept)
    assert again.wait_for_qualification(20)
    assert len(server.asked) == asked
    assert again.conditions() == pool.conditions()
    more = built_in(helpfulness().qualified_on, questions=5)
    third = start(**{**kept, "stages": [more]})
    assert third.wait_for_qualification(20)
    assert len(server.asked) == asked + len(more) - len(GOLDEN), "only what is new"
    another = start(**kept, rubric={"retries": False, "minimum_mass": 0.8})
    assert another.wait_for_qualification(20)
    assert len(server.asked) == asked + len(more), "another specification starts anew"


def test_an_old_qualification_is_asked_for_again(start: Start, server: ScriptedServer) -> None:
    store = Store()
    kept: dict[str, Any] = {"stages": [GOLDEN], "earlier": store.recall, "remember": store.remember}
    assert start(**kept, now_ms=lambda: 1_000).wait_for_qualification(20)
    eventually(lambda: bool(store.runs))
    asked = len(server.asked)
    later = start(**kept, now_ms=lambda: 1_000 + 86_400_000)
    assert later.wait_for_qualification(20)
    assert len(server.asked) == 2 * asked


def test_answers_that_arrive_too_old_are_a_state() -> None:
    bench = Bench(max_age_seconds=5.0)
    events = [response(number) for number in range(1, 7)]
    bench.extractor.measure([(origin(n), event) for n, event in enumerate(events)])
    (found, _) = bench.extractor.conditions()
    assert found == JudgeCondition(
        judge="likelihood", state=JudgeState.TOO_OLD, detail=found.detail
    )
    assert "set the clock of gateway-1 right" in found.detail
    fresh = response(9, time_ms=1_009_000)
    bench.extractor.measure([(origin(9), fresh)])
    assert bench.extractor.conditions() == ()


def test_an_answer_counts_for_the_judges_that_are_asked_about_it() -> None:
    bench = Bench()
    bench.pool.asked_about = {"rubric"}
    (found,) = bench.measure(response(1))
    assert {each.judge for each in bench.pool.asked} == {"rubric"}
    assert found.progress == {"sampled": 1, "judged": 1}
    bench.pool.asked_about = set()
    (none,) = bench.measure(response(2))
    assert none.progress == {}
