"""The gateway's metrics: every name in one place, every label from a bounded set.

Routes, statuses, outcomes, checks, error kinds and fields of answers are closed sets. Models,
versions, upstreams and customers come from files; beyond a cap they are counted as ``other``.
Counting is plain addition, since every request pays for it; the Prometheus client's objects are
built from the numbers at each scrape.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from tidegauge.capture.exchange_record import AnswerRecord, ExchangeRecord
from tidegauge.gateway.proxy.upstreams import Upstreams
from tidegauge.gateway.refusals import Refusals
from tidegauge.schemas.exchange import outcome_of

__all__ = ["CheckCollector", "Durations", "Metrics", "UpstreamCollector"]

_SECONDS: Final = (
    *(0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0),
    *(4.0, 7.0, 10.0, 20.0, 40.0, 70.0, 120.0, 300.0),
)
_OTHER: Final = "other"


class Durations:
    """A histogram of durations in seconds.

    Attributes:
        counts: The number of durations in each bucket; the last one has no upper edge.
        total: Sum of the durations in seconds.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return Prometheus's cumulative counts: up to and including each edge."""
        edges, seen, total = [*_SECONDS, inf], [], 0
        for edge, count in zip(edges, self.counts, strict=True):
            total += count
            seen.append((str(edge) if edge < inf else "+Inf", float(total)))
        return seen


class _Series:
    """The requests of one label set, and the durations of all with its route, model and version."""

    __slots__ = ("first_token", "latency", "requests")

    def __init__(self, latency: Durations, first_token: Durations) -> None:
        self.requests = 0
        self.latency = latency
        self.first_token = first_token


