"""Sketches, verdicts and accounts such as a monitor collects, made up."""

from __future__ import annotations

import math
import random

from tidegauge.monitoring.ledger import CaptureAccount, DeliveryAccount, JudgeAccount, Ledger
from tidegauge.monitoring.trends import TrendPoint
from tidegauge.monitoring.view import MonitorView, SegmentView
from tidegauge.schemas import measures
from tidegauge.schemas.findings import (
    Alert,
    Callers,
    CallerShare,
    Effect,
    Severity,
    Signal,
    State,
    Verdict,
)
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import (
    Exemplar,
    JudgeCondition,
    JudgeState,
    Progress,
    Sketch,
    SketchKind,
    SourceRange,
    Tally,
)
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import moments_of

NOW = 1_700_000_000_000
MINUTE = 60_000
ROUTE = "/v1/chat/completions"
LIKELIHOOD = "likelihood@9f86d081"
RUBRIC = "rubric@60303ae2"


class Watch:
    """Shows the view that it is given."""

    def __init__(self, view: MonitorView | None) -> None:
        self.shown = view
        self.running = True

    def view(self) -> MonitorView | None:
        return self.shown

    def ready(self) -> bool:
        return self.shown is not None

    def alive(self) -> bool:
        return self.running


def segment(version: str = "v1", model: str = "support-chat") -> Segment:
    return Segment(model=model, version=version, route=ROUTE)


def vitals(where: Segment, events: int = 400, seed: int = 1) -> Sketch:
    rng = random.Random(seed)  # noqa: S311 - made-up latencies
    values = {
        measures.LATENCY_MS: [rng.lognormvariate(6.6, 0.5) for _ in range(events)],
        measures.TIME_TO_FIRST_TOKEN_MS: [rng.lognormvariate(4.4, 0.4) for _ in range(events)],
        measures.INTER_TOKEN_MEAN_MS: [rng.lognormvariate(2.7, 0.2) for _ in range(events)],
        measures.INTER_TOKEN_P95_MS: [rng.lognormvariate(3.2, 0.2) for _ in range(events)],
        measures.COST_USD: [rng.lognormvariate(-9.5, 0.4) for _ in range(events)],
        measures.INPUT_TOKENS: [float(rng.randint(12, 60)) for _ in range(events)],
        measures.OUTPUT_TOKENS: [float(rng.randint(8, 90)) for _ in range(events)],
    }
    failed = events // 80
    customers = {"acme": events // 2, "globex": events // 3, "initech": events // 6}
    return Sketch(
        kind="vitals",
        producer_id="vitals/responses.v1-0",
        sequence=7,
        segment=where,
        window_start_ms=NOW - 15 * MINUTE,
        window_ms=15 * MINUTE,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=events),
        events=events,
        hits={
            measures.ERROR: failed,
            measures.failed("refusal"): events // 44,
            measures.failed("truncation"): events // 130,
        },
        trials={
            measures.ERROR: events,
            measures.failed("refusal"): events - failed,
            measures.failed("truncation"): events - failed,
            measures.failed("json_schema"): events // 10,
        },
        moments={name: moments_of(found) for name, found in values.items()},
        histograms={
            name: histogram.add(histogram.empty(), found) for name, found in values.items()
        },
        totals={
            measures.REQUESTS_BY_CUSTOMER: customers,
            measures.COST_NANOUSD_BY_CUSTOMER: {k: v * 80_000 for k, v in customers.items()},
            measures.INPUT_TOKENS_BY_CUSTOMER: {k: v * 36 for k, v in customers.items()},
            measures.OUTPUT_TOKENS_BY_CUSTOMER: {k: v * 49 for k, v in customers.items()},
            measures.ERRORS_BY_KIND: {
                "upstream_timeout": 3,
                "rate_limited": 6,
                "upstream_error": 2,
            },
        },
    )


SUPPORT = measures.judge_label("support", "0123456789")
"""What holds answers against their context."""


