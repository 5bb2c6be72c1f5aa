"""What the pipeline says of the demonstration, as facts: from the monitor's view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from tidegauge.demo.facts import (
    CustomerFacts,
    EvidenceFacts,
    Finding,
    HallucinationFacts,
    JudgeFacts,
    LedgerFacts,
    Quantiles,
    Summary,
    VitalFacts,
)
from tidegauge.demo.promises import Milestones, promises
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports import vitals
from tidegauge.reports.drift_card import effect_line
from tidegauge.reports.hallucination_rate import context_counts, hallucinations
from tidegauge.reports.quality import Estimate, Estimator, ScoreSummary, quality
from tidegauge.reports.standing import ALARMS
from tidegauge.schemas import measures
from tidegauge.schemas.findings import Effect, Signal, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import merge_all

__all__ = ["summarise"]

_EVERYTHING = Segment(model="*")


def summarise(  # noqa: PLR0913 - the view, and what only the demo knows
    view: MonitorView,
    milestones: Milestones,
    *,
    estimator: Estimator,
    page: str,
    report: str | None,
    report_file: str | None,
    seconds_to_first_verdict: float | None,
    seconds: float,
) -> Summary:
    """Draw the summary up from the monitor's view."""
    kept = promises(view, milestones)
    whole = _merged(view, "vitals")
    versions = _by_version(view, "vitals")
    return Summary(
        milestones=milestones,
        promises=kept,
        all_kept=all(promise.kept for promise in kept),
        vitals=_vital_facts(whole),
        vitals_by_version={name: _vital_facts(sketch) for name, sketch in versions.items()},
        drift=_findings(view.verdicts, "drift"),
        quality=_findings(view.verdicts, "quality"),
        version_comparisons=view.version_comparisons,
        judges=_judge_facts(_merged(view, "quality"), _answers(whole), estimator),
        hallucination=tuple(_hallucination_facts(view)),
        ledger=_ledger_facts(view),
        page=page,
        report=report,
        report_file=report_file,
        seconds_to_first_verdict=seconds_to_first_verdict,
        seconds=seconds,
    )


def _everywhere(sketches: Iterable[Sketch]) -> Sketch | None:
    """Add sketches up over segments."""
    return merge_all(msgspec.structs.replace(sketch, segment=_EVERYTHING) for sketch in sketches)


def _merged(view: MonitorView, kind: SketchKind) -> Sketch | None:
    return _everywhere(part.total[kind] for part in view.segments if kind in part.total)


def _by_version(view: MonitorView, kind: SketchKind) -> Mapping[str, Sketch]:
    groups: defaultdict[str, list[Sketch]] = defaultdict(list)
    for part in view.segments:
        if part.segment.version and kind in part.total:
            groups[part.segment.version].append(part.total[kind])
    merged = {version: _everywhere(sketches) for version, sketches in sorted(groups.items())}
    return {version: sketch for version, sketch in merged.items() if sketch is not None}


def _vital_facts(sketch: Sketch | None) -> VitalFacts:
    if sketch is None:
        return VitalFacts(
            requests=0,
            latency_ms=Quantiles(),
            time_to_first_token_ms=Quantiles(),
            median_prompt_characters=None,
            median_response_characters=None,
            service_failures=0,
            errors_by_kind={},
            failed_checks={},
            usd=None,
            requests_per_usd=None,
            customers=(),
        )
    times = {
        timing.name: Quantiles(n=timing.n, p50=timing.p50, p95=timing.p95, p99=timing.p99)
        for timing in vitals.timings(sketch)
    }
    errors, cost = vitals.errors(sketch), vitals.cost(sketch)
    return VitalFacts(
        requests=sketch.events,
        latency_ms=times[measures.LATENCY_MS],
        time_to_first_token_ms=times.get(measures.TIME_TO_FIRST_TOKEN_MS, Quantiles()),
        median_prompt_characters=_median(sketch, measures.PROMPT_CHARACTERS),
        median_response_characters=_median(sketch, measures.OUTPUT_CHARACTERS),
        service_failures=errors.failed,
        errors_by_kind={kind.name: kind.count for kind in errors.kinds},
        failed_checks={check.name: (check.failed, check.checked) for check in errors.checks},
        usd=cost.usd,
        requests_per_usd=cost.requests_per_usd,
        customers=tuple(
            CustomerFacts(
                name=line.name,
                requests=line.requests,
                usd=line.usd,
                input_tokens=line.input_tokens,
                output_tokens=line.output_tokens,
            )
            for line in cost.customers
        ),
    )


