"""Runs the measurement: streams over two processes, rows and bars, a file of results."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tidegauge.adapters.sentence_transformers import DEFAULT_MODEL, open_embedder
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.promise.bars import all_bars
from tidegauge.promise.cells import (
    StreamOutcome,
    StreamPlan,
    conversation_outcomes,
    service_outcomes,
)
from tidegauge.promise.drawn_conversations import Sources, fixed_texts
from tidegauge.promise.files import read_arrivals, read_conversations, read_questions
from tidegauge.promise.kept_outcomes import KeptOutcomes, job_key, source_of
from tidegauge.promise.results import rows
from tidegauge.promise.scenarios import (
    BASELINES,
    CONVERSATION_TRAFFIC,
    NO_CHANGE,
    SERVICE_TRAFFIC,
    SPEED_WAVES,
    BaselineSpan,
    ConversationTraffic,
    ServiceTraffic,
    StreamChange,
)
from tidegauge.promise.stored_vectors import StoredVectors, embed_missing
from tidegauge.promise.swaps import SWAPS, SwapOutcome, swap_bars, swap_outcome, swap_rows
from tidegauge.schemas.exchange import Message
from tidegauge.streaming.partitions import SketchSettings

__all__ = ["FULL", "QUICK", "Files", "Size", "jobs", "measure", "write"]

_PROCESSES = 2


class Files(NamedTuple):
    """Where traffic is drawn from.

    Attributes:
        conversations: JSONL file of conversations.
        arrivals: CSV file of requests with times and tokens.
        questions: JSONL file of single questions; None to ask the openings of conversations.
        vectors: File in which vectors are kept.
    """

    conversations: Path
    arrivals: Path
    questions: Path | None
    vectors: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is run.

    Attributes:
        streams: Streams without a change in each cell.
        days: Greatest length of one.
        changed: Streams with each change.
        swaps: Streams with each swap of versions.
        window_ms: Length of a window of responses.
        conversation_window_ms: Length of a window of requests with texts, of which there are
            fewer.
    """

    streams: int
    days: float
    changed: int
    swaps: int
    window_ms: int = 60_000
    conversation_window_ms: int = 300_000

    def with_streams(self, count: int) -> Size:
        """Return a size with as many streams of each kind."""
        return replace(self, streams=count, changed=count, swaps=count)


FULL = Size(streams=20, days=14.0, changed=20, swaps=20)
QUICK = Size(streams=2, days=3.0, changed=3, swaps=5)


class _ConversationJob(NamedTuple):
    name: str
    span: BaselineSpan
    changes: tuple[StreamChange, ...]
    plan: StreamPlan


class _ServiceJob(NamedTuple):
    name: str
    changes: tuple[StreamChange, ...]
    plan: StreamPlan


class _SwapJob(NamedTuple):
    name: str
    number: int
    settings: SketchSettings


Job: TypeAlias = _ConversationJob | _ServiceJob | _SwapJob
_Outcomes: TypeAlias = list[StreamOutcome | SwapOutcome]
_sources: list[Sources] = []
"""The sources of a worker process: one, once it has been loaded."""


def _load(files: Files, fingerprint: str) -> None:
    _sources.append(_read(files, StoredVectors.load(files.vectors, fingerprint)))


def _read(files: Files, vectors: StoredVectors) -> Sources:
    return Sources(
        conversations=read_conversations(files.conversations),
        questions=read_questions(files.questions) if files.questions else (),
        recorded=read_arrivals(files.arrivals),
        vectors=vectors,
    )


def _run(job: Job) -> tuple[_Outcomes, float]:
    """Return a job's outcomes and its CPU seconds."""
    began = time.process_time()
    return _outcomes(job), time.process_time() - began


def _outcomes(job: Job) -> _Outcomes:
    (sources,) = _sources
    if isinstance(job, _SwapJob):
        return [swap_outcome(SWAPS[job.name], job.number, sources.recorded, job.settings)]
    if isinstance(job, _ConversationJob):
        traffic = CONVERSATION_TRAFFIC[job.name]
        return [*conversation_outcomes(traffic, job.span, job.changes, job.plan, sources)]
    traffic_of_service = SERVICE_TRAFFIC[job.name]
    return [*service_outcomes(traffic_of_service, job.changes, job.plan, sources.recorded)]