class _Spent:
    """A customer's tokens and cost for one model."""

    __slots__ = ("cost_usd", "input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = 0
        self.cost_usd = 0.0


class Metrics:
    """The counts of completed exchanges, as a Prometheus collector.

    Attributes:
        in_flight: Requests being answered.
        refusals: What is refused before it becomes an exchange.
        limits_unavailable: Times that the store of the rate limits could not be reached.

    Args:
        cap: Most label sets of one kind; later ones are counted as ``other``.
    """

    def __init__(self, *, cap: int = 200) -> None:
        self._cap = cap
        self.in_flight = 0
        self.refusals = Refusals(time.monotonic)
        self.limits_unavailable = 0
        self._requests: dict[tuple[str, str, str, int, str], _Series] = {}
        self._durations: dict[tuple[str, str, str], tuple[Durations, Durations]] = {}
        self._spent: dict[tuple[str, str], _Spent] = {}
        self._errors: dict[str, int] = {}
        self._unread: dict[str, int] = {}
        self._bytes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._reloads = {"done": 0, "refused": 0}

    def reloaded(self, *, done: bool) -> None:
        """Count a reload of the configuration."""
        self._reloads["done" if done else "refused"] += 1

    def count(self, record: ExchangeRecord, answer: AnswerRecord) -> None:
        """Count one exchange."""
        route, model, version = record.route, record.model, record.version
        request = route, model, version, answer.status, answer.outcome or outcome_of(answer.error)
        series = self._requests.get(request) or self._new_series(*request)
        series.requests += 1
        series.latency.add(answer.latency_ms / 1e3)
        if answer.time_to_first_token_ms is not None:
            series.first_token.add(answer.time_to_first_token_ms / 1e3)
        usage, customer = answer.usage, record.customer
        if usage is not None:
            spent = self._spent.get((model, customer)) or self._new_spent(model, customer)
            spent.input_tokens += usage.input_tokens
            spent.output_tokens += usage.output_tokens
            spent.cost_usd += answer.cost_usd or 0.0
        if answer.error is not None:
            self._errors[answer.error] = self._errors.get(answer.error, 0) + 1
        for name in answer.unread:
            self._unread[name] = self._unread.get(name, 0) + 1

    def count_bytes(self, route: str, request: int, answer: int) -> None:
        """Count the bytes of a request's body and of the upstream's answer to it."""
        counts = self._bytes[route]
        counts[0] += request
        counts[1] += answer

    def _new_series(
        self, route: str, model: str, version: str, status: int, outcome: str
    ) -> _Series:
        labels = route, model, version
        if len(self._durations) >= self._cap and labels not in self._durations:
            labels = route, _OTHER, _OTHER
        durations = self._durations.setdefault(labels, (Durations(), Durations()))
        if len(self._requests) >= self._cap:
            model = version = _OTHER
        request = route, model, version, status, outcome
        return self._requests.setdefault(request, _Series(*durations))

    def _new_spent(self, model: str, customer: str) -> _Spent:
        if len(self._spent) >= self._cap:
            model = customer = _OTHER
        return self._spent.setdefault((model, customer), _Spent())

    def collect(self) -> Iterable[Metric]:
        """Yield all Prometheus metrics."""
        yield from self._collect_requests()
        yield from self._collect_durations()
        yield from self._collect_spent()
        yield from self.refusals.collect()
        yield GaugeMetricFamily(
            "tidegauge_gateway_in_flight_requests",
            "Requests being answered.",
            value=self.in_flight,
        )
        yield CounterMetricFamily(
            "tidegauge_gateway_limits_unavailable",
            "Times that the store of the rate limits could not be reached.",
            value=self.limits_unavailable,
        )
        yield _counter(
            "tidegauge_gateway_reloads",
            "Reloads of the configuration, by outcome.",
            ("outcome",),
            {(outcome,): number for outcome, number in self._reloads.items()},
        )

    def _collect_requests(self) -> Iterable[Metric]:
        yield _counter(
            "tidegauge_gateway_requests",
            "Requests answered, by the status that the client saw and by how they ended.",
            ("route", "model", "version", "status", "outcome"),
            {
                (route, model, version, str(status), outcome): series.requests
                for (route, model, version, status, outcome), series in self._requests.items()
            },
        )
        yield _counter(
            "tidegauge_gateway_errors",
            "Requests that failed, by kind.",
            ("kind",),
            {(kind,): number for kind, number in self._errors.items()},
        )
        yield _counter(
            "tidegauge_gateway_unread_fields",
            "Fields of upstreams' answers that were there and could not be read.",
            ("field",),
            {(name,): number for name, number in self._unread.items()},
        )

        directions = ("request", "answer")
        yield _counter(
            "tidegauge_gateway_bytes",
            "Bytes of the bodies of requests that were forwarded, and of their answers.",
            ("route", "direction"),
            {
                (route, direction): number
                for route, counts in self._bytes.items()
                for direction, number in zip(directions, counts, strict=True)
            },
        )

    def _collect_durations(self) -> Iterable[Metric]:
        labels = ("route", "model", "version")
        latency = HistogramMetricFamily(
            "tidegauge_gateway_latency_seconds",
            "From the request's arrival to the answer's last byte.",
            labels=labels,
        )
        first_token = HistogramMetricFamily(
            "tidegauge_gateway_time_to_first_token_seconds",
            "From the request's arrival to the first piece of a streamed answer.",
            labels=labels,
        )
        for values, durations in self._durations.items():
            for family, part in zip((latency, first_token), durations, strict=True):
                if any(part.counts):
                    family.add_metric(values, part.buckets(), part.total)
        return latency, first_token

    def _collect_spent(self) -> Iterable[Metric]:
        tokens: dict[tuple[str, ...], float] = {}
        cost: dict[tuple[str, ...], float] = {}
        for (model, customer), spent in self._spent.items():
            tokens["input", model, customer] = spent.input_tokens
            tokens["output", model, customer] = spent.output_tokens
            cost[model, customer] = spent.cost_usd
        yield _counter(
            "tidegauge_gateway_tokens",
            "Tokens of prompts and answers.",
            ("direction", "model", "customer"),
            tokens,
        )
        yield _counter(
            "tidegauge_gateway_cost_usd",
            "Cost of answers, by price or share of the GPU's time.",
            ("model", "customer"),
            cost,
        )


def _counter(
    name: str, text: str, labels: tuple[str, ...], numbers: dict[tuple[str, ...], float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in numbers.items():
        family.add_metric(values, number)
    return family


class CheckCollector:
    """Collects the findings of the shipper's checks at each scrape.

    Args:
        findings: Returns how often the shipper found each ``check/finding``.
    """

    def __init__(self, findings: Callable[[], Mapping[str, int]]) -> None:
        self._findings = findings

    def collect(self) -> Iterable[Metric]:
        """Yield the counts of the checks of shipped answers."""
        yield _counter(
            "tidegauge_gateway_output_checks",
            "Checks of answers that were made; they are when the event is shipped.",
            ("check", "outcome"),
            {tuple(name.split("/")): float(number) for name, number in self._findings().items()},
        )


class UpstreamCollector:
    """Collects the upstreams' state at each scrape.

    Args:
        upstreams: The upstreams.
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    def collect(self) -> Iterable[Metric]:
        """Return requests in flight by upstream."""
        in_flight = GaugeMetricFamily(
            "tidegauge_gateway_upstream_in_flight_requests",
            "Requests that an upstream is answering.",
            labels=("model", "version", "upstream"),
        )
        flights: dict[tuple[str, str, str], int] = {}
        for target in self._upstreams.targets:
            label = (target.name, target.upstream.version, target.label)
            flights[label] = flights.get(label, 0) + target.in_flight
        for label, number in flights.items():
            in_flight.add_metric(label, number)
        return (in_flight,)
