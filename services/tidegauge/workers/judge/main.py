"""The judge worker's process: settings, judges, consumer loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType

import structlog

from tidegauge.adapters.gateway_latency import GatewayLatency
from tidegauge.adapters.vllm import VllmClient
from tidegauge.quality.context import ContextRule
from tidegauge.quality.golden_set import KINDS, built_in
from tidegauge.quality.hallucination import KINDS as KINDS_OF_CONTEXT
from tidegauge.quality.hallucination import qualify_check
from tidegauge.quality.judged_exchange import JudgedUnit
from tidegauge.quality.specifications import ClassifierSpec, RubricSpec
from tidegauge.quality.whole_conversations import ConversationRule
from tidegauge.runtime import telemetry
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.consumer_loop import STOP_SECONDS, ConsumerLoop
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.processes.deadline import end_in_time
from tidegauge.runtime.settings import load
from tidegauge.schemas.topics import RESPONSES
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.workers.judge.conversation_extractor import (
    ConversationExtractor,
    Exchanges,
    exchanges_in_log,
)
from tidegauge.workers.judge.extractor import JudgeLimits, QualityExtractor
from tidegauge.workers.judge.grounding import GroundingExtractor, GroundingRule
from tidegauge.workers.judge.judge_files import (
    WITHOUT_RUBRIC,
    make_client,
    make_judge,
    read_golden_answers,
    read_references,
    specifications,
)
from tidegauge.workers.judge.judge_pool import JudgePool
from tidegauge.workers.judge.judge_work import WorkExtractor
from tidegauge.workers.judge.judges import Judge
from tidegauge.workers.judge.qualification_run import QualificationRun, explain
from tidegauge.workers.judge.qualification_store import QualificationStore
from tidegauge.workers.judge.sampler import Sampler, SamplingRule
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["make_conversation_extractor", "make_extractor", "make_judge_pool", "run"]

_log = structlog.stdlib.get_logger(__name__)


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
    extractor = WorkExtractor(make_extractor(settings, pool), pool.clients)
    processor = SketchingProcessor(
        extractor,
        settings.group,
        settings.sketching(),
        sessions=make_conversation_extractor(settings, pool, exchanges_in_log(kafka)),
    )
    loop = ConsumerLoop(kafka, settings.group, [RESPONSES], processor)
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
        SpecificationError: A judge is unknown, or a file cannot be read or is no rubric.
        JudgeRefusedError: The address of the judges' server is invalid.
    """
    asked = specifications(settings)
    own = read_golden_answers(settings.golden_set_file) if settings.golden_set_file else ()

    def make_judges(client: VllmClient) -> Mapping[str, Judge]:
        return {name: make_judge(others.get(name, client), each) for name, each in asked.items()}

    def remember(judge: str, server: str, found: QualificationRun) -> None:
        if memory is not None:
            memory.remember(judge, server, found, now_ms=now_ms())

    client = make_client(settings)
    servers = {
        each.url: make_client(settings, each.url)
        for each in asked.values()
        if isinstance(each, ClassifierSpec) and each.url
    }
    others = {
        name: servers[each.url]
        for name, each in asked.items()
        if isinstance(each, ClassifierSpec) and each.url
    }
    kinds = {kind for judge in make_judges(client).values() for kind in judge.kinds}
    known = [kind for kind in KINDS if kind in kinds]
    return JudgePool(
        make_judges,
        client,
        others=others,
        limit=settings.concurrency,
        gateway=GatewayLatency(settings.gateway_metrics_url)
        if settings.gateway_metrics_url
        else None,
        first_token_limit_seconds=settings.first_token_limit_seconds,
        stages=[
            (*own, *(built_in(known, questions=count) if known else ()))
            for count in settings.qualification_stages
        ],
        qualification_interval_seconds=3600 * settings.qualification_hours,
        earlier=dict if memory is None else memory.recall,
        remember=remember,
    )


def make_conversation_extractor(
    settings: JudgeSettings, pool: JudgePool, exchanges: Exchanges
) -> ConversationExtractor | None:
    """Return the extractor that has whole conversations judged; None without a judge of them."""
    specification_hashes = _hashes(pool, "conversation")
    if not specification_hashes:
        return None
    return ConversationExtractor(
        pool,
        ConversationRule(
            salt=settings.salt,
            rate=settings.conversation_rate,
            idle_ms=round(60_000 * settings.conversation_idle_minutes),
            most_turns=settings.conversation_most_turns,
        ),
        specification_hashes=specification_hashes,
        exchanges=exchanges,
        limits=JudgeLimits(settings.deadline_seconds, settings.max_age_seconds),
        now_ms=now_ms,
    )


def _hashes(pool: JudgePool, unit: JudgedUnit) -> Mapping[str, str]:
    return {
        name: judge.specification.specification_hash
        for name, judge in pool.judges.items()
        if judge.specification.unit == unit
    }


def make_extractor(settings: JudgeSettings, pool: JudgePool) -> GroundingExtractor:
    """Return the extractor that draws answers for the judges and holds them against contexts."""
    specification_hashes = _hashes(pool, "answer")
    rates = {
        name: settings.likelihood_rate if name in WITHOUT_RUBRIC else settings.rubric_rate
        for name in specification_hashes
    }
    rule = SamplingRule(
        salt=settings.salt,
        rates=rates,
        floor=settings.minimum_rate,
        budget_tokens_per_second=settings.tokens_per_second,
        period_seconds=settings.sampling_period_seconds,
    )
    judging = QualityExtractor(
        pool,
        Sampler(rule),
        specification_hashes=specification_hashes,
        limits=JudgeLimits(settings.deadline_seconds, settings.max_age_seconds),
        now_ms=now_ms,
        references=read_references(settings.references_file) if settings.references_file else {},
        votes_on={
            name: judge.specification.votes_on
            for name, judge in pool.judges.items()
            if judge.specification.votes_on
        },
        of_context={
            name
            for name, judge in pool.judges.items()
            if isinstance(judge.specification, RubricSpec) and {*judge.kinds} & {*KINDS_OF_CONTEXT}
        },
    )
    context = ContextRule.parse(settings.context, settings.context_tags)
    own = read_golden_answers(settings.golden_set_file) if settings.golden_set_file else ()
    qualification = qualify_check(own)
    if not qualification.qualified:
        _log.warning("grounding_check_unqualified", detail=explain(qualification))
    return GroundingExtractor(
        judging,
        GroundingRule(
            rate=settings.hallucination_rate,
            salt=settings.salt,
            context=context,
            qualified=qualification.qualified,
        ),
    )
