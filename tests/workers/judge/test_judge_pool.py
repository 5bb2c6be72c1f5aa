from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from threading import Timer
from typing import Any

import pytest
from aiohttp import web
from tests.quality.rubrics import helpfulness
from tests.workers.judge.conftest import ScriptedServer, nan, not_json

from tidegauge.adapters.vllm import JudgeUnreachableError, VllmClient
from tidegauge.quality.golden_set import GoldenAnswer, built_in
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.quality.specifications import LikelihoodSpec
from tidegauge.schemas.exchange import Message
from tidegauge.workers.judge.judge_pool import JudgePool, Question
from tidegauge.workers.judge.judges import Judge, LikelihoodJudge, RubricJudge
from tidegauge.workers.judge.qualification_run import QualificationRun, StoredRun

StartPool = Callable[..., JudgePool]
EXCHANGE = JudgedExchange(
    (Message(role="user", content="What colour is grass?"),), "Grass is green."
)
LIKELIHOOD = Question("likelihood", EXCHANGE)


def judges(client: VllmClient) -> Mapping[str, Judge]:
    return {
        "likelihood": LikelihoodJudge(client, LikelihoodSpec(model="m")),
        "rubric": RubricJudge(client, helpfulness(retries=False)),
    }


@pytest.fixture
def start(server: ScriptedServer) -> Iterator[StartPool]:
    started: list[JudgePool] = []

    def begin(
        *,
        golden_answers: tuple[GoldenAnswer, ...] | None = None,
        stages: list[tuple[GoldenAnswer, ...]] | None = None,
        url: str = "",
        qualification_interval_seconds: float = 9e9,
        **others: Any,  # noqa: ANN401 - the pool's own
    ) -> JudgePool:
        client = VllmClient(url or server.url, attempts=1, timeout_seconds=5)
        stages = stages or [built_in(questions=24) if golden_answers is None else golden_answers]
        pool = JudgePool(
            judges,
            client,
            stages=stages,
            limit=4,
            qualification_interval_seconds=qualification_interval_seconds,
            **others,
        )
        pool.start()
        started.append(pool)
        return pool

    yield begin
    for pool in started:
        pool.close()


