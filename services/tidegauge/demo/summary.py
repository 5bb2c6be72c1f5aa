"""What the pipeline says of the demonstration, as facts: from the monitor's view alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from tidegauge.demo.promises import Milestones, Promise, promises
from tidegauge.reports import vitals
from tidegauge.reports.drift_card import effect_line
from tidegauge.reports.quality import Estimator, quality
from tidegauge.reports.standing import ALARMS
from tidegauge.schemas import measures
from tidegauge.schemas.findings import Effect, Signal, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.stream import histogram
from tidegauge.stream.merging import merge_all
from tidegauge.verdicts.view import MonitorView, SwapView

__all__ = [
    "CustomerFacts",
    "Evidence",
    "Finding",
    "JudgeFacts",
    "LedgerFacts",
    "Quantiles",
    "Summary",
    "VitalFacts",
    "summarise",
]

_EVERYTHING = Segment(model="*")


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles of some milliseconds, None of no numbers."""

    n: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class CustomerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one customer asked and cost."""

    name: str
    requests: int
    usd: float
    input_tokens: int
    output_tokens: int


class VitalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Latency, lengths, errors and cost of some answers.

    Attributes:
        requests: Responses, failures included.
        latency_ms: Of complete answers.
        time_to_first_token_ms: Of streamed answers.
        median_prompt_characters: None without prompts.
        median_response_characters: None without answers.
        service_failures: Failures that were not the client's fault.
        errors_by_kind: Every error, the clients' own included.
        failed_checks: Check -> (failed, checked), refusals among them.
        usd: Cost of all priced answers.
        requests_per_usd: Priced answers for a dollar.
        customers: The most expensive first.
    """

    requests: int
    latency_ms: Quantiles
    time_to_first_token_ms: Quantiles
    median_prompt_characters: float | None
    median_response_characters: float | None
    service_failures: int
    errors_by_kind: dict[str, int]
    failed_checks: dict[str, tuple[int, int]]
    usd: float | None
    requests_per_usd: float | None
    customers: tuple[CustomerFacts, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator that drove a verdict, with requests that show it.

    Attributes:
        title: For people.
        indicator: Its name.
        baseline_rate: The rate in the baseline.
        low: Lower edge of what the baseline allows.
        high: Upper edge.
        current_low: Lower end of the 95% interval of the rate since the change.
        current_high: Upper end.
        hits: Events for which it held, since the change.
        trials: Events looked at.
        share: Part of the evidence, in [0, 1].
        examples: Texts of requests that show it.
    """

    title: str
    indicator: str
    baseline_rate: float
    low: float
    high: float
    current_low: float
    current_high: float
    hits: int
    trials: int
    share: float
    examples: tuple[str, ...]

    @property
    def beyond(self) -> bool:
        """Whether the current interval lies outside of what the baseline allows."""
        return self.current_low > self.high or self.current_high < self.low


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict of a signal, with what drove it."""

    monitor: str
    segment: str
    state: str
    time_ms: int
    since_ms: int | None
    sentence: str
    evidence: tuple[Evidence, ...]


class JudgeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One of a judge's scores over all answers.

    Attributes:
        judge: Its name.
        score: The score's name.
        mean: Estimate over all answers, judged or not.
        low: Lower end of the 95% interval, None where there is none.
        high: Upper end.
        early: Whether the interval holds for a single look only, for want of answers.
        judged: Answers scored.
        judged_share: Of all answers.
        invalid: Answers on which the judge gave no usable verdict.
        qualified: Whether it may alarm.
    """

    judge: str
    score: str
    mean: float | None
    low: float | None
    high: float | None
    early: bool
    judged: int
    judged_share: float | None
    invalid: int
    qualified: bool | None


class LedgerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The account of events.

    Attributes:
        balanced: Whether every line adds up.
        in_flight: Events still on their way.
        served: Requests answered.
        captured: Response events in the outbox.
        dropped: Response events that could not be captured.
        processed: Kind of worker -> events taken into account.
        dead_lettered: Kind of worker -> events put aside with a reason.
        missing: Kind of worker -> events that should have arrived.
        sampled: Answers drawn for the judges.
        judged: Of these, judged.
        skipped: Of these, skipped, by reason.
    """

    balanced: bool
    in_flight: int
    served: int
    captured: int
    dropped: int
    processed: dict[str, int]
    dead_lettered: dict[str, int]
    missing: dict[str, int]
    sampled: int
    judged: int
    skipped: dict[str, int]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the demonstration has to say.

    Attributes:
        milestones: When the story's turns came, Unix milliseconds.
        promises: What the demonstration promised, and whether it was kept.
        all_kept: Whether all of them were.
        vitals: Over all traffic.
        vitals_by_version: The same for each version of the model.
        drift: Verdicts on the topics, alarms first.
        quality: Verdicts on the answers, alarms first.
        swaps: The new version against the old one, on each route.
        judges: Scores of each judge.
        ledger: The account of events.
        page: Address of the page.
        report: Address of the HTML report.
        report_file: The same report as a file, which stays when the page is gone.
        seconds_to_first_verdict: From the command to the first verdict.
        seconds: From the command to this summary.
    """

    milestones: Milestones
    promises: tuple[Promise, ...]
    all_kept: bool
    vitals: VitalFacts
    vitals_by_version: dict[str, VitalFacts]
    drift: tuple[Finding, ...]
    quality: tuple[Finding, ...]
    swaps: tuple[SwapView, ...]
    judges: tuple[JudgeFacts, ...]
    ledger: LedgerFacts
    page: str
    report: str | None
    report_file: str | None
    seconds_to_first_verdict: float | None
    seconds: float


def summarise(  # noqa: PLR0913 - the view, and what only the story knows
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
    versions = _by_version(view)
    return Summary(
        milestones=milestones,
        promises=kept,
        all_kept=all(promise.kept for promise in kept),
        vitals=_vital_facts(whole),
        vitals_by_version={name: _vital_facts(sketch) for name, sketch in versions.items()},
        drift=_findings(view.verdicts, "drift"),
        quality=_findings(view.verdicts, "quality"),
        swaps=view.swaps,
        judges=_judge_facts(_merged(view, "quality"), _answers(whole), estimator),
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


def _by_version(view: MonitorView) -> Mapping[str, Sketch]:
    groups: defaultdict[str, list[Sketch]] = defaultdict(list)
    for part in view.segments:
        if part.segment.version and "vitals" in part.total:
            groups[part.segment.version].append(part.total["vitals"])
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


def _evidence(effect: Effect) -> Evidence:
    line = effect_line(effect)
    return Evidence(
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
        for score in judge.scores
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
