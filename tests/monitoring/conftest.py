"""Sketches and a monitor to give them to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import pytest

from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.schemas import Event, Segment, encode, measures
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind, SourceRange, Tally
from tidegauge.schemas.topics import REQUESTS, RESPONSES, SKETCHES, Topic
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import moments_of
from tidegauge.streaming.processor import Partition, ProcessingResult, Record

WINDOW_MS = 2_000
START_MS = 1_700_000_000_000
V1 = Segment(model="m", version="v1", route="/chat")
JUDGE = "likelihood@0123abcd"
FLUENCY = measures.score(JUDGE, "fluency")
TOPIC = {"drift": REQUESTS, "vitals": RESPONSES, "quality": RESPONSES}


@dataclass
class Writer:
    """Makes sketches and progress as one worker's partition would."""

    kind: SketchKind
    partition: int = 0
    sequence: int = 0

    @property
    def producer_id(self) -> str:
        return f"{self.kind}/{TOPIC[self.kind].name}-{self.partition}"

    def start_of(self, window: int) -> int:
        """Return when a window starts."""
        return START_MS + window * WINDOW_MS

    def sketch(  # noqa: PLR0913 - a sketch has that many parts
        self,
        window: int,
        *,
        segment: Segment = V1,
        values: Mapping[str, Iterable[float]] | None = None,
        events: int | None = None,
        hits: Mapping[str, int] | None = None,
        trials: Mapping[str, int] | None = None,
        baseline: str = "",
        stratum: str = "-1/0/0/0",
    ) -> Sketch:
        """Make the sketch of one window, numbered from 0."""
        self.sequence += 1
        numbers = {name: [float(v) for v in found] for name, found in (values or {}).items()}
        most = max((len(found) for found in numbers.values()), default=0)
        return Sketch(
            kind=self.kind,
            producer_id=self.producer_id,
            sequence=self.sequence,
            segment=segment,
            window_start_ms=START_MS + window * WINDOW_MS,
            window_ms=WINDOW_MS,
            source=SourceRange(
                topic=TOPIC[self.kind].name,
                partition=self.partition,
                first_offset=0,
                last_offset=0,
            ),
            baseline=baseline,
            events=most if events is None else events,
            hits=dict(hits or {}),
            trials=dict(trials or {}),
            moments={name: moments_of(found) for name, found in numbers.items()},
            histograms={n: histogram.add(histogram.empty(), found) for n, found in numbers.items()},
            strata={
                n: {stratum: histogram.add(histogram.empty(), found)}
                for n, found in numbers.items()
                if n in {measures.LATENCY_MS, measures.TIME_TO_FIRST_TOKEN_MS}
            },
        )

    def progress(
        self,
        windows: int,
        *,
        tallies: Mapping[str, Tally] | None = None,
        totals: Mapping[str, int] | None = None,
        time_ms: int | None = None,
    ) -> Progress:
        """Say that the first ``windows`` windows are closed."""
        self.sequence += 1
        reached = START_MS + windows * WINDOW_MS
        return Progress(
            kind=self.kind,
            producer_id=self.producer_id,
            sequence=self.sequence,
            time_ms=reached if time_ms is None else time_ms,
            topic=TOPIC[self.kind].name,
            partition=self.partition,
            next_offset=0,
            watermark_ms=reached,
            tallies=dict(tallies or {}),
            totals=dict(totals or {}),
        )


