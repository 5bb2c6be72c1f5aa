"""Latency, errors and cost in a ``vitals`` sketch, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.reports import formatting
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import NO_NUMBERS

__all__ = [
    "REST",
    "CheckRates",
    "Cost",
    "CustomerCost",
    "ErrorKindRates",
    "Errors",
    "Timing",
    "cost",
    "errors",
    "timings",
]

REST = "all others"
"""Name of the line with the sum of the rows that a bounded table leaves out."""

_TIMINGS: Mapping[str, str] = {
    measures.LATENCY_MS: "Latency",
    measures.TIME_TO_FIRST_TOKEN_MS: "Time to first token",
    measures.INTER_TOKEN_MEAN_MS: "Between tokens (mean)",
    measures.INTER_TOKEN_P95_MS: "Between tokens (95%)",
    measures.QUEUE_MS: "Upstream's queue",
}
_FAILED = measures.failed("")
_MISS = 0.05
_NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Timing:
    """The quantiles of one time, in milliseconds, within the sketch's relative accuracy.

    Attributes:
        name: Name in ``measures``.
        title: Title for people.
        n: Answers measured.
        p50: Median.
        p95: 95th percentile.
        p99: 99th percentile.
    """

    name: str
    title: str
    n: int
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class ErrorKindRates:
    """The count and rate of one kind of error."""

    name: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class CheckRates:
    """How often a check of the output failed, of the answers checked."""

    name: str
    failed: int
    checked: int

    @property
    def rate(self) -> float | None:
        """Return the failed share, None where nothing was checked."""
        return self.failed / self.checked if self.checked else None


@dataclass(frozen=True, slots=True)
class Errors:
    """Failures of the service and of its answers.

    Attributes:
        requests: Requests answered, with any status.
        trials: Of these, the requests without an error of the client's own.
        failed: Of the trials, failures of the service or an upstream.
        rate: Failures divided by trials.
        low: Lower end of the rate's exact 95% interval.
        high: Upper end.
        kinds: Every error by kind, those of clients included, the most frequent first.
        checks: Every check of the output, in order of name.
    """

    requests: int
    trials: int
    failed: int
    rate: float | None
    low: float | None
    high: float | None
    kinds: tuple[ErrorKindRates, ...]
    checks: tuple[CheckRates, ...]


@dataclass(frozen=True, slots=True)
class CustomerCost:
    """One customer's requests, tokens and cost."""

    name: str
    requests: int
    usd: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of the answers.

    Attributes:
        usd: Cost of all priced answers; None if no answer has a price.
        priced: Answers with a price.
        p50_usd: Median cost of a priced answer.
        requests_per_usd: Priced answers per dollar.
        input_tokens: Tokens of all prompts.
        output_tokens: Tokens generated.
        customers: The most expensive first; the last line may be ``REST``.
    """

    usd: float | None
    priced: int
    p50_usd: float | None
    requests_per_usd: float | None
    input_tokens: int
    output_tokens: int
    customers: tuple[CustomerCost, ...]


def timings(sketch: Sketch) -> tuple[Timing, ...]:
    """Return the quantiles of each time that was measured; latency is always included."""
    lines = []
    for name, title in _TIMINGS.items():
        found = sketch.histograms.get(name)
        if found is None:
            if name == measures.LATENCY_MS:
                lines.append(Timing(name, title, 0, None, None, None))
            continue
        p50, p95, p99 = (histogram.quantile(found, q) for q in (0.5, 0.95, 0.99))
        lines.append(Timing(name, title, histogram.count(found), p50, p95, p99))
    return tuple(lines)


def errors(sketch: Sketch) -> Errors:
    """Return the failures of the service by kind, and the failed checks of its answers."""
    failed = sketch.hits.get(measures.ERROR, 0)
    trials = sketch.trials.get(measures.ERROR, sketch.events)
    low = high = None
    if trials:
        ends = clopper_pearson(failed, trials, alpha=_MISS)
        low, high = float(ends[0]), float(ends[1])
    by_kind = sketch.totals.get(measures.ERRORS_BY_KIND, {})
    checks = {
        name.removeprefix(_FAILED)
        for name in (*sketch.hits, *sketch.trials)
        if name.startswith(_FAILED)
    }
    return Errors(
        requests=sketch.events,
        trials=trials,
        failed=failed,
        rate=failed / trials if trials else None,
        low=low,
        high=high,
        kinds=tuple(
            ErrorKindRates(name, count, count / max(1, sketch.events))
            for name, count in sorted(by_kind.items(), key=lambda item: (-item[1], item[0]))
        ),
        checks=tuple(
            CheckRates(
                check,
                sketch.hits.get(measures.failed(check), 0),
                sketch.trials.get(measures.failed(check), sketch.events),
            )
            for check in sorted(checks)
        ),
    )


def cost(sketch: Sketch, *, customers: int = 10) -> Cost:
    """Return the cost of the answers, by customer.

    Args:
        sketch: A ``vitals`` sketch.
        customers: Lines of the table; one further line sums up the other customers.
    """
    found = sketch.moments.get(measures.COST_USD)
    usd = found.total if found and found.n else None
    priced = found.n if found else 0
    costs = sketch.histograms.get(measures.COST_USD)
    lines = _customers(sketch)
    shown, rest = lines[:customers], lines[customers:]
    if rest:
        shown.append(
            CustomerCost(
                f"{REST} ({formatting.count(len(rest))})",
                sum(line.requests for line in rest),
                sum(line.usd for line in rest),
                sum(line.input_tokens for line in rest),
                sum(line.output_tokens for line in rest),
            )
        )
    return Cost(
        usd=usd,
        priced=priced,
        p50_usd=histogram.quantile(costs, 0.5) if costs else None,
        requests_per_usd=priced / usd if usd else None,
        input_tokens=_total(sketch, measures.INPUT_TOKENS),
        output_tokens=_total(sketch, measures.OUTPUT_TOKENS),
        customers=tuple(shown),
    )


def _total(sketch: Sketch, name: str) -> int:
    return round(sketch.moments.get(name, NO_NUMBERS).total)


def _customers(sketch: Sketch) -> list[CustomerCost]:
    requests = sketch.totals.get(measures.REQUESTS_BY_CUSTOMER, {})
    nano = sketch.totals.get(measures.COST_NANOUSD_BY_CUSTOMER, {})
    inputs = sketch.totals.get(measures.INPUT_TOKENS_BY_CUSTOMER, {})
    outputs = sketch.totals.get(measures.OUTPUT_TOKENS_BY_CUSTOMER, {})
    lines = [
        CustomerCost(
            name,
            requests.get(name, 0),
            nano.get(name, 0) * _NANO,
            inputs.get(name, 0),
            outputs.get(name, 0),
        )
        for name in requests.keys() | nano.keys()
    ]
    return sorted(lines, key=lambda line: (-line.usd, -line.requests, line.name))
