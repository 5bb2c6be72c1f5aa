"""The judge pool: asks judges from an event loop in a thread, with deadlines and qualification."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

import structlog

from tidegauge.adapters.gateway_latency import GatewayLatency
from tidegauge.adapters.vllm import (
    JudgeFailedError,
    JudgeRefusedError,
    JudgeReplyError,
    JudgeServerError,
    JudgeUnreachableError,
    JudgeUnusableError,
    VllmClient,
)
from tidegauge.quality.errors import ExchangeTooLongError
from tidegauge.quality.golden_set import GoldenAnswer
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.runtime.clock import now_ms as wall_clock_ms
from tidegauge.schemas.sketches import JudgeCondition, JudgeState
from tidegauge.workers.judge.judge_standing import JudgeStanding, state_of
from tidegauge.workers.judge.judges import Judge
from tidegauge.workers.judge.pacing import Crowding, RequestPacer
from tidegauge.workers.judge.qualification_run import (
    QualificationRun,
    StoredRun,
    explain,
    notices,
    run_qualification,
)

__all__ = ["Earlier", "JudgePool", "Question"]

_log = structlog.stdlib.get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 5.0
_UNUSABLE_RETRY_SECONDS: Final = 60.0
_DAY_SECONDS: Final = 86_400.0
_CLOSE_SECONDS: Final = 5.0
_PATIENCE_IN_TROUBLE_SECONDS: Final = 2.0
_TRANSIENT: Final = frozenset({JudgeState.UNREACHABLE, JudgeState.LATE})


Earlier: TypeAlias = Mapping[tuple[str, str, str], StoredRun]
"""Judge, specification hash and server -> the judge's last qualification run."""

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
        limit: Most calls of a server at a time.
        others: Judge -> client of its server, for judges with a server of their own.
        gateway: Latency of the gateway, if judging gives way to its clients.
        first_token_limit_seconds: Longest mean time to their first token.
        patience_seconds: How long a judge may be away or late before that is a condition of it:
            a server that is started again is no reason for an alarm.
        qualification_interval_seconds: Time between qualification runs.
        earlier: Returns the stored qualification runs. A recent one is taken as it is; an older
            one shows whether the judge has changed since.
        remember: Stores a qualification run of a judge on a server.
        look_seconds: Time between looks at whether the server was started anew.
        clock: Monotonic clock, seconds.
        now_ms: Wall clock, Unix milliseconds.
    """

    def __init__(  # noqa: PLR0913 - each has a default and a name of its own
        self,
        make_judges: Callable[[VllmClient], Mapping[str, Judge]],
        client: VllmClient,
        *,
        stages: Sequence[Sequence[GoldenAnswer]],
        limit: int = 4,
        others: Mapping[str, VllmClient] = MappingProxyType({}),
        gateway: GatewayLatency | None = None,
        first_token_limit_seconds: float = 0.0,
        patience_seconds: float = 20.0,
        qualification_interval_seconds: float = _DAY_SECONDS,
        earlier: Callable[[], Earlier] = dict,
        remember: Callable[[str, str, QualificationRun], None] = lambda *_: None,
        look_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.judges = make_judges(client)
        self._client = client
        self._limit = limit
        self._stages = stages
        self._interval = qualification_interval_seconds
        self._recall = earlier
        self._remember = remember
        self._look_seconds = look_seconds
        self._clock = clock
        self._now_ms = now_ms
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="judges", daemon=True)
        self._opened = threading.Event()
        self._settled = threading.Event()
        self._tried: set[str] = set()
        self._standings = {name: JudgeStanding(name) for name in self.judges}
        self._obstacles: dict[str, JudgeCondition] = {}
        self._others = others
        self._gateway = gateway
        self._first_token_limit_seconds = first_token_limit_seconds
        self._patience_seconds = patience_seconds
        self._since: dict[str, float] = {}
        self._qualification_runs: dict[str, QualificationRun] = {}
        self._changed: set[str] = set()
        self._trouble: SkipReason | None = None

    @property
    def clients(self) -> tuple[VllmClient, ...]:
        """The clients of all servers that are asked."""
        return (self._client, *dict.fromkeys(self._others.values()))

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
        """Whether every judge has had its first qualification run, or cannot be asked."""
        return self._tried.issuperset(self.judges)

    def wait_for_qualification(self, timeout_seconds: float) -> bool:
        """Wait for every judge's first qualification run, or until the pool gives up."""
        self._settled.wait(timeout_seconds)
        return self.qualification_done

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

    def applies(self, judge: str, exchange: JudgedExchange) -> bool:
        """Whether a judge is asked about an exchange."""
        return self.judges[judge].specification.applies(exchange)

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return the judges that give no scores, or none that count, and why."""
        found = (self._condition(name) for name in self.judges)
        return tuple(condition for condition in found if condition is not None)

    def _condition(self, name: str) -> JudgeCondition | None:
        run = self._qualification_runs.get(name)
        trouble = self._obstacles.get(name) or self._standings[name].condition
        now = self._clock()
        if trouble is None or trouble.state not in _TRANSIENT:
            self._since.pop(name, None)
        elif now - self._since.setdefault(name, now) < self._patience_seconds:
            trouble = None
        if trouble is not None:
            return trouble
        if run is None:
            return JudgeCondition(judge=name, state=JudgeState.PENDING)
        if run.qualification.qualified:
            return None
        detail = explain(run.qualification)
        return JudgeCondition(judge=name, state=JudgeState.UNQUALIFIED, detail=detail)

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
        clients = dict.fromkeys((self._client, *self._others.values()))
        limit_seconds = self._first_token_limit_seconds
        self._paces = {
            client: RequestPacer(Crowding(client, self._gateway, limit_seconds), self._limit)
            for client in clients
        }
        self._stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as opened:
            for client in clients:
                await opened.enter_async_context(client)
            if self._gateway is not None:
                await opened.enter_async_context(self._gateway)
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
        away: list[list[str]] = [[] for _ in questions]
        tasks = [
            asyncio.create_task(self._ask_one(question, deadline, said))
            for question, said in zip(questions, away, strict=True)
        ]
        _, late = await asyncio.wait(tasks, timeout=max(0.0, deadline - self._clock()))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        found: list[Score | SkipReason] = []
        details: list[str] = []
        for task, said in zip(tasks, away, strict=True):
            reason = SkipReason.UNREACHABLE if said else SkipReason.LATE
            result, detail = (reason, "".join(said)) if task.cancelled() else task.result()
            found.append(result)
            details.append(detail)
        # What was only late comes first: the others say why.
        for place in sorted(range(len(found)), key=lambda place: found[place] != SkipReason.LATE):
            self._standings[questions[place].judge].learn(found[place], details[place])
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

    async def _ask_one(
        self, question: Question, deadline: float, away: list[str]
    ) -> tuple[Score | SkipReason, str]:
        """Return a question's result, with a sentence where there is no score.

        Args:
            question: The question.
            deadline: When the batch ends.
            away: Receives the server's last sentence while it is away.
        """
        judge = self.judges[question.judge]
        wait = _RETRY_SECONDS
        while True:
            try:
                async with self._pace(question.judge).turn():
                    return await judge.score(question.exchange), ""
            except JudgeReplyError as error:
                _log.warning("judge_reply", judge=question.judge, detail=str(error))
                return Score(invalid="malformed_reply"), str(error)
            except (JudgeServerError, ExchangeTooLongError) as error:
                reason = _reason(error)
                if reason is not SkipReason.UNREACHABLE or self._clock() + wait >= deadline:
                    _log.info(reason.value, judge=question.judge, detail=str(error))
                    return reason, str(error)
                away[:] = [str(error)]
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RETRY_SECONDS)

    async def _keep_qualifying(self) -> None:
        earlier = await asyncio.to_thread(self._recall)
        async with asyncio.TaskGroup() as group:
            for name in self.judges:
                group.create_task(self._keep_judge_qualified(name, earlier))

    async def _keep_judge_qualified(self, name: str, earlier: Earlier) -> None:
        specification_hash = self.judges[name].specification.specification_hash
        client = self._others.get(name, self._client)
        server = client.address
        last = earlier.get((name, specification_hash, server))
        anew = False
        while True:
            started_ms = await _started_ms(client)
            age = self._interval if last is None else (self._now_ms() - last.time_ms) / 1000
            recent = last is not None and 0 <= age < self._interval
            # A server that was started since then may have other weights under the same name.
            since_ms = last.time_ms if last is not None else 0
            recent = recent and not anew and (started_ms or 0) <= since_ms
            known = dict(last.scores) if last is not None and recent else {}
            before = len(known)
            for stage in self._stages:
                found = await self._qualify(name, stage, known)
                known |= found.scores
                if found.qualification.qualified or not found.qualification.promising:
                    break
            if last is not None and not recent and found.differs(last.scores):
                self._changed.add(name)
            if len(known) > before:
                last = StoredRun(self._now_ms(), known)
                await asyncio.to_thread(self._remember, name, server, replace(found, scores=known))
            seconds = self._interval - age if recent else self._interval
            anew = await self._until_due(client, seconds, started_ms)

    async def _until_due(self, client: VllmClient, seconds: float, started_ms: int | None) -> bool:
        """Wait for the next qualification run; return whether the server was started anew."""
        due = self._clock() + seconds
        while (rest := due - self._clock()) > 0:
            await asyncio.sleep(min(rest, self._look_seconds))
            now_ms = await _started_ms(client)
            if now_ms is not None and now_ms != (started_ms or now_ms):
                return True
            started_ms = started_ms or now_ms
        return False

    async def _qualify(
        self, name: str, golden_answers: Sequence[GoldenAnswer], known: Mapping[str, Score]
    ) -> QualificationRun:
        wait, began = _RETRY_SECONDS, self._clock()
        while True:
            longest = _LONGEST_RETRY_SECONDS
            try:
                found = await run_qualification(
                    self.judges[name], partial(self._ask_golden, name), golden_answers, known
                )
            except JudgeServerError as error:
                state, detail = state_of(error), str(error)
            else:
                if not found.refused:
                    break
                state, detail = JudgeState.CANNOT_BE_ASKED, found.refused
            if state is JudgeState.CANNOT_BE_ASKED:
                longest = _UNUSABLE_RETRY_SECONDS
                self._settle(name)
            say = _log.warning if name not in self._obstacles else _log.debug
            say("judge_qualification_waits", judge=name, state=state.value, detail=detail)
            self._obstacles[name] = JudgeCondition(judge=name, state=state, detail=detail[:400])
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)
        self._obstacles.pop(name, None)
        self._qualification_runs[name] = found
        self._settle(name)
        _log.info(
            "judge_qualification_finished",
            **_facts(name, found),
            kept=sum(answer.key in known for answer in golden_answers),
            seconds=round(self._clock() - began, 1),
        )
        return found

    def _settle(self, name: str) -> None:
        self._tried.add(name)
        if self.qualification_done:
            self._settled.set()

    def _pace(self, name: str) -> RequestPacer:
        """Return the pacer of a judge's server: each server is spared by its own load."""
        return self._paces[self._others.get(name, self._client)]

    async def _ask_golden(self, name: str, judge: Judge, golden_answer: GoldenAnswer) -> Score:
        async with self._pace(name).turn():
            return await judge.score(golden_answer.exchange)


async def _started_ms(client: VllmClient) -> int | None:
    try:
        return (await client.load()).started_ms
    except JudgeServerError:
        return None


def _reason(error: JudgeServerError | ExchangeTooLongError) -> SkipReason:
    reasons = {
        ExchangeTooLongError: SkipReason.TOO_LONG,
        JudgeUnusableError: SkipReason.CANNOT_BE_ASKED,
        JudgeRefusedError: SkipReason.REFUSED,
        JudgeFailedError: SkipReason.FAILED_ON,
    }
    found = (reason for kind, reason in reasons.items() if isinstance(error, kind))
    return next(found, SkipReason.UNREACHABLE)


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