def quality(where: Segment, judged: int = 120, centre: float = 0.7) -> Sketch:
    rng = random.Random(3)  # noqa: S311 - made-up scores
    weights = [1 / rng.choice([0.2, 0.4]) for _ in range(judged)]
    found = {}
    for label, name, mean in (
        (LIKELIHOOD, "fluency", centre - 2.5),
        (LIKELIHOOD, "relevance", centre),
        (RUBRIC, "helpfulness", 0.55),
    ):
        scores = [rng.gauss(mean, 0.2) for _ in range(judged)]
        found[measures.weight(label)] = moments_of(weights)
        found[measures.weighted(label, name)] = moments_of(
            w * y for w, y in zip(weights, scores, strict=True)
        )
        found[measures.cross(label, name)] = moments_of(
            w * w * y for w, y in zip(weights, scores, strict=True)
        )
        found[measures.score(label, name)] = moments_of(scores)
        found[measures.answer_tokens(label)] = moments_of([41.0] * judged)
    found[measures.disagreement(RUBRIC)] = moments_of([0.25] * 12)
    return Sketch(
        kind="quality",
        producer_id="judge/responses.v1-0",
        sequence=5,
        segment=where,
        window_start_ms=NOW - 15 * MINUTE,
        window_ms=15 * MINUTE,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=9),
        events=judged,
        hits={
            measures.invalid(RUBRIC): 31,
            measures.unqualified(RUBRIC): judged,
            measures.grounding_checked(SUPPORT): 40,
            measures.hallucinated(SUPPORT): 4,
        },
        totals={measures.CONTEXT: {"given": 40, "none": 75, "cut": 5}},
        trials={
            measures.invalid(RUBRIC): judged,
            measures.invalid(LIKELIHOOD): judged,
            measures.unqualified(RUBRIC): judged,
            measures.unqualified(LIKELIHOOD): judged,
        },
        moments=found,
    )


def callers(who: tuple[str, ...], showing: int = 40) -> Callers:
    """Let the first send most of the sampled requests that show something, and few others."""
    first, *rest = who
    return Callers(
        hits=showing,
        trials=200,
        shares=(
            CallerShare(customer=first, hits=showing - 2 * len(rest), trials=showing, apart=True),
            *(CallerShare(customer=one, hits=1, trials=20, apart=False) for one in rest),
        ),
    )


def effect(
    indicator: str,
    title: str,
    numbers: tuple[float, int, float],
    texts: tuple[str, ...] = (),
    who: tuple[str, ...] = (),
) -> Effect:
    before, hits, share = numbers
    return Effect(
        indicator=indicator,
        title=title,
        baseline_rate=before,
        low=before * 0.6,
        high=before * 1.6 + 0.005,
        hits=hits,
        trials=420,
        rate_low=max(0.0, hits / 420 - 0.03),
        rate_high=hits / 420 + 0.03,
        share=share,
        exemplars=tuple(
            Exemplar(
                request_id=f"r{number}",
                rank=number / 10,
                text=text,
                customer=("acme", "globex")[number % 2],
            )
            for number, text in enumerate(texts)
        ),
        callers=callers(who) if who else None,
    )


def verdict(
    monitor: str, signal: Signal, state: State, where: Segment, statistic: float | None = None
) -> Verdict:
    tested = statistic is not None
    return Verdict(
        monitor=monitor,
        signal=signal,
        segment=where,
        time_ms=NOW - 30_000,
        state=state,
        sentence=f"{monitor} says {state.value}.",
        log_statistic=statistic,
        log_threshold=17.2 if tested else None,
        mean_seconds_to_false_alarm=math.exp(17.2) if tested else None,
        events=37,
        baseline="d3b07384d113edec" if tested else "",
    )


def alert(found: Verdict, severity: Severity, minutes: int = 17) -> Alert:
    return Alert(
        alert_id=f"{found.monitor}-{found.segment.version}",
        monitor=found.monitor,
        signal=found.signal,
        segment=found.segment,
        severity=severity,
        status="firing",
        starts_ms=NOW - minutes * MINUTE,
        time_ms=NOW - minutes * MINUTE,
        onset_ms=found.since_ms,
        summary=found.sentence,
        verdict=found,
    )


