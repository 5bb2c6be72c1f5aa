"""Every metric of the monitor, computed from its view at the moment of a scrape.

Labels are bounded: segments by ``metric_segments`` (the busiest are kept), customers by
``MAX_CUSTOMERS``, the rest by closed sets or by configuration. No client's text is a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegauge.monitoring.health import judge_conditions
from tidegauge.monitoring.view import MonitorView, SegmentView
from tidegauge.reports.hallucination_rate import hallucinations
from tidegauge.reports.quality import Estimator, quality
from tidegauge.reports.text import clip, plain
from tidegauge.reports.vitals import REST, cost, errors, timings
from tidegauge.schemas import measures
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram

__all__ = ["MAX_CUSTOMERS", "NAMES", "ViewCollector"]

_SEGMENT: Final = ("model", "version", "route", "customer")

# name -> (help, labels). Times are seconds, money is US dollars, shares are ratios.
NAMES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    # Traffic, since the monitor's state began.
    "tidegauge_requests_total": ("Responses of a segment.", _SEGMENT),
    "tidegauge_errors_total": ("Errors by kind, the clients' own included.", (*_SEGMENT, "kind")),
    "tidegauge_failed_requests_total": ("Requests that the service failed.", _SEGMENT),
    "tidegauge_checks_total": ("Answers that a check looked at.", (*_SEGMENT, "check")),
    "tidegauge_check_failures_total": ("Answers that failed a check.", (*_SEGMENT, "check")),
    "tidegauge_tokens_total": ("Tokens, direction input or output.", (*_SEGMENT, "direction")),
    "tidegauge_cost_usd_total": ("Cost of a segment's answers.", _SEGMENT),
    "tidegauge_customer_cost_usd_total": ("Cost by customer, all segments.", ("customer",)),
    "tidegauge_customer_requests_total": ("Requests by customer, all segments.", ("customer",)),
    # Over the display range.
    "tidegauge_latency_seconds": ("Quantiles of the latency.", (*_SEGMENT, "quantile")),
    "tidegauge_time_to_first_token_seconds": (
        "Quantiles of the time to first token.",
        (*_SEGMENT, "quantile"),
    ),
    "tidegauge_inter_token_seconds": (
        "Quantiles of an answer's mean time between tokens.",
        (*_SEGMENT, "quantile"),
    ),
    "tidegauge_error_ratio": ("Share of requests that the service failed.", _SEGMENT),
    "tidegauge_requests_per_usd": ("Requests answered for a dollar.", _SEGMENT),
    "tidegauge_quality_score": (
        "A judge's score over all answers; bound is mean, low or high (95%).",
        (*_SEGMENT, "judge", "score", "bound"),
    ),
    "tidegauge_judged_ratio": ("Share of answers that a judge scored.", (*_SEGMENT, "judge")),
    "tidegauge_hallucination_ratio": (
        "Share of answers with facts that their context lacks; bound is rate, low or high (95%).",
        (*_SEGMENT, "judge", "bound"),
    ),
    "tidegauge_hallucination_checked": (
        "Answers held against their context.",
        (*_SEGMENT, "judge"),
    ),
    "tidegauge_context_answers": (
        "Answers by what is known of their context, such as given, none, cut or redacted.",
        (*_SEGMENT, "context"),
    ),
    "tidegauge_jury_disagreement": (
        "Mean largest difference between the scores of a judge and its jury.",
        (*_SEGMENT, "judge"),
    ),
    "tidegauge_judge_qualified": ("1 if a judge may alarm, else 0.", (*_SEGMENT, "judge")),
    # Verdicts.
    "tidegauge_monitor_state": (
        "1 for the state that a monitor is in; other states are absent.",
        (*_SEGMENT, "monitor", "signal", "state"),
    ),
    "tidegauge_monitor_evidence_ratio": (
        "Log of a monitor's evidence over log of its threshold: 1 and more is an alarm.",
        (*_SEGMENT, "monitor", "signal"),
    ),
    "tidegauge_monitor_rate_ratio": (
        "Rate of a monitor's leading indicator; bound is now, or low or high of the baseline.",
        (*_SEGMENT, "monitor", "signal", "bound"),
    ),
    "tidegauge_alert_onset_timestamp_seconds": (
        "When the change behind an alarm that fires began, Unix time.",
        (*_SEGMENT, "monitor", "signal", "severity"),
    ),
    "tidegauge_alerts_firing": ("Alarms that fire now.", ("signal", "severity")),
    "tidegauge_swap_outcome": (
        "1 for the outcome of a new version's comparison with the one before.",
        (*_SEGMENT, "measure", "outcome"),
    ),
    # Accounting.
    "tidegauge_ledger_balanced": ("1 if every event is accounted for, else 0.", ()),
    "tidegauge_ledger_served": ("Requests served, by all gateways known.", ()),
    "tidegauge_ledger_dropped": ("Events not captured, by all gateways known.", ("reason",)),
    "tidegauge_ledger_events": (
        "Events of a topic as one kind of worker met them, by what became of them.",
        ("topic", "worker", "fate"),
    ),
    "tidegauge_judging_events": (
        "Answers drawn for judging, by what became of them.",
        ("fate", "reason"),
    ),
    "tidegauge_judge_stopped": (
        "Judges that give no scores, or none that count: 1 for the state that they are in.",
        ("judge", "state"),
    ),
    # The pipeline itself.
    "tidegauge_worker_watermark_age_seconds": (
        "How far a worker's watermark lies behind the monitor's clock.",
        ("worker", "topic", "partition"),
    ),
    "tidegauge_worker_silence_seconds": (
        "How long ago a worker reported.",
        ("worker", "topic", "partition"),
    ),
    "tidegauge_worker_next_offset": (
        "First record that a worker has not accounted for.",
        ("worker", "topic", "partition"),
    ),
    "tidegauge_view_age_seconds": ("How old the monitor's own view is.", ()),
    "tidegauge_baseline_info": ("1 for each baseline in force.", ("kind", "baseline")),
    "tidegauge_false_alarm_days": ("The promise: mean days to a false alarm, at least.", ()),
    "tidegauge_segments": ("Segments seen.", ()),
    "tidegauge_segments_omitted": ("Segments without metrics of their own.", ()),
}

MAX_CUSTOMERS: Final = 50
_LABEL_LIMIT: Final = 100
_CONTEXT_LIMIT: Final = 20
_QUANTILES: Final = ((0.5, "0.5"), (0.95, "0.95"), (0.99, "0.99"))
_TIMES: Final = {
    measures.LATENCY_MS: "tidegauge_latency_seconds",
    measures.TIME_TO_FIRST_TOKEN_MS: "tidegauge_time_to_first_token_seconds",
    measures.INTER_TOKEN_MEAN_MS: "tidegauge_inter_token_seconds",
}


def _labels(segment: Segment) -> tuple[str, ...]:
    values = (segment.model, segment.version, segment.route, segment.customer)
    return tuple(_label(value) for value in values)


def _label(name: str) -> str:
    """Return a name as a label: on one line, bounded, and different for different names.

    Example:
        >>> _label("gpt 4"), _label("gpt  4") == _label("gpt 4")
        ('gpt 4', False)
    """
    shown = clip(name, _LABEL_LIMIT)
    if shown == name:
        return name
    mark = blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{plain(name[:_LABEL_LIMIT])} #{mark}"


class _Families:
    """The families of one scrape, filled by name and yielded in order."""

    def __init__(self) -> None:
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for name, (text, labels) in NAMES.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            self._families[name] = kind(name, text, labels=labels)

    def put(self, name: str, value: float | None, *labels: str) -> None:
        if value is not None:
            self._families[name].add_metric(labels, value)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())


class ViewCollector(Collector):
    """Computes the metrics when Prometheus asks.

    Args:
        view: Returns the present view, None before there is one.
        now_ms: The clock.
        estimator: Computes the judges' means.
        false_alarm_days: The promise.
        segments: Segments with metrics of their own.
    """

    def __init__(
        self,
        view: Callable[[], MonitorView | None],
        now_ms: Callable[[], int],
        estimator: Estimator,
        *,
        false_alarm_days: float,
        segments: int,
    ) -> None:
        self._view = view
        self._now_ms = now_ms
        self._estimator = estimator
        self._days = false_alarm_days
        self._segments = segments

    def collect(self) -> Iterator[Metric]:
        """Return one family for each name that has a sample, and all that have none."""
        families = _Families()
        families.put("tidegauge_false_alarm_days", self._days)
        view = self._view()
        if view is not None:
            self._fill(families, view)
        yield from families

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registering needs no view."""
        return iter(())

    def _fill(self, families: _Families, view: MonitorView) -> None:
        now_ms = self._now_ms()
        busiest = sorted(view.segments, key=lambda item: (-_requests(item), item.segment))
        kept = busiest[: self._segments]
        for item in kept:
            _traffic(families, item)
            _display_range(families, item)
            self._quality(families, item)
        named = {item.segment for item in kept}
        _customers(families, view)
        _verdicts(families, view, named)
        _ledger(families, view)
        _workers(families, view, now_ms)
        families.put("tidegauge_view_age_seconds", max(0, now_ms - view.time_ms) / 1000)
        families.put("tidegauge_segments", len(view.segments))
        families.put("tidegauge_segments_omitted", len(view.segments) - len(kept))
        for baseline in view.baselines:
            families.put(
                "tidegauge_baseline_info", 1, baseline.kind, clip(baseline.baseline_id, 64)
            )

    def _quality(self, families: _Families, item: SegmentView) -> None:
        found, vitals = item.display_range.get("quality"), item.display_range.get("vitals")
        if found is None:
            return
        labels = _labels(item.segment)
        _hallucination(families, found, labels)
        for judge in quality(found, vitals.events if vitals else None, self._estimator):
            families.put("tidegauge_judged_ratio", judge.share, *labels, judge.label)
            if judge.disagreement is not None:
                families.put(
                    "tidegauge_jury_disagreement", judge.disagreement, *labels, judge.label
                )
            if judge.qualified is not None:
                families.put("tidegauge_judge_qualified", judge.qualified, *labels, judge.label)
            for score in judge.scores:
                bounds = (
                    ("mean", score.estimate.mean),
                    ("low", score.estimate.low),
                    ("high", score.estimate.high),
                )
                for bound, value in bounds:
                    families.put(
                        "tidegauge_quality_score", value, *labels, judge.label, score.name, bound
                    )