def measure(files: Files, size: Size, tell: Callable[[str], None], *, keep: Path) -> dict[str, Any]:
    """Run all streams, but for those that were run before.

    Args:
        files: Where traffic is drawn from.
        size: How much is run.
        tell: Told how far it is, a line at a time.
        keep: File in which the outcomes of finished jobs are kept.

    Returns:
        ``rows``, ``bars`` and ``protocol``, as they are written to the file of results.

    Raises:
        TrafficFileError: A file cannot be used.
        ModelError: The embedder cannot be opened.
    """
    fingerprint = _embed(files, tell)
    questions = files.questions is not None
    usual = [*jobs(size, questions=questions)]
    shortcut = [*_plugged_in_jobs(size, questions=questions)]
    source = source_of((files.conversations, files.arrivals, files.questions), fingerprint)
    kept = KeptOutcomes(keep, source)
    _in_processes([*shortcut, *usual], files, fingerprint, tell, kept)
    found = [one for job in usual if (one := kept.find(job_key(job)))]
    streams = [one for done in found for one in done.streams]
    swaps = [one for done in found for one in done.swaps]
    plugged_in = [
        one for job in shortcut if (done := kept.find(job_key(job))) for one in done.streams
    ]
    bars = [*all_bars(streams, plugged_in), *swap_bars(swaps)]
    return {
        "rows": [*rows(streams), *swap_rows(swaps)],
        "plugged_in": rows(plugged_in),
        "bars": [asdict(bar) for bar in bars],
        "protocol": asdict(size),
    }


def _embed(files: Files, tell: Callable[[str], None]) -> str:
    """Embed every text of the files that has no vector yet; return the embedder's fingerprint."""
    nothing = StoredVectors.empty("")
    preparation = Preparation()
    texts = [
        prepare((Message(role="user", content=text),), preparation).text
        for text in fixed_texts(_read(files, nothing))
    ]
    embedder = open_embedder(DEFAULT_MODEL, backend="torch", most_tokens=256, threads=1)
    return embed_missing(files.vectors, embedder, texts, tell).fingerprint


def jobs(size: Size, *, questions: bool = True) -> Iterator[Job]:
    """Yield everything that is run, but for the streams with the usual shortcut.

    Args:
        size: How much is run.
        questions: Whether there are single questions: simulated conversations consist of them.
    """
    settings = SketchSettings(window_ms=size.window_ms)
    for number in range(max(size.streams, size.changed, size.swaps)):
        plan = StreamPlan(number=number, days=size.days, window_ms=size.window_ms)
        talk = replace(plan, window_ms=size.conversation_window_ms)
        for traffic in CONVERSATION_TRAFFIC.values():
            if questions or traffic.scripts != "topical":
                yield from _conversation_jobs(traffic, talk, size)
        for service in SERVICE_TRAFFIC.values():
            yield from _service_jobs(service, plan, size)
        if number < size.swaps:
            yield from (_SwapJob(name, number, settings) for name in SWAPS)


def _conversation_jobs(traffic: ConversationTraffic, plan: StreamPlan, size: Size) -> Iterator[Job]:
    if plan.number < size.streams:
        for span in traffic.baselines:
            yield _ConversationJob(traffic.name, span, (NO_CHANGE,), plan)
    if plan.number < size.changed and traffic.changes:
        yield _ConversationJob(traffic.name, traffic.changed, traffic.changes, plan)


def _service_jobs(traffic: ServiceTraffic, plan: StreamPlan, size: Size) -> Iterator[Job]:
    changes = (
        *((NO_CHANGE,) if plan.number < size.streams else ()),
        *(traffic.changes if plan.number < size.changed else ()),
    )
    if changes:
        yield _ServiceJob(traffic.name, changes, plan)


def _plugged_in_jobs(size: Size, *, questions: bool) -> Iterator[Job]:
    """Yield streams on which the usual shortcut has to fail: a few, since it fails soon."""
    for number in range(2):
        plan = StreamPlan(number=number, days=QUICK.days, window_ms=size.window_ms, plugged_in=True)
        talk = replace(plan, window_ms=size.conversation_window_ms)
        for name in ("conversations", *(["conversations on one topic"] if questions else [])):
            yield _ConversationJob(name, BASELINES[3], (NO_CHANGE,), talk)
        yield _ServiceJob(SPEED_WAVES, (NO_CHANGE,), plan)


def _in_processes(
    whole: Sequence[Job],
    files: Files,
    fingerprint: str,
    tell: Callable[[str], None],
    kept: KeptOutcomes,
) -> None:
    """Run the jobs that are not kept yet, and keep them."""
    todo = [job for job in whole if kept.find(job_key(job)) is None]
    number = len(whole) - len(todo)
    if number:
        tell(f"{number} of {len(whole)} were run before")
    seconds = 0.0
    pool = ProcessPoolExecutor(
        _PROCESSES,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load,
        initargs=(files, fingerprint),
    )
    try:
        waiting: dict[Future[tuple[_Outcomes, float]], Job] = {
            pool.submit(_run, job): job for job in todo
        }
        for done in as_completed(waiting):
            job, (outcomes, cpu) = waiting[done], done.result()
            kept.keep(job_key(job), outcomes, cpu)
            number, seconds = number + 1, seconds + cpu
            tell(f"{number} of {len(whole)}: {job.name}, {cpu:.0f} s of CPU")
    finally:
        pool.shutdown(cancel_futures=True)
    tell(f"{seconds:,.0f} s of CPU in all")


def write(found: dict[str, Any], path: Path) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