def segment_view(where: Segment, *, events: int = 400, centre: float = 0.7) -> SegmentView:
    rng = random.Random(events)  # noqa: S311 - made-up trend
    trend = tuple(
        TrendPoint(
            time_ms=NOW - (15 - number) * MINUTE,
            duration_ms=MINUTE,
            requests=events // 15,
            errors=rng.choice([0, 0, 0, 1]),
            latency_p50_ms=650 + 60 * rng.random(),
            latency_p95_ms=1_500 + 500 * rng.random(),
            first_token_p95_ms=140 + 30 * rng.random(),
            cost_usd=0.002 + 0.0004 * rng.random(),
            scores={f"{LIKELIHOOD}/relevance": centre + 0.05 * rng.random()},
        )
        if number != 6
        else TrendPoint(time_ms=NOW - 9 * MINUTE, duration_ms=MINUTE, requests=0, errors=0)
        for number in range(15)
    )
    total = vitals(where, events * 3)
    return SegmentView(
        segment=where,
        first_ms=NOW - 180 * MINUTE,
        last_ms=NOW - 20_000,
        display_range={"vitals": vitals(where, events), "quality": quality(where, centre=centre)},
        total={"vitals": total, "quality": quality(where, centre=centre)},
        trend=trend,
        history=(hour(events, rng, centre), (), ()),
    )


def hour(events: int, rng: random.Random, centre: float) -> tuple[TrendPoint, ...]:
    """Return an hour in slots of five minutes, whose last quarter is slower."""
    return tuple(
        TrendPoint(
            time_ms=NOW - (12 - number) * 5 * MINUTE,
            duration_ms=5 * MINUTE,
            requests=events // 3,
            errors=rng.choice([0, 1, 2]),
            latency_p50_ms=640 + 60 * rng.random(),
            latency_p95_ms=(1_500 if number < 9 else 2_400) + 200 * rng.random(),
            first_token_p95_ms=140 + 30 * rng.random(),
            cost_usd=0.01 + 0.002 * rng.random(),
            scores={f"{LIKELIHOOD}/relevance": centre + 0.05 * rng.random()},
        )
        for number in range(12)
        if number != 4
    )


def ledger(missing: int = 0) -> Ledger:
    kinds: tuple[tuple[str, SketchKind], ...] = (
        ("requests.v1", "drift"),
        ("responses.v1", "vitals"),
        ("responses.v1", "quality"),
    )
    return Ledger(
        captures=(
            CaptureAccount(
                producer_id="gateway-7c9e-1",
                time_ms=NOW - 2_000,
                served=12_345,
                captured=12_341,
                dropped={"quota": 4},
                unaccounted=0,
                final=False,
                refused=1_771,
            ),
        ),
        deliveries=tuple(
            DeliveryAccount(
                topic=topic,
                kind=kind,
                captured=12_341,
                shipped=12_340,
                processed=12_300 - missing,
                dead_lettered=2,
                repeated=1,
                unannounced=0,
                missing=missing,
            )
            for topic, kind in kinds
        ),
        judging=JudgeAccount(sampled=1_230, judged=1_200, skipped={"overload": 25, "empty": 5}),
    )


def progress(kind: SketchKind, partition: int, behind_seconds: int = 31) -> Progress:
    return Progress(
        kind=kind,
        producer_id=f"{kind}/topic-{partition}",
        sequence=90,
        time_ms=NOW - 4_000,
        topic="requests.v1" if kind == "drift" else "responses.v1",
        partition=partition,
        next_offset=3_080 + partition,
        watermark_ms=NOW - behind_seconds * 1_000,
        tallies={"gateway-7c9e-1": Tally(processed=3_080)},
        notices=("unqualified:rubric",) if kind == "quality" else (),
        judges=(JudgeCondition(judge="rubric", state=JudgeState.UNQUALIFIED),)
        if kind == "quality"
        else (),
    )
