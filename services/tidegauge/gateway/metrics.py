"""The gateway's metrics: every name in one place, every label from a bounded set.

Routes, statuses and error kinds are closed sets. Models, versions, upstreams and customers
come from files, and beyond a cap they are counted as ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tidegauge.gateway.upstreams import Upstreams

__all__ = ["Metrics", "UpstreamCollector"]

_SECONDS: Final = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1, 2, 4, 7, 10, 20, 40, 70, 120, 300)
_OTHER: Final = "other"


class _Children(NamedTuple):
    latency: Histogram
    first_token: Histogram
    input_tokens: Counter
    output_tokens: Counter
    cost: Counter


class Metrics:
    """What is counted as exchanges end.

    Args:
        registry: Where the metrics are registered.
        cap: Most label sets of one kind; what comes later is ``other``.
    """

    def __init__(self, registry: CollectorRegistry, *, cap: int = 200) -> None:
        self._cap = cap
        self._requests = Counter(
            "tidegauge_gateway_requests",
            "Requests answered.",
            ("route", "model", "version", "status"),
            registry=registry,
        )
        self._errors = Counter(
            "tidegauge_gateway_errors",
            "Requests that failed, by kind.",
            ("kind",),
            registry=registry,
        )
        self._checks = Counter(
            "tidegauge_gateway_output_checks",
            "Checks of answers that were made.",
            ("check", "outcome"),
            registry=registry,
        )
        self._latency = Histogram(
            "tidegauge_gateway_latency_seconds",
            "From the request's arrival to the answer's last byte.",
            ("route", "model", "version"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_token = Histogram(
            "tidegauge_gateway_time_to_first_token_seconds",
            "From the request's arrival to the first piece of a streamed answer.",
            ("route", "model", "version"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "tidegauge_gateway_tokens",
            "Tokens of prompts and answers.",
            ("direction", "model", "customer"),
            registry=registry,
        )
        self._cost = Counter(
            "tidegauge_gateway_cost_usd",
            "Cost of answers, by price or share of the GPU's time.",
            ("model", "customer"),
            registry=registry,
        )
        self.in_flight = Gauge(
            "tidegauge_gateway_in_flight_requests",
            "Requests being answered.",
            registry=registry,
        )
        self.limits_unavailable = Counter(
            "tidegauge_gateway_limits_unavailable",
            "Times that the store of the rate limits could not be reached.",
            registry=registry,
        )
        self.reloads = Counter(
            "tidegauge_gateway_reloads",
            "Reloads of the configuration, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._answered: dict[tuple[str, str, str, int], Counter] = {}
        self._children: dict[tuple[str, str, str, str], _Children] = {}
        self._failed: dict[str, Counter] = {}
        self._checked: dict[tuple[str, str], Counter] = {}

    def answered(  # noqa: PLR0913 - one exchange's numbers
        self,
        *,
        route: str,
        model: str,
        version: str,
        customer: str,
        status: int,
        error: str | None,
        checks: Mapping[str, str],
        latency_seconds: float,
        first_token_seconds: float | None,
        tokens: tuple[int, int] | None,
        cost_usd: float | None,
    ) -> None:
        """Count one exchange."""
        counted = self._answered.get((route, model, version, status))
        if counted is None:
            counted = self._count_as(route, model, version, status)
        counted.inc()
        children = self._children.get((route, model, version, customer))
        if children is None:
            children = self._measure_as(route, model, version, customer)
        children.latency.observe(latency_seconds)
        if first_token_seconds is not None:
            children.first_token.observe(first_token_seconds)
        if tokens is not None:
            children.input_tokens.inc(tokens[0])
            children.output_tokens.inc(tokens[1])
        if cost_usd:
            children.cost.inc(cost_usd)
        if error is not None:
            self._fail(error)
        for check in checks.items():
            child = self._checked.get(check)
            if child is None:
                child = self._checked[check] = self._checks.labels(*check)
            child.inc()

    def _fail(self, kind: str) -> None:
        if kind not in self._failed:
            self._failed[kind] = self._errors.labels(kind)
        self._failed[kind].inc()

    def _count_as(self, route: str, model: str, version: str, status: int) -> Counter:
        if len(self._answered) >= self._cap:
            return self._requests.labels(route, _OTHER, _OTHER, str(status))
        child = self._requests.labels(route, model, version, str(status))
        self._answered[route, model, version, status] = child
        return child

    def _measure_as(self, route: str, model: str, version: str, customer: str) -> _Children:
        full = len(self._children) >= self._cap
        if full:
            model = version = customer = _OTHER
        children = _Children(
            self._latency.labels(route, model, version),
            self._first_token.labels(route, model, version),
            self._tokens.labels("input", model, customer),
            self._tokens.labels("output", model, customer),
            self._cost.labels(model, customer),
        )
        if not full:
            self._children[route, model, version, customer] = children
        return children


class UpstreamCollector:
    """Reads the upstreams' state when Prometheus asks.

    Args:
        upstreams: The upstreams.
        now: The clock that their exchanges are timed by.
    """

    def __init__(self, upstreams: Upstreams, now: Callable[[], float]) -> None:
        self._upstreams = upstreams
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """Return requests under way and busy seconds by upstream."""
        in_flight = GaugeMetricFamily(
            "tidegauge_gateway_upstream_in_flight_requests",
            "Requests that an upstream is answering.",
            labels=("model", "version", "upstream"),
        )
        busy = CounterMetricFamily(
            "tidegauge_gateway_upstream_busy_seconds",
            "Time in which an upstream was answering at least one request.",
            labels=("upstream",),
        )
        flights: dict[tuple[str, str, str], int] = {}
        clocks = {}
        for target in self._upstreams.targets:
            label = (target.name, target.upstream.version, target.label)
            flights[label] = flights.get(label, 0) + target.in_flight
            clocks[target.label] = target.clock
        for label, number in flights.items():
            in_flight.add_metric(label, number)
        for name, clock in clocks.items():
            busy.add_metric((name,), clock.busy_seconds(self._now()))
        return (in_flight, busy)
