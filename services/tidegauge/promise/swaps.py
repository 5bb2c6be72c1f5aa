"""New versions of a model: deployments of the same one, slower ones, and canaries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rerun import replay_sketches
from tidegauge.promise.path import as_records, reports
from tidegauge.promise.results import Bar, at_least, at_most
from tidegauge.promise.scenarios import PER_DAY, SERVER
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import State, Verdict
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.simulation.rhythm import Recorded, Rhythm, Wave
from tidegauge.simulation.service import SimulatedService, exchanges, response_events
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Output
from tidegauge.vitals.extractor import VitalsExtractor

__all__ = ["SWAPS", "Swap", "SwapOutcome", "swap_bars", "swap_outcome", "swap_rows"]

_MONDAY_MS = 1_767_571_200_000
_DAY = 86_400.0
_HOUR = 3_600.0
_WRONG, _FOUND, _CANARY_REQUESTS = 0.05, 0.8, 5_000
_BEFORE = _DAY
_OLD_VERSION, _NEW_VERSION = (Segment(model="m", version=name) for name in ("v1", "v2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A new version of the model, which is as fast as the one before or is not.

    Attributes:
        name: For people.
        service: What serves, but for the new version's speed.
        hour: Hour of the day at which it comes.
        slower: What latency is multiplied by.
        share: Its share of the requests: 1 where the old version ends.
    """

    name: str
    service: SimulatedService
    hour: float = 10.0
    slower: float = 1.0
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapOutcome:
    """What was said of a swap within a day.

    Attributes:
        swap: Its name.
        number: Number of the stream.
        worse: Monitors that called the new version worse.
        requests: Requests of the new version until its latency was first called worse.
    """

    swap: str
    number: int
    worse: tuple[str, ...]
    requests: int | None


def _steady(wave: Wave | None = None, day: float = 0.0) -> SimulatedService:
    return SimulatedService(rhythm=Rhythm(per_day=PER_DAY, day=day), server=SERVER, speed_wave=wave)


_SAME = (
    Swap(name="the same version, ten-minute waves, sd .15", service=_steady(Wave(0.15, 600.0))),
    Swap(name="the same version, two-hour waves, sd .3", service=_steady(Wave(0.3, 7_200.0))),
    Swap(name="the same version, night to day", service=_steady(day=0.6), hour=7.0),
)
_SLOWER = Swap(name="30% slower", service=_steady(Wave(0.15, 600.0)), slower=1.3)
_CANARY = Swap(name="canary, 20% slower", service=_steady(), slower=1.2, share=0.5)
SWAPS = {one.name: one for one in (*_SAME, _SLOWER, _CANARY)}


def swap_outcome(
    swap: Swap, number: int, recorded: Recorded, settings: SketchSettings
) -> SwapOutcome:
    """Serve a day with one version and a day with the next; read the monitor's verdicts."""
    rng = np.random.default_rng([number, *swap.name.encode()])
    moment = _BEFORE + swap.hour * _HOUR
    service = replace(
        swap.service,
        changed_from=moment,
        slower=swap.slower,
        changed_share=swap.share,
        deployments=(moment,),
    )
    found = exchanges(service, _MONDAY_MS, moment + _DAY, recorded, rng)
    events = response_events(
        found,
        start_ms=_MONDAY_MS,
        segment=_OLD_VERSION,
        producer_id=f"swap-{number}",
        changed=_NEW_VERSION,
    )
    published = reports(VitalsExtractor(), events, settings)
    called: dict[str, int] = {}

    def read(output: Output) -> None:
        verdict = output.event
        if not isinstance(verdict, Verdict) or not verdict.monitor.startswith("swap."):
            return
        if verdict.state in {State.WARN, State.CRITICAL}:
            called.setdefault(verdict.monitor, verdict.time_ms)

    plan = MonitorPlan(
        window_ms=settings.window_ms, partitions={RESPONSES.name: 1, REQUESTS.name: 1}
    )
    replay_sketches(plan, {}, as_records(published), read)
    arrived = _MONDAY_MS + found.seconds[found.changed] * 1000
    times = [time_ms for name, time_ms in called.items() if "latency" in name]
    return SwapOutcome(
        swap=swap.name,
        number=number,
        worse=tuple(sorted(called)),
        requests=int(np.searchsorted(arrived, min(times))) if times else None,
    )


def swap_rows(outcomes: Sequence[SwapOutcome]) -> list[dict[str, Any]]:
    """Return a row for each kind of swap."""
    rows = []
    for name in dict.fromkeys(one.swap for one in outcomes):
        own = [one for one in outcomes if one.swap == name]
        rows.append(
            {
                "traffic": name,
                "change": "swap",
                "streams": len(own),
                "worse": sum(bool(one.worse) for one in own),
                "monitors": sorted({monitor for one in own for monitor in one.worse}),
                "requests": sorted(one.requests for one in own if one.requests is not None),
            }
        )
    return rows


def swap_bars(outcomes: Sequence[SwapOutcome]) -> list[Bar]:
    """Return the bars on comparisons of versions."""
    same = {one.name for one in _SAME}
    redeployed = [one for one in outcomes if one.swap in same]
    slower = [one for one in outcomes if one.swap == _SLOWER.name]
    canaries = [one for one in outcomes if one.swap == _CANARY.name]
    waits = sorted(math.inf if one.requests is None else one.requests for one in canaries)
    return [
        at_most(
            "share of deployments of the same version that are called worse",
            _WRONG,
            _share(bool(one.worse) for one in redeployed),
            f"of {len(redeployed)}",
        ),
        at_least(
            "share of swaps to a version that is 30% slower that are called worse within a day",
            _FOUND,
            _share(one.requests is not None for one in slower),
            f"of {len(slower)}",
        ),
        at_most(
            "requests of a canary that is 20% slower until it is called worse",
            _CANARY_REQUESTS,
            waits[len(waits) // 2] if waits else None,
            f"median of {len(waits)} streams",
        ),
    ]


def _share(called: Iterable[bool]) -> float | None:
    """Return the share of true values; None without any value."""
    found = list(called)
    return round(sum(found) / len(found), 3) if found else None
