"""The demonstration's facts: the form of ``summary.json``."""

from __future__ import annotations

import msgspec

from tidegauge.demo.promises import Milestones, Promise
from tidegauge.monitoring.view import VersionComparisonView

__all__ = [
    "CustomerFacts",
    "EvidenceFacts",
    "Finding",
    "JudgeFacts",
    "LedgerFacts",
    "Quantiles",
    "Summary",
    "VitalFacts",
]


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles of some milliseconds, None of no numbers."""

    n: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class CustomerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, tokens and cost of one customer."""

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


class EvidenceFacts(msgspec.Struct, frozen=True, kw_only=True):
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
    evidence: tuple[EvidenceFacts, ...]


class JudgeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One of a judge's scores over all answers.

    Attributes:
        judge: Its name.
        score: The score's name; empty for a judge that gave none.
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


class HallucinationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers of a version say what their context does not hold.

    Attributes:
        version: Version of the model.
        with_context: Answers whose context is known in full.
        without_context: Answers that had none.
        not_measured: Answers whose context is not known, by reason.
        context_share: Share with a context, of those of which it is known.
        unsupported: Answers with facts that their context does not hold.
        rate: Their share of the answers with a context; None without any.
        low: Lower end of its 95% interval.
        high: Upper end.
        qualified: Whether the check may alarm.
    """

    version: str
    with_context: int
    without_context: int
    not_measured: dict[str, int]
    context_share: float | None
    unsupported: int
    rate: float | None
    low: float | None
    high: float | None
    qualified: bool


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
        milestones: When each phase of the demo began, Unix milliseconds.
        promises: What the demonstration promised, and whether it was kept.
        all_kept: Whether all of them were.
        vitals: Over all traffic.
        vitals_by_version: The same for each version of the model.
        drift: Verdicts on the topics, alarms first.
        quality: Verdicts on the answers, alarms first.
        version_comparisons: The new version against the old one, on each route.
        judges: Scores of each judge.
        hallucination: Unsupported answers of each version.
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
    version_comparisons: tuple[VersionComparisonView, ...]
    judges: tuple[JudgeFacts, ...]
    hallucination: tuple[HallucinationFacts, ...]
    ledger: LedgerFacts
    page: str
    report: str | None
    report_file: str | None
    seconds_to_first_verdict: float | None
    seconds: float
