"""What an upstream and its GPUs say of themselves: from scraped metrics to a sample.

Names are those of vLLM (0.10 to 0.32) and of dcgm-exporter (4.x, by its documentation: no
real GPU's metrics were at hand). Values of several engines are added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tidegauge.cost.exposition import Metric
from tidegauge.schemas.upstream_events import GpuReading, UpstreamSample

__all__ = ["GPU_METRICS", "SERVER_METRICS", "Reading", "gpus_of", "reading_of", "sample_of"]

_GAUGES: Final[Mapping[str, str]] = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
}
_CACHE_USE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
_COUNTERS: Final[Mapping[str, str]] = {
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:prompt_tokens_cached_total": "cached_tokens",
    "vllm:generation_tokens_total": "generated_tokens",
    "vllm:prefix_cache_queries_total": "prefix_queries",
    "vllm:prefix_cache_hits_total": "prefix_hits",
}
_FINISHED: Final = "vllm:request_success_total"
_MOST_REASONS: Final = 16

SERVER_METRICS: Final = frozenset({*_GAUGES, *_CACHE_USE, *_COUNTERS, _FINISHED})
"""Metrics of a server that are read."""

_ENERGY: Final = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
_GPU_FIELDS: Final[Mapping[str, tuple[str, float]]] = {
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": ("engine_active", 1.0),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": ("tensor_active", 1.0),
    "DCGM_FI_PROF_DRAM_ACTIVE": ("memory_active", 1.0),
    "DCGM_FI_DEV_GPU_UTIL": ("utilisation", 0.01),
    "DCGM_FI_DEV_FB_USED": ("memory_used_bytes", 1024.0 * 1024.0),
    "DCGM_FI_DEV_POWER_USAGE": ("power_watts", 1.0),
    _ENERGY: ("energy_joules", 1e-3),
}
"""Metric -> the reading's field, and what its unit is in ours."""

GPU_METRICS: Final = frozenset(_GPU_FIELDS)
"""Metrics of dcgm-exporter that are read."""

_MOST_GPUS: Final = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """A server's metrics at a moment.

    Attributes:
        gauges: Field of a sample -> value.
        counters: Field of a sample -> count since the server's start.
        finished: Reason -> requests that ended since the server's start.
    """

    gauges: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    finished: Mapping[str, float] = field(default_factory=dict)


def reading_of(metrics: Sequence[Metric]) -> Reading:
    """Return a server's reading from its metrics."""
    gauges: defaultdict[str, float] = defaultdict(float)
    counters: defaultdict[str, float] = defaultdict(float)
    finished: defaultdict[str, float] = defaultdict(float)
    cache_use: list[float] = []
    for metric in metrics:
        if metric.name in _GAUGES:
            gauges[_GAUGES[metric.name]] += metric.value
        elif metric.name in _COUNTERS:
            counters[_COUNTERS[metric.name]] += metric.value
        elif metric.name in _CACHE_USE:
            cache_use.append(metric.value)
        elif metric.name == _FINISHED:
            reason = metric.labels.get("finished_reason", "unknown")
            if reason in finished or len(finished) < _MOST_REASONS:
                finished[reason] += metric.value
    if cache_use:
        gauges["kv_use"] = min(1.0, sum(cache_use) / len(cache_use))
    return Reading(dict(gauges), dict(counters), dict(finished))


def gpus_of(metrics: Sequence[Metric], wanted: Collection[str] = ()) -> tuple[GpuReading, ...]:
    """Return the readings of GPUs from dcgm-exporter's metrics.

    Their energy is that since the exporter's start; see ``sample_of``.

    Args:
        metrics: The metrics.
        wanted: Indices or UUIDs of the server's GPUs; all if empty.
    """
    found: dict[str, dict[str, float]] = {}
    for metric in metrics:
        index, uuid = metric.labels.get("gpu", ""), metric.labels.get("UUID", "")
        if wanted and not {index, uuid} & set(wanted):
            continue
        name = (uuid if uuid in wanted else index) or uuid or "unknown"
        if name in found or len(found) < _MOST_GPUS:
            key, unit = _GPU_FIELDS[metric.name]
            found.setdefault(name, {})[key] = metric.value * unit
    return tuple(GpuReading(gpu=name, **values) for name, values in sorted(found.items()))


def sample_of(  # noqa: PLR0913 - what was read now, and what before
    upstream: str,
    time_ms: int,
    *,
    server: Reading | None,
    gpus: Sequence[GpuReading] = (),
    before: tuple[int | None, Reading | None, Sequence[GpuReading]] = (None, None, ()),
    faults: Sequence[str] = (),
) -> UpstreamSample:
    """Return a sample: gauges as they are, and what counters have grown by.

    Args:
        upstream: Label of the upstream.
        time_ms: When it was asked.
        server: Its metrics; None if they could not be read, or are not asked for.
        gpus: Readings of its GPUs, with the energy since some beginning.
        before: The time and metrics of when they were last read, and the GPUs' last readings.
        faults: What could not be read.
    """
    before_ms, before_server, before_gpus = before
    energy = {gpu.gpu: gpu.energy_joules for gpu in before_gpus}
    sample = UpstreamSample(
        upstream=upstream,
        time_ms=time_ms,
        seconds=0.0 if before_ms is None else max(0, time_ms - before_ms) / 1000,
        gpus=tuple(_grown_gpu(gpu, energy.get(gpu.gpu)) for gpu in gpus),
        faults=tuple(faults),
    )
    return sample if server is None else _with_server(sample, server, before_server)


def _with_server(sample: UpstreamSample, now: Reading, before: Reading | None) -> UpstreamSample:
    sample = msgspec.structs.replace(sample, **now.gauges)
    if before is None:
        return sample
    return msgspec.structs.replace(
        sample,
        **_grown(before.counters, now.counters),
        finished={
            name: count for name, count in _grown(before.finished, now.finished).items() if count
        },
    )


def _grown(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    return {name: _growth(before.get(name, 0.0), count) for name, count in now.items()}


def _growth(before: float, now: float) -> float:
    """Return by how much a counter has grown; one that fell has begun anew."""
    return now - before if now >= before else now


def _grown_gpu(gpu: GpuReading, before: float | None) -> GpuReading:
    now = gpu.energy_joules
    grown = None if now is None or before is None else _growth(before, now)
    return msgspec.structs.replace(gpu, energy_joules=grown)
