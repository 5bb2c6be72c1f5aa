"""The judge worker's process: settings, judges, consumer loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
import structlog

from tidegauge.adapters.vllm import VllmClient
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.golden_set import GoldenAnswer, built_in
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.quality.specifications import DEFAULT_RUBRIC, LikelihoodSpec, RubricSpec
from tidegauge.runtime import telemetry
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.loop import STOP_SECONDS, ConsumerLoop
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.processes.deadline import end_in_time
from tidegauge.runtime.settings import load
from tidegauge.schemas.exchange import Message
from tidegauge.schemas.topics import RESPONSES
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.workers.judge.extractor import JudgeLimits, QualityExtractor
from tidegauge.workers.judge.judge_pool import JudgePool
from tidegauge.workers.judge.judges import Judge, LikelihoodJudge, RubricJudge
from tidegauge.workers.judge.qualification_run import QualificationRun
from tidegauge.workers.judge.qualification_store import QualificationStore
from tidegauge.workers.judge.sampler import Sampler, SamplingRule
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["GROUP", "make_extractor", "make_judge_pool", "read_golden_answers", "run"]

GROUP: Final = "judge"

_log = structlog.stdlib.get_logger(__name__)


class _GoldenLine(msgspec.Struct, frozen=True):
    kind: str
    prompt: str
    answer: str


def run() -> None:
    """Judge a sample of the answers until SIGTERM or SIGINT."""
    telemetry.configure_logging("judge")
    settings, kafka = load(JudgeSettings), load(KafkaSettings)
    pool = make_judge_pool(settings, QualificationStore(kafka))
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        pool.give_up()  # the batch in progress is not committed and will be judged again

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    end_in_time(stop, STOP_SECONDS)
    pool.start()
    extractor = make_extractor(settings, pool)
    processor = SketchingProcessor(extractor, GROUP, settings.sketching())
    loop = ConsumerLoop(kafka, GROUP, [RESPONSES], processor)
    with telemetry.serve(
        settings.port, lambda: loop.ready and pool.qualification_done, host=settings.host
    ):
        try:
            loop.run(stop)
        finally:
            pool.close()


def make_judge_pool(settings: JudgeSettings, memory: QualificationStore | None = None) -> JudgePool:
    """Return the judges that the settings ask for, not yet started.

    Args:
        settings: The settings.
        memory: Store of their qualification runs; None to store none.

    Raises:
        SpecificationError: A judge's name is unknown, or a file cannot be read.
        JudgeRefusedError: The address of the judges' server is invalid.
    """
    client = VllmClient(
        settings.url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        timeout_seconds=settings.request_seconds,
        connections=2 * settings.concurrency + 1,
    )
    makers = {"likelihood": _likelihood, "rubric": _rubric}
    names = settings.names
    if not names:
        raise SpecificationError("TIDEGAUGE_JUDGE_JUDGES names no judge")
    if unknown := [name for name in names if name not in makers]:
        raise SpecificationError(
            f"TIDEGAUGE_JUDGE_JUDGES names {unknown}: there are {', '.join(makers)}"
        )

    own = read_golden_answers(settings.golden_set_file) if settings.golden_set_file else ()

    def make_judges(client: VllmClient) -> Mapping[str, Judge]:
        return {name: makers[name](client, settings) for name in names}

    def remember(found: Mapping[str, QualificationRun]) -> None:
        if memory is not None:
            memory.remember(found, now_ms=now_ms())

    return JudgePool(
        make_judges,
        client,
        limit=settings.concurrency,
        stages=[(*own, *built_in(questions=count)) for count in settings.qualification_stages],
        qualification_interval_seconds=3600 * settings.qualification_hours,
        earlier=dict if memory is None else memory.recall,
        remember=remember,
    )


def make_extractor(settings: JudgeSettings, pool: JudgePool) -> QualityExtractor:
    """Return the extractor that draws answers for the pool's judges."""
    rates = {"likelihood": settings.likelihood_rate, "rubric": settings.rubric_rate}
    rule = SamplingRule(
        salt=settings.salt,
        rates={name: rates[name] for name in pool.judges},
        floor=settings.minimum_rate,
        budget_tokens_per_second=settings.tokens_per_second,
        period_seconds=settings.sampling_period_seconds,
    )
    return QualityExtractor(
        pool,
        Sampler(rule),
        specification_hashes={
            name: judge.specification.specification_hash for name, judge in pool.judges.items()
        },
        limits=JudgeLimits(settings.deadline_seconds, settings.max_age_seconds),
        now_ms=now_ms,
    )


def read_golden_answers(path: Path) -> tuple[GoldenAnswer, ...]:
    """Read golden answers from a file of JSON lines.

    Raises:
        SpecificationError: The file cannot be read, or a line is not a golden answer.
    """
    golden_answers: list[GoldenAnswer] = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line, type=_GoldenLine)
        except msgspec.DecodeError as error:
            raise SpecificationError(
                f"{path} line {number} is no golden answer ({error}): it needs kind, prompt "
                "and answer"
            ) from error
        exchange = JudgedExchange((Message(role="user", content=found.prompt),), found.answer)
        golden_answers.append(GoldenAnswer(found.kind, exchange))
    return tuple(golden_answers)


def _rubric(client: VllmClient, settings: JudgeSettings) -> Judge:
    rubric = _read(settings.rubric_file).strip() if settings.rubric_file else DEFAULT_RUBRIC
    specification = RubricSpec(model=settings.model, rubric=rubric, retries=settings.rubric_retry)
    return RubricJudge(client, specification)


def _likelihood(client: VllmClient, settings: JudgeSettings) -> Judge:
    specification = LikelihoodSpec(model=settings.model, system=settings.likelihood_system)
    return LikelihoodJudge(client, specification)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"cannot read {path}: {error}") from error