@dataclass
class Harness:
    """A monitor that is given events, and what it said."""

    plan: MonitorPlan
    monitor: MonitorProcessor
    now_ms: int = START_MS
    said: list[Event] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)

    def give(self, *events: Event, topic: Topic = SKETCHES) -> ProcessingResult:
        """Give it events of one topic, as one batch."""
        records = []
        for event in events:
            offset = self.offsets.get(topic.name, 0)
            self.offsets[topic.name] = offset + 1
            records.append(Record(Partition(topic.name, 0), offset, encode(event)))
        return self._keep(self.monitor.process(records, self.now_ms))

    def tick(self, now_ms: int) -> ProcessingResult:
        """Let time pass."""
        self.now_ms = now_ms
        return self._keep(self.monitor.tick(now_ms))

    def _keep(self, outcome: ProcessingResult) -> ProcessingResult:
        self.said += [output.event for output in outcome.outputs]
        return outcome

    def verdicts(self, monitor: str) -> list[Verdict]:
        """Return its verdicts, in order."""
        return [v for v in self.said if isinstance(v, Verdict) and v.monitor == monitor]

    def alerts(self, monitor: str = "") -> list[Alert]:
        """Return its alerts, in order."""
        return [a for a in self.said if isinstance(a, Alert) and monitor in ("", a.monitor)]


@dataclass
class Traffic:
    """Draws traffic, and makes the monitors that it is given to."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20))
    writers: dict[SketchKind, Writer] = field(
        default_factory=lambda: {
            "drift": Writer("drift"),
            "vitals": Writer("vitals"),
            "quality": Writer("quality"),
        }
    )
    window_ms: int = WINDOW_MS
    judge: str = JUDGE

    def harness(self, **settings: float) -> Harness:
        """Make a monitor whose topics have one partition."""
        plan = replace(
            MonitorPlan(window_ms=WINDOW_MS, partitions={REQUESTS.name: 1, RESPONSES.name: 1}),
            **settings,  # type: ignore[arg-type] # whole numbers by name
        )
        return Harness(plan, MonitorProcessor(plan))

    def version(self, number: int) -> Segment:
        """Return the segment of a version."""
        return msgspec.structs.replace(V1, version=f"v{number}")

    def start_of(self, window: int) -> int:
        """Return when a window starts."""
        return START_MS + window * WINDOW_MS

    def encoded(self, *events: Event) -> list[bytes]:
        """Write events."""
        return [encode(event) for event in events]

    def vitals(self, window: int, n: int, **change: float) -> Sketch:
        """Draw responses: ``slower`` multiplies latency, ``errors`` is a rate."""
        failed = int(self.rng.binomial(n, change.get("errors", 0.01)))
        latencies = self.rng.lognormal(6.5, 0.5, n - failed) * change.get("slower", 1.0)
        return self.writers["vitals"].sketch(
            window,
            segment=self.version(int(change.get("version", 1))),
            values={
                measures.LATENCY_MS: latencies,
                measures.COST_USD: self.rng.gamma(2.0, 1e-4, n),
            },
            events=n,
            hits={measures.ERROR: failed, measures.failed("refusal"): 0},
            trials={measures.ERROR: n, measures.failed("refusal"): n - failed},
        )

    def quality(self, window: int, n: int, *, shift: float = 0.0, segment: Segment = V1) -> Sketch:
        """Draw judged answers: mean log-probabilities of about -1, lower by ``shift``."""
        return self.writers["quality"].sketch(
            window,
            segment=segment,
            values={
                FLUENCY: -self.rng.gamma(9.0, (1 + shift) / 9.0, n),
                measures.weight(JUDGE): [1.0] * n,
            },
            trials={measures.unqualified(JUDGE): n, measures.invalid(JUDGE): n},
        )

    def baseline_windows(self, windows: int = 60, n: int = 3, **change: float) -> list[Sketch]:
        """Draw a baseline's sketches of responses and of judged answers."""
        return [
            sketch
            for window in range(-windows, 0)
            for sketch in (self.vitals(window, n, **change), self.quality(window, n))
        ]


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def harness(traffic: Traffic) -> Harness:
    return traffic.harness()


WriterOf = Callable[..., Writer]


@pytest.fixture(scope="session")
def writer_of() -> WriterOf:
    return Writer


TrafficOf = Callable[[int], Traffic]


@pytest.fixture
def traffic_of() -> TrafficOf:
    return lambda seed: Traffic(np.random.default_rng(seed))
