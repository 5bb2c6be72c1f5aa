"""The judge pool: asks judges from an event loop in a thread, with deadlines and qualification."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from tidegauge.adapters.vllm import (
    JudgeRefusedError,
    JudgeReplyError,
    JudgeServerError,
    JudgeUnreachableError,
    VllmClient,
)
from tidegauge.quality.golden_set import GoldenAnswer
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.workers.judge.judges import Judge
from tidegauge.workers.judge.pacing import RequestPacer
from tidegauge.workers.judge.qualification_run import QualificationRun, notices, run_qualification

__all__ = ["Earlier", "JudgePool", "Question"]

_log = structlog.stdlib.get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 5.0
_DAY_SECONDS: Final = 86_400.0
_CLOSE_SECONDS: Final = 5.0
_PATIENCE_IN_TROUBLE_SECONDS: Final = 2.0


Earlier: TypeAlias = Mapping[tuple[str, str], Mapping[str, Score]]

_TROUBLES: Final = (SkipReason.LATE, SkipReason.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Question:
    """One answer for one judge to score."""

    judge: str
    exchange: JudgedExchange


class JudgePool:
    """Asks judges in a thread of its own, so that the caller can stop waiting at a deadline.

    Args:
        make_judges: Builds the judges by name, with a client.
        client: Client of the judges' server.
        stages: The golden answers that judges are qualified on, a few first: a judge that
            these qualify, or show to be far from it, skips the rest. Each stage begins with
            the answers of the one before.
        limit: Most calls at a time.
        qualification_interval_seconds: Time between qualification runs.
        earlier: Returns the stored scores, judge and specification hash -> the golden answers'
            scores at its last qualification run, to detect whether it has changed since.
        remember: Stores the last qualification run of each judge.
        clock: Monotonic clock, seconds.
    """

    def __init__(  # noqa: PLR0913 - each has a default and a name of its own
        self,
        make_judges: Callable[[VllmClient], Mapping[str, Judge]],
        client: VllmClient,
        *,
        stages: Sequence[Sequence[GoldenAnswer]],
        limit: int = 4,
        qualification_interval_seconds: float = _DAY_SECONDS,
        earlier: Callable[[], Earlier] = dict,
        remember: Callable[[Mapping[str, QualificationRun]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.judges = make_judges(client)
        self._client = client
        self._limit = limit
        self._stages = stages
        self._qualification_interval_seconds = qualification_interval_seconds
        self._recall = earlier
        self._earlier: dict[tuple[str, str], Mapping[str, Score]] = {}
        self._remember = remember
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="judges", daemon=True)
        self._opened = threading.Event()
        self._settled = threading.Event()
        self._qualification_done = False
        self._qualification_runs: dict[str, QualificationRun] = {}
        self._changed: set[str] = set()
        self._trouble: SkipReason | None = None

    def start(self) -> None:
        """Start the thread, which begins the first qualification runs at once."""
        self._thread.start()
        self._opened.wait()

    def give_up(self) -> None:
        """Cancel the calls in progress and return at once; ``ask`` raises from now on."""
        self._settled.set()
        if self._loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop may close at this moment
                self._loop.call_soon_threadsafe(self._stop)

    def close(self) -> None:
        """Give up and wait until the thread has ended; do nothing if it has."""
        self.give_up()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    @property
    def qualification_done(self) -> bool:
        """Whether every judge has had its first qualification run."""
        return self._qualification_done

    def wait_for_qualification(self, timeout_seconds: float) -> bool:
        """Wait for every judge's first qualification run, or until the pool gives up."""
        self._settled.wait(timeout_seconds)
        return self._qualification_done

    def qualified(self, judge: str) -> bool:
        """Whether a judge may raise alarms."""
        found = self._qualification_runs.get(judge)
        return found is not None and found.qualification.qualified

    def notices(self) -> tuple[str, ...]:
        """Return the judges' states as short codes."""
        states = [
            state
            for name in self.judges
            for state in notices(
                name, self._qualification_runs.get(name), changed=name in self._changed
            )
        ]
        return (*states, self._trouble.value) if self._trouble else tuple(states)

    def ask(
        self, questions: Sequence[Question], *, deadline_seconds: float
    ) -> list[Score | SkipReason]:
        """Return a score for each question, or the reason for none, by the deadline.

        If the server answered nothing the last time, the deadline is shorter until it does, so
        that a server that is down delays the stream once, not for each batch.

        Raises:
            JudgeUnreachableError: The pool was not started, or has been told to give up.
        """
        if self._loop is None or self._loop.is_closed():
            raise JudgeUnreachableError("the judges are not at work: nothing was judged")
        patience = deadline_seconds
        if self._trouble is not None:
            patience = min(patience, _PATIENCE_IN_TROUBLE_SECONDS)
        asked: Future[list[Score | SkipReason]] = asyncio.run_coroutine_threadsafe(
            self._ask_all(questions, patience), self._loop
        )
        try:
            return asked.result()
        except CancelledError as error:
            raise JudgeUnreachableError(
                "the judges were told to give up: the same answers can be judged again"
            ) from error

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pace = RequestPacer(self._client.waiting, self._limit)
        self._stopping = asyncio.Event()
        async with self._client:
            self._opened.set()
            qualifying = asyncio.create_task(self._keep_qualifying())
            await self._stopping.wait()
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(qualifying, *rest, return_exceptions=True)

    def _stop(self) -> None:
        self._stopping.set()

    async def _ask_all(
        self, questions: Sequence[Question], patience: float
    ) -> list[Score | SkipReason]:
        if not questions:
            return []
        deadline = self._clock() + patience
        tasks = [asyncio.create_task(self._ask_one(each, deadline)) for each in questions]
        _, late = await asyncio.wait(tasks, timeout=max(0.0, deadline - self._clock()))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        found: list[Score | SkipReason] = [
            SkipReason.LATE if task.cancelled() else task.result() for task in tasks
        ]
        self._note_trouble(found)
        return found

    def _note_trouble(self, found: Sequence[Score | SkipReason]) -> None:
        """Record whether no question was answered, and why."""
        troubles = [each for each in found if each in _TROUBLES]
        trouble = None
        if len(troubles) == len(found):
            away = SkipReason.UNREACHABLE in troubles
            trouble = SkipReason.UNREACHABLE if away else SkipReason.LATE
        if trouble is not self._trouble:
            _log.warning("judge_trouble", reason=trouble or "over", judge=self._client.address)
        self._trouble = trouble

    async def _ask_one(self, question: Question, deadline: float) -> Score | SkipReason:
        judge = self.judges[question.judge]
        wait = _RETRY_SECONDS
        while True:
            try:
                async with self._pace.turn():
                    return await judge.score(question.exchange)
            except JudgeRefusedError as error:
                _log.info("judge_refused", judge=question.judge, detail=str(error))
                return SkipReason.REFUSED
            except JudgeReplyError as error:
                _log.warning("judge_reply", judge=question.judge, detail=str(error))
                return Score(invalid="malformed_reply")
            except JudgeUnreachableError:
                if self._clock() + wait >= deadline:
                    return SkipReason.UNREACHABLE
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_RETRY_SECONDS)

    async def _keep_qualifying(self) -> None:
        self._earlier = dict(await asyncio.to_thread(self._recall))
        while True:
            undecided: dict[str, Mapping[str, Score]] = {name: {} for name in self.judges}
            for stage in self._stages:
                for name, known in list(undecided.items()):
                    found = await self._qualify(name, stage, known)
                    undecided[name] = found.scores
                    if found.qualification.qualified or not found.qualification.promising:
                        del undecided[name]
                self._qualification_done = True
                self._settled.set()
            await asyncio.to_thread(self._remember, self._qualification_runs)
            await asyncio.sleep(self._qualification_interval_seconds)

    async def _qualify(
        self, name: str, golden_answers: Sequence[GoldenAnswer], known: Mapping[str, Score]
    ) -> QualificationRun:
        wait, began = _RETRY_SECONDS, self._clock()
        while True:
            try:
                found = await run_qualification(
                    self.judges[name], self._ask_golden, golden_answers, known
                )
            except* JudgeServerError as errors:
                say = _log.warning if wait == _RETRY_SECONDS else _log.debug
                say("judge_qualification_waits", judge=name, detail=str(errors.exceptions[0]))
            else:
                break
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RETRY_SECONDS)
        if found.differs(self._earlier.get((name, found.specification_hash), {})):
            self._changed.add(name)
        self._earlier[name, found.specification_hash] = found.scores
        self._qualification_runs[name] = found
        _log.info(
            "judge_qualification_finished",
            **_facts(name, found),
            seconds=round(self._clock() - began, 1),
        )
        return found

    async def _ask_golden(self, judge: Judge, golden_answer: GoldenAnswer) -> Score:
        async with self._pace.turn():
            return await judge.score(golden_answer.exchange)


def _facts(name: str, found: QualificationRun) -> dict[str, object]:
    return {
        "judge": name,
        "specification_hash": found.specification_hash[:8],
        "qualified": found.qualification.qualified,
        "scored": found.qualification.scored,
        "asked": found.qualification.asked,
        "areas": {
            f"{each.kind}/{each.score}": [round(each.area, 3), round(each.low, 3)]
            for each in found.qualification.separations
        },
    }
