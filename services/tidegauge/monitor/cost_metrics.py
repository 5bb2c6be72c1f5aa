"""Metrics of upstreams' use and cost, of the last hours; computed from the view at a scrape.

OpenCost's names ``node_total_hourly_cost``, ``node_gpu_hourly_cost`` and ``node_gpu_count`` are
kept for the price of a server, with the upstream in place of the node. Customers are bounded by
``MAX_CUSTOMERS``, upstreams by the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegauge.cost.upstream_use import UpstreamUse
from tidegauge.monitor.metrics import MAX_CUSTOMERS
from tidegauge.reports.bill_tables import WITHOUT_KEY
from tidegauge.reports.cost_view import CostView, UpstreamNow
from tidegauge.reports.text import clip
from tidegauge.reports.vitals import REST
from tidegauge.schemas.segments import NAME_CHARACTERS

__all__ = ["COST_NAMES", "CostCollector"]

_UPSTREAM: Final = ("upstream",)
_GPU: Final = ("upstream", "gpu")
_LABEL_LIMIT: Final = NAME_CHARACTERS
"""What the names of events are cut to, with a hash: two of them stay two series."""

COST_NAMES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "tidegauge_upstream_cost_usd": (
        "Price of an upstream's time in the last hours; part is shares, idle or residual.",
        ("upstream", "part"),
    ),
    "tidegauge_upstream_busy_ratio": (
        "Share of the last hours with an exchange in flight.",
        _UPSTREAM,
    ),
    "tidegauge_upstream_idle_ratio": ("Share of the last hours that was idle.", _UPSTREAM),
    "tidegauge_bill_customer_usd": ("Cost of the last hours by customer.", ("customer",)),
    "tidegauge_bill_key_usd": (
        "Cost of the last hours by client key, of the dearest ones.",
        ("customer", "key_id"),
    ),
    "tidegauge_bill_model_usd": (
        "Cost of the last hours by model and version.",
        ("model", "version"),
    ),
    "tidegauge_bill_line_usd": ("Cost of the last hours by why it was paid for.", ("line",)),
    "tidegauge_bill_requests_per_usd": ("Requests for a dollar, idle time included.", ()),
    "tidegauge_budget_usd": ("USD that a month may cost.", ("budget",)),
    "tidegauge_budget_burn_ratio": (
        "Burn rate of a budget over the last hours or the last one: 1 spends it in a month.",
        ("budget", "window"),
    ),
    "tidegauge_bill_forecast_usd": (
        "Cost from now to the end of the month: expected, and the ends of a 90% interval.",
        ("bound",),
    ),
    "tidegauge_upstream_running": ("Requests that an upstream works on.", _UPSTREAM),
    "tidegauge_upstream_waiting": ("Requests in an upstream's queue.", _UPSTREAM),
    "tidegauge_upstream_kv_use_ratio": ("Use of an upstream's key-value cache.", _UPSTREAM),
    "tidegauge_upstream_unforwarded_tokens": (
        "Tokens of the last hours that an upstream counted and no gateway forwarded.",
        _UPSTREAM,
    ),
    "tidegauge_upstream_tokens": (
        "Tokens of the last hours by an upstream's own count; cached ones are of prompts.",
        ("upstream", "kind"),
    ),
    "tidegauge_upstream_preemptions": (
        "Requests of the last hours whose work an upstream threw away.",
        _UPSTREAM,
    ),
    "tidegauge_upstream_prefix_hit_ratio": (
        "Share of tokens found in an upstream's cache of prefixes, last hours.",
        _UPSTREAM,
    ),
    "tidegauge_upstream_finished": (
        "Requests of the last hours that ended on an upstream, by reason.",
        ("upstream", "reason"),
    ),
    "tidegauge_upstream_silence_seconds": (
        "How long an upstream's metrics could not be read.",
        _UPSTREAM,
    ),
    "tidegauge_gpu_engine_active_ratio": ("Share of time in which a GPU's engines worked.", _GPU),
    "tidegauge_gpu_tensor_active_ratio": (
        "Share of time in which a GPU's tensor cores worked.",
        _GPU,
    ),
    "tidegauge_gpu_memory_active_ratio": (
        "Share of time in which a GPU's memory moved data.",
        _GPU,
    ),
    "tidegauge_gpu_utilisation_ratio": ("Share of time in which a kernel ran.", _GPU),
    "tidegauge_gpu_memory_used_bytes": ("A GPU's memory in use.", _GPU),
    "tidegauge_gpu_power_watts": ("A GPU's power.", _GPU),
    "tidegauge_gpu_energy_joules": ("A GPU's energy of the last hours.", _GPU),
    "node_total_hourly_cost": (
        "Price of an upstream's hour now, as OpenCost names it.",
        ("instance", "node"),
    ),
    "node_gpu_hourly_cost": ("The same for each of its GPUs that are read.", ("instance", "node")),
    "node_gpu_count": ("GPUs of an upstream that are read.", ("instance", "node")),
}
"""Name -> help, labels. Without a bill or a sample, a metric has no series."""


class CostCollector(Collector):
    """Yields the metrics of a view.

    Args:
        view: Returns the newest view.
    """

    def __init__(self, view: Callable[[], CostView | None]) -> None:
        self._view = view

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registering needs no view."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Return one family for each name."""
        families = {
            name: GaugeMetricFamily(name, text, labels=labels)
            for name, (text, labels) in COST_NAMES.items()
        }

        def put(name: str, value: float | None, *labels: str) -> None:
            if value is not None:
                families[name].add_metric([clip(label, _LABEL_LIMIT) for label in labels], value)

        view = self._view()
        if view is not None:
            _bill(put, view)
            for one in view.upstreams:
                _upstream(put, one)
        yield from families.values()


