"""A worse answer to the same questions, told from other questions, out of a real log."""

from __future__ import annotations

import json
import time

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from tidegauge.cli.explain import app, explanation_lines
from tidegauge.detection.indicators import Hits, Indicator, StratifiedTail, Tail
from tidegauge.drift.fitting import HistoricalRequest, fit
from tidegauge.drift.preparation import Preparation
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import FINGERPRINT, build_rates_baseline
from tidegauge.quality.hallucination import hits_of
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.errors import BaselineCorruptError, LogUnavailableError
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Event, Segment, Topic, measures
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.findings import Effect, Signal, State, Verdict
from tidegauge.schemas.sketches import Sketch, SourceRange
from tidegauge.schemas.topics import EMBEDDINGS, JUDGMENTS, VERDICTS
from tidegauge.streaming import histogram
from tidegauge.streaming.extractor import Measurement
from tidegauge.streaming.processor import Output
from tidegauge.usecases.errors import UnexplainedError
from tidegauge.usecases.explain import _mix, explain, holds, latest_verdict

HASH = "0123abcd" * 8
LABEL = measures.judge_label("likelihood", HASH)
VALUE = measures.score(LABEL, "fluency")
EVENTS = 200
MONITOR = "quality.likelihood"


def publish(kafka: KafkaSettings, topic: Topic, events: list[Event]) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(topic, f"{number}", event, "test", f"{number}", 0)
            for number, event in enumerate(events)
        )


def sketch(kind: str, segment: Segment, start_ms: int, scores: list[float]) -> Sketch:
    values = histogram.add(histogram.empty(), scores)
    return Sketch(
        kind="quality" if kind == "quality" else "vitals",
        producer_id=kind,
        sequence=1,
        segment=segment,
        window_start_ms=start_ms,
        window_ms=60_000,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=0),
        events=len(scores),
        histograms={VALUE: values} if kind == "quality" else {},
    )