def _hallucination(families: _Families, found: Sketch, labels: Sequence[str]) -> None:
    for rate in hallucinations(found):
        bounds = (("rate", rate.rate), ("low", rate.low), ("high", rate.high))
        for bound, value in bounds:
            families.put("tidegauge_hallucination_ratio", value, *labels, rate.label, bound)
        families.put("tidegauge_hallucination_checked", rate.checked, *labels, rate.label)
        families.put("tidegauge_judge_qualified", rate.qualified, *labels, rate.label)
    for context, answers in found.totals.get(measures.CONTEXT, {}).items():
        families.put("tidegauge_context_answers", answers, *labels, clip(context, _CONTEXT_LIMIT))


def _requests(item: SegmentView) -> int:
    found = item.total.get("vitals")
    return found.events if found else 0


def _traffic(families: _Families, item: SegmentView) -> None:
    total = item.total.get("vitals")
    if total is None:
        return
    labels = _labels(item.segment)
    spent, failures = cost(total), errors(total)
    families.put("tidegauge_requests_total", total.events, *labels)
    families.put("tidegauge_failed_requests_total", failures.failed, *labels)
    for kind in failures.kinds:
        families.put("tidegauge_errors_total", kind.count, *labels, kind.name)
    for check in failures.checks:
        families.put("tidegauge_checks_total", check.checked, *labels, check.name)
        families.put("tidegauge_check_failures_total", check.failed, *labels, check.name)
    families.put("tidegauge_tokens_total", spent.input_tokens, *labels, "input")
    families.put("tidegauge_tokens_total", spent.output_tokens, *labels, "output")
    families.put("tidegauge_cost_usd_total", spent.usd, *labels)