def _median(sketch: Sketch, name: str) -> float | None:
    found = sketch.histograms.get(name)
    return histogram.quantile(found, 0.5) if found else None


def _answers(sketch: Sketch | None) -> int | None:
    found = sketch.moments.get(measures.LATENCY_MS) if sketch else None
    return found.n if found else None


def _findings(verdicts: Iterable[Verdict], signal: Signal) -> tuple[Finding, ...]:
    chosen = [verdict for verdict in verdicts if verdict.signal == signal]
    chosen.sort(key=lambda verdict: (verdict.state not in ALARMS, -(verdict.log_statistic or 0.0)))
    return tuple(
        Finding(
            monitor=verdict.monitor,
            segment=verdict.segment.key,
            state=verdict.state.value,
            time_ms=verdict.time_ms,
            since_ms=verdict.since_ms,
            sentence=verdict.sentence,
            evidence=tuple(map(_evidence, verdict.effects)),
        )
        for verdict in chosen
    )


def _evidence(effect: Effect) -> EvidenceFacts:
    line = effect_line(effect)
    return EvidenceFacts(
        title=line.title,
        indicator=line.indicator,
        baseline_rate=line.baseline,
        low=line.low,
        high=line.high,
        current_low=line.current_low,
        current_high=line.current_high,
        hits=line.hits,
        trials=line.trials,
        share=line.share,
        examples=tuple(quote.text for quote in line.quotes),
    )


_NO_SCORE: Final = ScoreSummary("", Estimate(mean=None, low=None, high=None, effective=0.0))
"""Of a judge that gave no usable verdict."""


def _judge_facts(
    sketch: Sketch | None, answers: int | None, estimator: Estimator
) -> tuple[JudgeFacts, ...]:
    if sketch is None:
        return ()
    return tuple(
        JudgeFacts(
            judge=judge.name,
            score=score.name,
            mean=score.estimate.mean,
            low=score.estimate.low,
            high=score.estimate.high,
            early=score.estimate.early,
            judged=judge.judged,
            judged_share=judge.share,
            invalid=judge.invalid,
            qualified=judge.qualified,
        )
        for judge in quality(sketch, answers, estimator)
        for score in judge.scores or (_NO_SCORE,)
    )


def _hallucination_facts(view: MonitorView) -> Iterator[HallucinationFacts]:
    for version, sketch in _by_version(view, "quality").items():
        counts = context_counts(sketch)
        if counts is None:
            continue
        for found in hallucinations(sketch):
            yield HallucinationFacts(
                version=version,
                with_context=counts.with_context,
                without_context=counts.without_context,
                not_measured=counts.not_measured,
                context_share=counts.share,
                unsupported=found.unsupported,
                rate=found.rate,
                low=found.low,
                high=found.high,
                qualified=found.qualified,
            )


def _ledger_facts(view: MonitorView) -> LedgerFacts:
    ledger = view.ledger
    return LedgerFacts(
        balanced=ledger.balanced,
        in_flight=ledger.in_flight,
        served=sum(line.served for line in ledger.captures),
        captured=sum(line.captured for line in ledger.captures),
        dropped=sum(sum(line.dropped.values()) for line in ledger.captures),
        processed={line.kind: line.processed for line in ledger.deliveries},
        dead_lettered={line.kind: line.dead_lettered for line in ledger.deliveries},
        missing={line.kind: line.missing for line in ledger.deliveries},
        sampled=ledger.judging.sampled,
        judged=ledger.judging.judged,
        skipped=dict(ledger.judging.skipped),
    )