_Put = Callable[..., None]


def _bill(put: _Put, view: CostView) -> None:
    for one in view.bill.upstreams:
        for part in ("shares", "idle", "residual"):
            put("tidegauge_upstream_cost_usd", getattr(one, f"{part}_usd"), one.upstream, part)
        if one.seconds:
            put("tidegauge_upstream_busy_ratio", one.busy_seconds / one.seconds, one.upstream)
            put("tidegauge_upstream_idle_ratio", one.idle_seconds / one.seconds, one.upstream)
    _groups(put, view)
    for group in view.costs["line"]:
        put("tidegauge_bill_line_usd", group.usd, group.name)
    requests = sum(group.requests for group in view.costs["line"])
    put("tidegauge_bill_requests_per_usd", requests / view.bill.usd if view.bill.usd else None)
    ahead = view.forecast
    for name, usd in (("", ahead.usd), ("low", ahead.low_usd), ("high", ahead.high_usd)):
        put("tidegauge_bill_forecast_usd", usd, name or "expected")
    for budget in view.budgets:
        put("tidegauge_budget_usd", budget.usd, budget.name)
        put("tidegauge_budget_burn_ratio", budget.burn, budget.name, "range")
        put("tidegauge_budget_burn_ratio", budget.hour_burn, budget.name, "hour")


def _groups(put: _Put, view: CostView) -> None:
    customers = [group for group in view.costs["customer"] if group.usd is not None]
    for group in customers[:MAX_CUSTOMERS]:
        put("tidegauge_bill_customer_usd", group.usd, group.name)
    if rest := customers[MAX_CUSTOMERS:]:
        put("tidegauge_bill_customer_usd", sum(group.usd or 0.0 for group in rest), REST)
    for group in view.costs["key"][:MAX_CUSTOMERS]:
        customer, _, key_id = group.name.removesuffix(WITHOUT_KEY).rpartition(" ")
        put("tidegauge_bill_key_usd", group.usd, customer, key_id)
    for group in view.costs["version"][:MAX_CUSTOMERS]:
        model, _, version = group.name.rpartition(" ")
        put("tidegauge_bill_model_usd", group.usd, model, version)


def _upstream(put: _Put, one: UpstreamNow) -> None:
    put("node_total_hourly_cost", one.usd_per_hour, one.upstream, one.upstream)
    put("tidegauge_upstream_silence_seconds", one.silent_seconds, one.upstream)
    put("tidegauge_upstream_unforwarded_tokens", one.unforwarded_tokens, one.upstream)
    if one.use is not None:
        _use(put, one.upstream, one.use)
    sample = one.sample
    if sample is None:
        return
    if sample.gpus:
        put("node_gpu_count", len(sample.gpus), one.upstream, one.upstream)
        if one.usd_per_hour is not None:
            each = one.usd_per_hour / len(sample.gpus)
            put("node_gpu_hourly_cost", each, one.upstream, one.upstream)
    put("tidegauge_upstream_running", sample.running, one.upstream)
    put("tidegauge_upstream_waiting", sample.waiting, one.upstream)
    put("tidegauge_upstream_kv_use_ratio", sample.kv_use, one.upstream)
    for gpu in sample.gpus:
        labels = (one.upstream, gpu.gpu)
        put("tidegauge_gpu_engine_active_ratio", gpu.engine_active, *labels)
        put("tidegauge_gpu_tensor_active_ratio", gpu.tensor_active, *labels)
        put("tidegauge_gpu_memory_active_ratio", gpu.memory_active, *labels)
        put("tidegauge_gpu_utilisation_ratio", gpu.utilisation, *labels)
        put("tidegauge_gpu_memory_used_bytes", gpu.memory_used_bytes, *labels)
        put("tidegauge_gpu_power_watts", gpu.power_watts, *labels)


def _use(put: _Put, upstream: str, use: UpstreamUse) -> None:
    for kind in ("prompt", "cached", "generated"):
        put("tidegauge_upstream_tokens", getattr(use, f"{kind}_tokens"), upstream, kind)
    put("tidegauge_upstream_preemptions", use.preemptions, upstream)
    put("tidegauge_upstream_prefix_hit_ratio", use.prefix_hit_share, upstream)
    for reason, count in use.finished.items():
        put("tidegauge_upstream_finished", count, upstream, reason)
    for gpu in use.gpus:
        put("tidegauge_gpu_energy_joules", gpu.energy_joules, upstream, gpu.gpu)