def _display_range(families: _Families, item: SegmentView) -> None:
    display_range = item.display_range.get("vitals")
    if display_range is None:
        return
    labels = _labels(item.segment)
    for line in timings(display_range):
        found = display_range.histograms.get(line.name)
        if found is not None and line.name in _TIMES:
            for q, text in _QUANTILES:
                value = histogram.quantile(found, q)
                seconds = None if value is None else value / 1000
                families.put(_TIMES[line.name], seconds, *labels, text)
    families.put("tidegauge_error_ratio", errors(display_range).rate, *labels)
    families.put("tidegauge_requests_per_usd", cost(display_range).requests_per_usd, *labels)


def _customers(families: _Families, view: MonitorView) -> None:
    nano_usd: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    for item in view.segments:
        if total := item.total.get("vitals"):
            nano_usd.update(total.totals.get(measures.COST_NANOUSD_BY_CUSTOMER, {}))
            requests.update(total.totals.get(measures.REQUESTS_BY_CUSTOMER, {}))
    ranked = sorted(requests, key=lambda name: (-nano_usd[name], -requests[name], name))
    lines = [(_label(name), [name]) for name in ranked[:MAX_CUSTOMERS]]
    if rest := ranked[MAX_CUSTOMERS:]:
        lines.append((REST, rest))
    for label, names in lines:
        spent = sum(nano_usd[name] for name in names) / 1e9
        families.put("tidegauge_customer_cost_usd_total", spent, label)
        asked = sum(requests[name] for name in names)
        families.put("tidegauge_customer_requests_total", asked, label)