def drift_baseline(kafka: KafkaSettings) -> str:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2, 16))
    vectors = centres[np.arange(400) % 2] + 0.1 * rng.normal(size=(400, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = fit(
        [HistoricalRequest(text=f"refunds or weather {i}") for i in range(400)],
        vectors.astype(np.float32),
        embedder="e1",
        preparation=Preparation(),
        rng=rng,
    )
    store = BaselineStore(kafka)
    return store.publish("drift", made.to_bytes(), made.fingerprint, made.summary())


def exchanges(
    segment: Segment, drift: str, start_ms: int, lows: tuple[float, float], *, seed: int
) -> tuple[list[Event], list[Event], list[float]]:
    """Draw requests of two clusters, equally likely; a bad answer scores -2, a good one -1."""
    rng = np.random.default_rng(seed)
    embeddings: list[Event] = []
    judgments: list[Event] = []
    scores: list[float] = []
    for number in range(EVENTS):
        cluster = int(rng.random() < 0.5)
        scores.append(-2.0 if rng.random() < lows[cluster] else -1.0)
        request_id = f"{segment.model}-{start_ms}-{number}"
        moment = start_ms + number * 100
        embeddings.append(
            EmbeddingEvent(
                request_id=request_id,
                producer_id="drift/requests.v1-0",
                sequence=number + 1,
                time_ms=moment,
                segment=segment,
                baseline=drift,
                embedder="e1",
                cluster=cluster,
                novelty=0.1,
            )
        )
        judgments.append(
            JudgmentEvent(
                request_id=request_id,
                producer_id="judge/responses.v1-0",
                sequence=number + 1,
                time_ms=moment,
                segment=segment,
                judge="likelihood",
                specification_hash=HASH,
                inclusion_probability=1.0,
                sampling_period=0,
                salt="s",
                scores={"fluency": scores[-1]},
                qualified=True,
            )
        )
    return embeddings, judgments, scores


def test_worse_answers_are_told_from_other_questions(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = Segment(model=f"explain-{time.time_ns()}", version="v1")
    now = time.time_ns() // 1_000_000
    then = (now - 300_000) // 60_000 * 60_000
    drift = drift_baseline(kafka)
    before = exchanges(segment, drift, then, (0.15, 0.15), seed=1)
    after = exchanges(segment, drift, now, (0.15, 0.9), seed=2)
    for embeddings, judgments, _ in (before, after):
        publish(kafka, EMBEDDINGS, embeddings)
        publish(kafka, JUDGMENTS, judgments)
    document = build_rates_baseline(
        [sketch("vitals", segment, then, before[2]), sketch("quality", segment, then, before[2])]
    )
    rates = BaselineStore(kafka).publish(
        "rates", document.to_bytes(), FINGERPRINT, document.summary()
    )
    reference = document.references[MONITOR][segment.key]
    verdict = Verdict(
        monitor=MONITOR,
        signal="quality",
        segment=segment,
        time_ms=now,
        state=State.WARN,
        sentence="",
        log_statistic=20.0,
        log_threshold=10.0,
        since_ms=now,
        baseline=rates,
        effects=(
            Effect(
                indicator=reference.indicators[0].name,
                title="",
                baseline_rate=0.05,
                low=0.0,
                high=0.1,
                hits=1,
                trials=1,
                rate_low=0.0,
                rate_high=1.0,
                share=1.0,
            ),
        ),
    )
    publish(kafka, VERDICTS, [verdict])
    assert latest_verdict(kafka, MONITOR, segment, then) == verdict
    found = explain(kafka, verdict, now + 60_000)
    assert (found.mix.reference_events, found.mix.current_events) == (EVENTS, EVENTS)
    # Half of the requests rose from .15 to .90: by .375 in all, none of it by the mix.
    assert 0.2 < found.mix.conditional.low < 0.375 < found.mix.conditional.high
    assert abs(found.mix.mix.change) < 0.05
    assert found.mix.clusters[0].cluster == 1
    assert found.drift_baseline == drift
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setattr("tidegauge.cli.explain.now_ms", lambda: now + 60_000)
    result = CliRunner().invoke(app, [MONITOR, "--segment", segment.key, "--json"])
    assert result.exit_code == 0, result.output
    assert "the same topics served otherwise" in json.loads(result.stdout)[0]["sentence"]
    shown = CliRunner().invoke(app, [MONITOR, "--segment", segment.key])
    assert "own rate" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "…" not in shown.stdout
    assert "evidence: " in shown.stdout
    lonely = msgspec.structs.replace(verdict, since_ms=now + 3_600_000)
    with pytest.raises(UnexplainedError, match="not known by the same drift baseline"):
        explain(kafka, lonely, now + 3_700_000)


def test_a_monitor_that_said_nothing_is_named(kafka: KafkaSettings) -> None:
    with pytest.raises(UnexplainedError, match=r"latency\.nothing has tested nothing"):
        latest_verdict(kafka, "latency.nothing", None, 0)


def test_topics_are_not_explained_by_topics(kafka: KafkaSettings) -> None:
    verdict = Verdict(
        monitor="drift.topics",
        signal="drift",
        segment=Segment(model="m"),
        time_ms=0,
        state=State.WARN,
        sentence="",
        baseline="drift-1",
    )
    with pytest.raises(UnexplainedError, match="not held to a baseline of rates"):
        explain(kafka, verdict, 1)


@pytest.mark.parametrize(
    ("monitor", "signal"),
    [
        ("drift.topics", "drift"),
        ("swap.latency", "swap"),
        ("pipeline.ledger", "pipeline"),
        ("latency.total", "latency"),
    ],
)
def test_every_alarm_is_explained_by_topic_or_not(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, monitor: str, signal: Signal
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("COLUMNS", "80")
    segment = Segment(model=f"explained-{time.time_ns()}")
    verdict = Verdict(
        monitor=monitor,
        signal=signal,
        segment=segment,
        time_ms=round(time.time() * 1000),
        state=State.WARN,
        sentence="Something has changed a lot, \x1b[31m and it is said here in full. " * 4,
    )
    with Publisher(kafka) as publisher:
        publisher.publish([Output(VERDICTS, monitor, verdict, "test", "v", verdict.time_ms)])
    command = [monitor, "--segment", segment.key]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert f"{monitor} on {segment.model}: warn at" in " ".join(shown.stdout.split())
    assert "it is said here in full." in " ".join(shown.stdout.split())
    reason = "not held to a baseline of rates"
    assert reason in " ".join(shown.stdout.split())
    assert "\x1b" not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    (facts,) = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert facts["explanation"] is None
    assert reason in facts["not_by_topic"]


def _said(segment: Segment, baseline: str = "") -> Verdict:
    return Verdict(
        monitor="latency.total",
        signal="latency",
        segment=segment,
        time_ms=round(time.time() * 1000),
        state=State.WARN,
        sentence="Slower.",
        baseline=baseline,
    )


@pytest.mark.parametrize(
    ("error", "comes_out"),
    [
        (UnexplainedError("too little is known"), False),
        (LogUnavailableError("a:1", "refused"), True),
        (BaselineCorruptError("a part is missing"), True),
        (RatesBaselineError("not a baseline of rates"), True),
        (SettingsError("is not set"), True),
    ],
)
def test_only_what_has_no_topics_is_not_broken_down_by_topic(
    monkeypatch: pytest.MonkeyPatch, error: TidegaugeError, *, comes_out: bool
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(
        "tidegauge.cli.explain.latest_verdict", lambda *_: _said(Segment(model="m"))
    )
    monkeypatch.setattr("tidegauge.cli.explain.explain", failing)
    done = CliRunner().invoke(app, ["latency.total"])
    assert done.exception is (error if comes_out else None)
    assert ("not broken down by topic: too little is known" in done.stdout) is not comes_out


def test_requests_without_a_known_topic_are_not_explained() -> None:
    with pytest.raises(UnexplainedError, match="reference has no events whose topic is known"):
        _mix({}, {0: (1, 2)})


def test_a_long_segment_is_cut_and_does_nothing_to_a_terminal() -> None:
    verdict = _said(Segment(model="m\x1b[31m" + "x" * 5_000))
    first = next(explanation_lines(verdict, None, "", verdict.time_ms))
    assert "\x1b" not in first
    assert len(first) < 400


def test_an_indicator_asks_one_event_as_it_asks_a_sketch() -> None:
    bucket = histogram.bucket_of(-1.5)
    below = Indicator(name="x", title="", family="f", counter=Tail(VALUE, bucket, "below"))
    assert holds(below, Measurement(values={VALUE: -2.0})) is True
    assert holds(below, Measurement(values={VALUE: -1.0})) is False
    assert holds(below, Measurement()) is None


def test_a_hallucination_is_asked_of_answers_that_were_checked() -> None:
    indicator = Indicator(
        name=measures.hallucinated("support@1"),
        title="",
        family="",
        counter=Hits(
            measures.hallucinated("support@1"), of=measures.grounding_checked("support@1")
        ),
    )
    for unsupported in (True, False):
        hits = hits_of("support@1", unsupported=unsupported)
        assert holds(indicator, Measurement(hits=hits)) is unsupported
    assert holds(indicator, Measurement()) is None


def test_a_duration_is_held_to_the_edge_of_its_own_stratum() -> None:
    edges = {"0/0/0/0": histogram.bucket_of(100.0), "5/0/0/0": histogram.bucket_of(300.0)}
    slow = Indicator(name="x", title="", family="f", counter=StratifiedTail("ms", edges, "above"))
    held = [
        holds(slow, Measurement(strata=(("ms", stratum, 200.0),)))
        for stratum in ("0/0/0/0", "5/0/0/0", "9/0/0/0")
    ]
    assert held == [True, False, None]
