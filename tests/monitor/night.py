"""A monitor's view as a busy night would leave it, with every state that a page must show."""

from __future__ import annotations

import msgspec
from tests.monitor.made_up import (
    MINUTE,
    NOW,
    ROUTE,
    alert,
    effect,
    ledger,
    progress,
    segment,
    segment_view,
    verdict,
    vitals,
)

from tidegauge.monitoring.ledger_hours import LedgerHour
from tidegauge.monitoring.trends import AlarmTrend, RatePoint, TopicSlot, TopicTrend
from tidegauge.monitoring.view import (
    BaselineInUse,
    MetricComparisonView,
    MonitorView,
    SegmentView,
    SilenceInForce,
    StateChange,
    VersionComparisonView,
)
from tidegauge.schemas.findings import Signal, State
from tidegauge.schemas.segments import Segment

HOUR = 60 * MINUTE


def night_view(
    texts: tuple[str, ...] = (
        "How do I report a lost card while travelling abroad?",
        "my card was swallowed by the machine, what now",
        "Freeze my card please 🥶 it is gone",
    ),
    *,
    title: str = "card, lost, stolen, freeze",
    who: tuple[str, ...] = ("acme", "globex"),
    sentence: str = "",
    missing: int = 0,
) -> MonitorView:
    """Two versions of one model, drift and quality alarming, and a quiet second model."""
    old, new, other = segment("v1"), segment("v2"), segment("2026-01", "summarise")
    both = Segment(model="support-chat", route=ROUTE)
    drifted = msgspec.structs.replace(
        verdict("drift.topics", "drift", State.WARN, both, 24.9),
        since_ms=NOW - 19 * MINUTE,
        sentence=sentence
        or f"People ask more about “{title}”: 23.3% of requests against 1.2% in the baseline.",
        effects=(
            effect("cluster/17", title, (0.012, 98, 0.71), texts, who),
            effect("novelty/above_0.99", "Unlike anything before", (0.01, 31, 0.22), (), who),
            effect("cluster/3", "balance, account, check", (0.21, 40, 0.05), texts[:1]),
        ),
    )
    worse = msgspec.structs.replace(
        verdict("quality.likelihood", "quality", State.CRITICAL, new, 31.0),
        since_ms=NOW - 13 * MINUTE,
        sentence="Answers are worse: 61% score below the baseline's 10th percentile of fluency.",
        effects=(effect("score/below_0.1", "Fluency below the baseline's P10", (0.1, 256, 0.9)),),
    )
    watched: tuple[tuple[str, Signal, float], ...] = (
        ("latency.total", "latency", 4.2),
        ("latency.first_token", "latency", 3.1),
        ("errors.rate", "errors", 1.0),
        ("cost.request", "cost", 6.6),
    )
    ok = [
        verdict(monitor, signal, State.OK, where, statistic)
        for where in (old, new)
        for monitor, signal, statistic in watched
    ]
    rest = [
        verdict("quality.likelihood", "quality", State.OK, old, 2.2),
        verdict("quality.rubric", "quality", State.UNQUALIFIED, old),
        verdict("quality.rubric", "quality", State.UNQUALIFIED, new),
        verdict("latency.total", "latency", State.LOW_DATA, other, 1.1),
        verdict("errors.rate", "errors", State.NO_BASELINE, other),
        verdict("cost.request", "cost", State.NO_DATA, other),
        verdict("pipeline.ledger", "pipeline", State.OK, Segment(model="")),
    ]
    swap = VersionComparisonView(
        old=old,
        new=new,
        since_ms=NOW - 22 * MINUTE,
        metrics=(
            MetricComparisonView(
                metric="latency",
                outcome="not worse",
                property="slower than the old version's P90",
                margin=0.03,
                old_rate=0.1,
                new_rate=0.094,
                low=-0.05,
                high=0.02,
                old_events=9_000,
                new_events=400,
                decided_ms=NOW - 9 * MINUTE,
            ),
            MetricComparisonView(
                metric="quality.likelihood",
                outcome="worse",
                property="fluency below the old version's P10",
                margin=0.03,
                old_rate=0.1,
                new_rate=0.61,
                low=0.31,
                high=0.66,
                old_events=900,
                new_events=120,
                decided_ms=NOW - 12 * MINUTE,
            ),
            MetricComparisonView(
                metric="errors",
                outcome="undecided",
                property="failed",
                margin=0.01,
                old_rate=None,
                new_rate=0.0,
                low=-0.2,
                high=0.2,
                old_events=0,
                new_events=400,
            ),
        ),
    )
    return MonitorView(
        time_ms=NOW,
        started_ms=NOW - 180 * MINUTE,
        window_ms=10_000,
        display_range_ms=15 * MINUTE,
        segments=(
            segment_view(old),
            segment_view(new, events=310, centre=0.2),
            SegmentView(
                segment=other,
                first_ms=NOW - 50 * MINUTE,
                last_ms=NOW - 40 * MINUTE,
                display_range={"vitals": vitals(other, 6)},
                total={"vitals": vitals(other, 6)},
            ),
        ),
        verdicts=(drifted, worse, *ok, *rest),
        history=(
            StateChange(
                monitor="drift.topics",
                signal="drift",
                segment=both,
                time_ms=NOW - 120 * MINUTE,
                before=None,
                after=State.OK,
                sentence="Enough requests to test.",
            ),
            StateChange(
                monitor="drift.topics",
                signal="drift",
                segment=both,
                time_ms=NOW - 17 * MINUTE,
                before=State.OK,
                after=State.WARN,
                sentence=drifted.sentence,
            ),
            StateChange(
                monitor="quality.likelihood",
                signal="quality",
                segment=new,
                time_ms=NOW - 11 * MINUTE,
                before=State.OK,
                after=State.CRITICAL,
                sentence=worse.sentence,
            ),
        ),
        alerts=(alert(drifted, "warn"), alert(worse, "critical", 11)),
        ledger=ledger(missing),
        progress=(
            progress("drift", 0),
            progress("drift", 1),
            progress("vitals", 0),
            progress("quality", 0, 64),
        ),
        version_comparisons=(swap,),
        baselines=(
            BaselineInUse(
                kind="drift",
                baseline_id="d3b07384d113edec49eaa6238ad5ff00",
                since_ms=NOW - 170 * MINUTE,
                monitors=("drift.topics",),
                segments=(both.key,),
            ),
        ),
        alarm_trends={
            "drift.topics-": AlarmTrend(
                indicator="cluster/17",
                slot_ms=MINUTE,
                points=tuple(
                    RatePoint(NOW - ago * MINUTE, 1 if ago > 19 else 5 + ago % 3, 25)
                    for ago in range(40, 0, -1)
                    if ago != 30
                ),
            )
        },
        topics={
            both.key: TopicTrend(
                baseline="d3b07384d113edec49eaa6238ad5ff00",
                titles={"cluster/17": title, "cluster/3": "balance, account, check"},
                slots=tuple(
                    TopicSlot(
                        NOW // HOUR * HOUR - ago * HOUR,
                        400,
                        {"cluster/17": 5 + ago % 3 if ago else 93, "cluster/3": 80 + ago % 7},
                    )
                    for ago in range(40, -1, -1)
                ),
            )
        },
        ledger_hours=(
            LedgerHour(
                start_ms=NOW - 200 * MINUTE,
                end_ms=NOW - 60 * MINUTE,
                served=9_100,
                captured=9_096,
                dropped={"quota": 4},
                processed={"drift": 9_050, "vitals": 9_060, "quality": 0},
                dead_lettered=2,
                expired=0,
                missing=0,
                away_ms=80 * MINUTE,
            ),
            LedgerHour(
                start_ms=NOW - 60 * MINUTE,
                end_ms=NOW,
                served=3_245,
                captured=3_245,
                dropped={"quota": 0},
                processed={"drift": 3_250, "vitals": 3_240, "quality": 3_200},
                dead_lettered=0,
                expired=0,
                missing=0,
            ),
        ),
        silences=(
            SilenceInForce(
                monitor="cost.request",
                segment=new.key,
                until_ms=NOW + 60 * MINUTE,
                who="ada",
                note="price change",
            ),
        ),
    )
