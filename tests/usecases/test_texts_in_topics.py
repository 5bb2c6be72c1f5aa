"""All that is written of an exchange, searched for its texts: only some topics may hold them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from tests.monitoring.conftest import traffic
from tests.monitoring.test_pipeline import SEGMENT, SETTINGS, Site, responses
from tests.streaming.memory_log import MemoryLog, MemoryLoop
from tests.workers.drift.conftest import WordVectors, past_texts

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import HistoricalRequest, fit
from tidegauge.drift.preparation import Preparation
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.quality.whole_conversations import ConversationRule
from tidegauge.schemas import Topic, decode, encode
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent, Sampling
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.sketches import JudgeCondition, JudgeState, RecordPlace, Sketch
from tidegauge.schemas.topics import (
    ALERTS,
    ALL_TOPICS,
    BASELINES,
    REMARKS,
    REQUESTS,
    RESPONSES,
    SKETCHES,
    STATE,
)
from tidegauge.streaming.checkpoints import EncodedRecord, LatestSnapshots
from tidegauge.streaming.processor import Partition, Processor
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.workers.drift.extractor import DriftExtractor
from tidegauge.workers.judge.conversation_extractor import ConversationExtractor
from tidegauge.workers.judge.extractor import JudgeLimits, QualityExtractor
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.sampler import Sampler, SamplingRule

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

__all__ = ["traffic"]

CANARY = "quetzalcoatlus"
TEXT = f"my {CANARY} number 4711"
HASHES = {"rubric": "b" * 64}
LIMITS = JudgeLimits(deadline_seconds=10.0, max_age_seconds=0)
EXCHANGES, SLOW_FROM, TOLD = 600, 400, (460, 470)
"""Exchanges in all, the first slow one, and those that hold the canary: one conversation."""


class Judges:
    """Judges that quote what they judge."""

    def ask(
        self, questions: Sequence[Question], *, deadline_seconds: float
    ) -> list[Score | SkipReason]:
        del deadline_seconds
        return [
            Score(
                values={"score": 0.5},
                label_mass=0.9,
                reason=" ".join(message.content for message in question.exchange.messages),
            )
            for question in questions
        ]

    def applies(self, judge: str, exchange: JudgedExchange) -> bool:
        return (judge == "goal") == (exchange.unit == "conversation")

    def qualified(self, judge: str) -> bool:
        return bool(judge)

    def notices(self) -> tuple[str, ...]:
        return ()

    def conditions(self) -> tuple[JudgeCondition, ...]:
        return (JudgeCondition(judge="other", state=JudgeState.LATE),)

    def wait_for_qualification(self, timeout_seconds: float) -> bool:
        return timeout_seconds > 0


def worker(site: Site, group: str, topic: Topic, processor: Processor) -> MemoryLoop:
    return MemoryLoop(
        site.log,
        group,
        [topic],
        processor,
        now_ms=lambda: site.now_ms,
        transactions=site.transactions,
    )


def judge(site: Site) -> MemoryLoop:
    def exchanges(places: Iterable[RecordPlace]) -> Mapping[RecordPlace, ResponseEvent | None]:
        return {
            place: decode(
                site.log.read(Partition(place.topic, place.partition), place.offset)[0].value,
                ResponseEvent,
            )
            for place in places
        }

    rule = SamplingRule(salt="s", rates={"rubric": 1.0}, floor=0.02)
    extractor = QualityExtractor(
        Judges(),
        Sampler(rule),
        specification_hashes=HASHES,
        limits=LIMITS,
        now_ms=lambda: site.now_ms,
    )
    conversations = ConversationExtractor(
        Judges(),
        ConversationRule(salt="s", rate=1.0, idle_ms=10_000, most_turns=4),
        specification_hashes={"goal": "c" * 64},
        exchanges=exchanges,
        limits=LIMITS,
        now_ms=lambda: site.now_ms,
    )
    processor = SketchingProcessor(extractor, "judge", SETTINGS, sessions=conversations)
    return worker(site, "judge", RESPONSES, processor)


def drift_baseline() -> bytes:
    """Return a baseline of which one request holds the canary."""
    texts = [*past_texts(), TEXT]
    return fit(
        [HistoricalRequest(text, request_id=f"r{n}") for n, text in enumerate(texts)],
        WordVectors().embed(texts),
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
        caller_cap=5,
    ).to_bytes()


def answered(number: int, response: ResponseEvent) -> ResponseEvent:
    """Return a response with texts, which hold the canary wherever a text may stand."""
    if number not in TOLD:
        messages = (Message(role="user", content=f"my card number {number}"),)
        return msgspec.structs.replace(response, messages=messages, output="Of course.")
    called = json.dumps([{"function": {"name": "find", "arguments": TEXT}}])
    return msgspec.structs.replace(
        response,
        messages=(
            Message(role="system", content=TEXT),
            Message(role="user", content=TEXT),
            Message(role="assistant", content=TEXT, tool_calls=called),
            Message(role="tool", content=TEXT),
            Message(role="user", content=TEXT),
        ),
        output=TEXT,
        tool_calls=called,
        error_detail=TEXT,
        error=None,
        latency_ms=60_000.0 + number,
        conversation_id="thread",
        turn=1 + TOLD.index(number),
    )


def asked(response: ResponseEvent) -> RequestEvent:
    return RequestEvent(
        request_id=response.request_id,
        producer_id="g1",
        sequence=response.sequence,
        time_ms=response.time_ms,
        segment=SEGMENT,
        customer="acme",
        messages=response.messages,
        sampling=Sampling(response_format=TEXT if response.turn else None),
        conversation_id=response.conversation_id,
        turn=response.turn,
    )


def append(log: MemoryLog, topic: Topic, value: bytes, time_ms: int) -> None:
    log.append(EncodedRecord(topic=topic.name, key=b"k", value=value), timestamp_ms=time_ms)


def written(log: MemoryLog) -> Iterator[tuple[str, bytes]]:
    """Yield the topics and what is written there, unpacked."""
    for topic in ALL_TOPICS.values():
        for record in log.records(topic):
            if topic is not STATE:
                yield topic.name, record.value
    latest = LatestSnapshots()
    for record in log.records(STATE):
        latest.take(record.key, record.value)
    for owner in latest.owners():
        yield STATE.name, msgspec.msgpack.encode(latest.checkpoint(owner))


def holds_canary(value: bytes) -> bool:
    """Whether bytes hold the canary, plainly or in a part that is encoded in base 64."""
    forms = [b64encode(b" " * n + CANARY.encode())[4 : 4 * (len(CANARY) // 3)] for n in range(3)]
    return any(form in value for form in (CANARY.encode(), *forms))


def test_the_search_finds_the_canary_in_base_64() -> None:
    for before in range(4):
        hidden = b64encode(b"x" * before + CANARY.encode() + b"...")
        assert holds_canary(hidden)
        assert not holds_canary(b64decode(hidden)[before + 1 :])


@pytest.mark.parametrize("transactions", [True, False])
def test_only_topics_with_texts_hold_texts(traffic: Traffic, *, transactions: bool) -> None:
    rates = build_rates_baseline(traffic.baseline_windows(100, 5)).to_bytes()
    site = Site(1, RatesBaseline.from_bytes(rates, "rates-1"), transactions=transactions)
    drift = DriftExtractor(WordVectors(), Preparation(), window_ms=SETTINGS.window_ms)
    drift.use(DriftBaseline.from_bytes(drift_baseline(), "drift-1"))
    drifting = SketchingProcessor(drift, "drift", SETTINGS)
    site.workers += [worker(site, "drift", REQUESTS, drifting), judge(site)]
    events = [answered(n, each) for n, each in enumerate(responses(1, EXCHANGES, SLOW_FROM))]
    for event in events:
        append(site.log, REQUESTS, encode(asked(event)), event.time_ms)
    for topic in (REQUESTS, RESPONSES):
        append(site.log, topic, TEXT.encode(), events[0].time_ms)
    append(site.log, BASELINES, drift_baseline(), events[0].time_ms)
    append(site.log, BASELINES, rates, events[0].time_ms)
    site.serve(events)
    site.settle(EXCHANGES)

    held: dict[str, int] = {}
    for name, value in written(site.log):
        held[name] = held.get(name, 0) + holds_canary(value)
    texts = {topic.name for topic in ALL_TOPICS.values() if topic.holds_text}
    assert {name for name, number in held.items() if number} == texts - {"embeddings.v1"}
    assert held.keys() >= {SKETCHES.name, ALERTS.name, "verdicts.v1", "judgments.v1", STATE.name}

    assert sum(holds_canary(record.value) for record in site.log.records(REMARKS)) >= 3
    alerts = [decode(record.value, Alert) for record in site.log.records(ALERTS)]
    assert any(alert.monitor == "latency.total" for alert in alerts)
    sketches = [
        decode(record.value, Sketch)
        for record in site.log.records(SKETCHES)
        if b"tidegauge.sketch" in record.value
    ]
    named = {
        exemplar.request_id
        for sketch in sketches
        for kept in sketch.exemplars.values()
        for exemplar in kept
    }
    assert {f"r{number}" for number in TOLD} <= named