def eventually(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def test_judges_are_qualified_at_the_start(start: StartPool) -> None:
    pool = start()
    assert pool.wait_for_qualification(20)
    assert pool.qualified("likelihood")
    assert not pool.qualified("rubric")  # it gives every golden answer the same grade
    assert "unqualified:rubric" in pool.notices()
    assert "qualified:likelihood:hot_sampler" in pool.notices()
    assert "unqualified:likelihood" not in pool.notices()


def test_more_golden_answers_are_asked_only_where_they_can_decide(
    start: StartPool, server: ScriptedServer
) -> None:
    kinds = helpfulness().qualified_on
    few, more = built_in(kinds, questions=6), built_in(kinds, questions=24)
    pool = start(stages=[few, more])
    assert pool.wait_for_qualification(20)
    eventually(lambda: pool.qualified("likelihood"))
    graded = [body for body in server.asked if body.get("logprobs")]
    assert len(graded) == len(few), "a judge that gives everybody one grade is far from it"


def test_answers_are_scored_in_order(start: StartPool) -> None:
    pool = start(golden_answers=())
    questions = [LIKELIHOOD, Question("rubric", EXCHANGE), LIKELIHOOD]
    found = pool.ask(questions, deadline_seconds=10)
    assert [list(each.values) for each in found if isinstance(each, Score)] == [
        ["fluency", "relevance"],
        ["score"],
        ["fluency", "relevance"],
    ]
    assert pool.ask([], deadline_seconds=1) == []


def test_no_more_than_the_limit_are_asked_at_a_time(
    start: StartPool, server: ScriptedServer
) -> None:
    pool = start(golden_answers=())
    pool.ask([LIKELIHOOD] * 40, deadline_seconds=10)
    assert 1 < server.busiest <= 4


def test_a_judge_that_is_away_holds_up_one_batch_only(
    start: StartPool, unused_tcp_port: int
) -> None:
    pool = start(golden_answers=(), url=f"http://127.0.0.1:{unused_tcp_port}")
    began = time.monotonic()
    assert pool.ask([LIKELIHOOD], deadline_seconds=4) == [SkipReason.UNREACHABLE]
    assert time.monotonic() - began < 6
    assert "judge_unreachable" in pool.notices()
    began = time.monotonic()
    assert pool.ask([LIKELIHOOD] * 3, deadline_seconds=60) == [SkipReason.UNREACHABLE] * 3
    assert time.monotonic() - began < 4


def test_a_judge_that_comes_back_is_asked_again(start: StartPool, server: ScriptedServer) -> None:
    pool = start(golden_answers=())
    server.broken = lambda _: web.Response(status=503)
    assert pool.ask([LIKELIHOOD], deadline_seconds=1) == [SkipReason.UNREACHABLE]
    server.broken = lambda _: None
    assert isinstance(pool.ask([LIKELIHOOD], deadline_seconds=10)[0], Score)
    assert "judge_unreachable" not in pool.notices()


def test_a_deadline_ends_the_wait(start: StartPool, server: ScriptedServer) -> None:
    pool = start(golden_answers=())
    server.hold.clear()
    began = time.monotonic()
    assert pool.ask([LIKELIHOOD] * 8, deadline_seconds=0.5) == [SkipReason.LATE] * 8
    assert time.monotonic() - began < 5
    assert "judge_late" in pool.notices()


def test_one_answer_that_is_refused_does_not_spoil_the_others(
    start: StartPool, server: ScriptedServer
) -> None:
    pool = start(golden_answers=())
    long = Question("likelihood", JudgedExchange(EXCHANGE.messages, "endless"))
    server.broken = lambda body: (
        web.Response(status=400) if body["messages"][-1]["content"] == "endless" else None
    )
    found = pool.ask([LIKELIHOOD, long], deadline_seconds=10)
    assert isinstance(found[0], Score)
    assert found[1] is SkipReason.REFUSED


@pytest.mark.parametrize(
    ("broken", "invalid"), [(nan, "no_answer_tokens"), (not_json, "malformed_reply")]
)
def test_a_broken_reply_is_invalid_and_no_score(
    start: StartPool,
    server: ScriptedServer,
    broken: Callable[[dict[str, object]], web.Response],
    invalid: str,
) -> None:
    pool = start(golden_answers=())
    server.broken = broken
    (found,) = pool.ask([LIKELIHOOD], deadline_seconds=10)
    assert isinstance(found, Score)
    assert (found.invalid, dict(found.values)) == (invalid, {})


def test_a_judge_that_changes_is_told_from_changed_answers(
    start: StartPool, server: ScriptedServer
) -> None:
    pool = start(golden_answers=built_in(questions=2), qualification_interval_seconds=0.05)
    assert pool.wait_for_qualification(10)
    assert "judge_changed:rubric" not in pool.notices()
    server.grade = {"1": -0.01}
    eventually(lambda: "judge_changed:rubric" in pool.notices())
    assert "judge_changed:likelihood" not in pool.notices()


def test_a_server_that_was_started_anew_is_qualified_anew(
    start: StartPool, server: ScriptedServer
) -> None:
    pool = start(golden_answers=built_in(questions=2), look_seconds=0.05)
    assert pool.wait_for_qualification(10)
    server.grade, server.started = {"1": -0.01}, server.started + 60
    eventually(lambda: "judge_changed:rubric" in pool.notices())
    asked = len(server.asked)
    assert pool.ask([LIKELIHOOD], deadline_seconds=10)
    assert len(server.asked) <= asked + 3, "it is not asked again as long as it runs"


def test_a_stored_run_from_before_the_servers_start_is_out_of_date(
    start: StartPool, server: ScriptedServer
) -> None:
    golden = built_in(questions=2)
    runs: dict[tuple[str, str, str], StoredRun] = {}

    def remember(judge: str, url: str, run: QualificationRun) -> None:
        runs[judge, run.specification_hash, url] = StoredRun(1_500_000, run.scores)

    assert start(golden_answers=golden, remember=remember).wait_for_qualification(10)
    eventually(lambda: len(runs) == 2)
    asked = len(server.asked)
    again = start(golden_answers=golden, earlier=lambda: runs, now_ms=lambda: 1_600_000)
    assert again.wait_for_qualification(10)
    assert len(server.asked) == asked
    server.started = 1_550.0
    anew = start(golden_answers=golden, earlier=lambda: runs, now_ms=lambda: 1_600_000)
    assert anew.wait_for_qualification(10)
    assert len(server.asked) > asked


def test_a_qualification_run_waits_until_the_judge_is_there(
    start: StartPool, server: ScriptedServer
) -> None:
    server.broken = lambda _: web.Response(status=503)
    pool = start(golden_answers=built_in(questions=1))
    eventually(lambda: bool(server.asked))
    assert not pool.qualification_done
    assert "qualification_pending:rubric" in pool.notices()
    server.broken = lambda _: None
    assert pool.wait_for_qualification(20)


def test_closing_gives_up_what_is_under_way(start: StartPool, server: ScriptedServer) -> None:
    server.hold.clear()
    pool = start()
    eventually(lambda: bool(server.asked))
    began = time.monotonic()
    Timer(0.2, pool.give_up).start()
    assert not pool.wait_for_qualification(60)
    pool.close()
    assert time.monotonic() - began < 3


def test_a_batch_that_is_broken_off_can_be_judged_again(
    start: StartPool, server: ScriptedServer
) -> None:
    pool = start(golden_answers=())
    server.hold.clear()
    Timer(0.2, pool.give_up).start()
    with pytest.raises(JudgeUnreachableError, match="judged again"):
        pool.ask([LIKELIHOOD], deadline_seconds=60)
    pool.close()
    with pytest.raises(JudgeUnreachableError, match="not at work"):
        pool.ask([LIKELIHOOD], deadline_seconds=60)
