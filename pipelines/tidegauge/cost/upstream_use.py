"""The use of upstreams over a range of time, by what they and their GPUs say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tidegauge.schemas.upstream_events import GpuReading, UpstreamSample

__all__ = ["GpuUse", "UpstreamUse", "UseSums"]

_GAUGES: Final = ("running", "waiting", "kv_use")
_COUNTS: Final = (
    "preemptions",
    "prompt_tokens",
    "cached_tokens",
    "generated_tokens",
    "prefix_queries",
    "prefix_hits",
)
_GPU_GAUGES: Final = (
    "engine_active",
    "tensor_active",
    "memory_active",
    "utilisation",
    "power_watts",
)
_MOST_REASONS: Final = 16
_MOST_GPUS: Final = 64


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU's use; None where it was not told.

    Attributes:
        gpu: Its index or UUID.
        engine_active: Mean share of time in which its engines worked, 0 to 1.
        tensor_active: The same of its tensor cores.
        memory_active: The same of its memory.
        utilisation: Mean share of time in which a kernel ran.
        power_watts: Mean power.
        energy_joules: Energy.
    """

    gpu: str
    engine_active: float | None = None
    tensor_active: float | None = None
    memory_active: float | None = None
    utilisation: float | None = None
    power_watts: float | None = None
    energy_joules: float | None = None


@dataclass(frozen=True, slots=True)
class UpstreamUse:
    """One upstream's use; None where it was not told.

    Attributes:
        samples: Samples that it is made of.
        running: Requests that it worked on, at the mean.
        waiting: Requests in its queue, at the mean.
        kv_use: Share of its key-value cache in use, at the mean.
        most_running: The most requests that it worked on.
        most_waiting: The most requests in its queue.
        most_kv_use: The most of its key-value cache in use.
        preemptions: Requests whose work was thrown away.
        prompt_tokens: Tokens of prompts, cached ones included.
        cached_tokens: Those from its cache.
        generated_tokens: Tokens generated.
        prefix_hit_share: Share of the tokens looked up in the cache of prefixes that were found.
        finished: Reason -> requests that ended for it.
        gpus: Its GPUs.
    """

    samples: int
    running: float | None = None
    waiting: float | None = None
    kv_use: float | None = None
    most_running: float | None = None
    most_waiting: float | None = None
    most_kv_use: float | None = None
    preemptions: float | None = None
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    generated_tokens: float | None = None
    prefix_hit_share: float | None = None
    finished: Mapping[str, float] = field(default_factory=dict)
    gpus: tuple[GpuUse, ...] = ()


class _Values:
    """Sums, counts and maxima of named values; those that are not told are left out."""

    __slots__ = ("counts", "maxima", "sums")

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.maxima: dict[str, float] = {}

    def add(self, told: UpstreamSample | GpuReading, names: Iterable[str]) -> None:
        for name in names:
            value = getattr(told, name)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1
                self.maxima[name] = max(self.maxima.get(name, value), value)

    def merge(self, other: _Values) -> None:
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + other.counts[name]
            most = other.maxima[name]
            self.maxima[name] = max(self.maxima.get(name, most), most)

    def mean(self, name: str) -> float | None:
        return self.sums[name] / self.counts[name] if name in self.sums else None


class UseSums:
    """Adds up an upstream's samples; the sums of parts of a range can be merged."""

    def __init__(self) -> None:
        self._samples = 0
        self._server = _Values()
        self._gpus: dict[str, _Values] = {}
        self._finished: dict[str, float] = {}

    def add(self, sample: UpstreamSample) -> None:
        """Add a sample; one without any value is none."""
        self._server.add(sample, (*_GAUGES, *_COUNTS))
        for gpu in sample.gpus:
            if values := self._gpu(gpu.gpu):
                values.add(gpu, (*_GPU_GAUGES, "energy_joules"))
        self._finish(sample.finished)
        self._samples += sample.running is not None or bool(sample.gpus)

    def merge(self, other: UseSums) -> None:
        """Add another part of the range."""
        self._samples += other._samples
        self._server.merge(other._server)
        for name, found in other._gpus.items():
            if values := self._gpu(name):
                values.merge(found)
        self._finish(other._finished)

    def use(self) -> UpstreamUse:
        """Return what the samples say together."""
        server = self._server
        looked_up, hits = (server.sums.get(name) for name in ("prefix_queries", "prefix_hits"))
        return UpstreamUse(
            self._samples,
            **{name: server.mean(name) for name in _GAUGES},
            **{f"most_{name}": server.maxima.get(name) for name in _GAUGES},
            **{name: server.sums.get(name) for name in _COUNTS if not name.startswith("prefix")},
            prefix_hit_share=hits / looked_up if looked_up and hits is not None else None,
            finished=dict(sorted(self._finished.items())),
            gpus=tuple(
                GpuUse(
                    name,
                    **{gauge: values.mean(gauge) for gauge in _GPU_GAUGES},
                    energy_joules=values.sums.get("energy_joules"),
                )
                for name, values in sorted(self._gpus.items())
            ),
        )

    def _gpu(self, name: str) -> _Values | None:
        found = self._gpus.get(name)
        if found is None and len(self._gpus) < _MOST_GPUS:
            found = self._gpus[name] = _Values()
        return found

    def _finish(self, finished: Mapping[str, float]) -> None:
        for reason, count in finished.items():
            if reason in self._finished or len(self._finished) < _MOST_REASONS:
                self._finished[reason] = self._finished.get(reason, 0.0) + count