def _verdicts(families: _Families, view: MonitorView, named: set[Segment]) -> None:
    wider = {parent for segment in named for parent in segment.parents()}
    for verdict in view.verdicts:
        if not _is_named(verdict, named | wider):
            continue
        labels = (*_labels(verdict.segment), _label(verdict.monitor), verdict.signal)
        families.put("tidegauge_monitor_state", 1, *labels, verdict.state.value)
        statistic, threshold = verdict.log_statistic, verdict.log_threshold
        if statistic is not None and threshold:
            families.put("tidegauge_monitor_evidence_ratio", statistic / threshold, *labels)
        if verdict.effects:
            leading = verdict.effects[0]
            now = leading.hits / leading.trials if leading.trials else None
            for bound, value in (("now", now), ("low", leading.low), ("high", leading.high)):
                families.put("tidegauge_monitor_rate_ratio", value, *labels, bound)
    _alerts(families, view, named | wider)
    for swap in view.version_comparisons:
        if swap.new in named:
            for item in swap.metrics:
                families.put(
                    "tidegauge_swap_outcome",
                    1,
                    *_labels(swap.new),
                    _label(item.metric),
                    item.outcome,
                )


def _is_named(finding: Verdict | Alert, named: set[Segment]) -> bool:
    """Whether a finding has series of its own; those on customers and budgets are few."""
    of_all_models = finding.signal == "cost" and not finding.segment.model
    return of_all_models or finding.segment in named


def _alerts(families: _Families, view: MonitorView, named: set[Segment]) -> None:
    for alert in view.alerts:
        if alert.onset_ms is not None and _is_named(alert, named):
            labels = (*_labels(alert.segment), _label(alert.monitor), alert.signal)
            families.put(
                "tidegauge_alert_onset_timestamp_seconds",
                alert.onset_ms / 1000,
                *labels,
                alert.severity,
            )
    firing = Counter((alert.signal, alert.severity) for alert in view.alerts)
    for (signal, severity), number in sorted(firing.items()):
        families.put("tidegauge_alerts_firing", number, signal, severity)


def _ledger(families: _Families, view: MonitorView) -> None:
    ledger = view.ledger
    families.put("tidegauge_ledger_balanced", ledger.balanced)
    families.put("tidegauge_ledger_served", sum(line.served for line in ledger.captures))
    dropped: Counter[str] = Counter()
    for capture in ledger.captures:
        dropped.update(capture.dropped)
    for reason, number in sorted(dropped.items()):
        families.put("tidegauge_ledger_dropped", number, _label(reason))
    for line in ledger.deliveries:
        for fate in ("captured", "shipped", "processed", "dead_lettered", "in_flight", "missing"):
            families.put(
                "tidegauge_ledger_events", getattr(line, fate), line.topic, line.kind, fate
            )
    families.put("tidegauge_judging_events", ledger.judging.sampled, "sampled", "")
    families.put("tidegauge_judging_events", ledger.judging.judged, "judged", "")
    for reason, number in ledger.judging.skipped.items():
        families.put("tidegauge_judging_events", number, "skipped", _label(reason))


def _workers(families: _Families, view: MonitorView, now_ms: int) -> None:
    for item in view.progress:
        labels = (item.kind, item.topic, str(item.partition))
        if item.watermark_ms > 0:
            age = max(0, now_ms - item.watermark_ms) / 1000
            families.put("tidegauge_worker_watermark_age_seconds", age, *labels)
        silence = max(0, now_ms - item.time_ms) / 1000
        families.put("tidegauge_worker_silence_seconds", silence, *labels)
        families.put("tidegauge_worker_next_offset", item.next_offset, *labels)
    for judge, condition in sorted(judge_conditions(view.progress).items()):
        families.put("tidegauge_judge_stopped", 1, _label(judge), condition.state)
