"""The monitor's consumer loop, with the baselines in force and the latest view."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event, Thread
from typing import Protocol, TypeAlias

import structlog

from tidegauge.monitoring.alert_store import SOURCE
from tidegauge.monitoring.monitor_processor import TOPICS, MonitorProcessor, References
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.cost_view import CostView
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.admin import TopicState, ensure_topics, list_topics
from tidegauge.runtime.kafka.consumer_loop import ConsumerLoop
from tidegauge.runtime.kafka.errors import BaselineStoreError, LogError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.processor import Partition, ProcessingResult, Processor, Record
from tidegauge.usecases.references import LogBaselines

__all__ = ["DEFAULT_GROUP", "BaselineLoadingProcessor", "Baselines", "MonitorLoop", "source_of"]

_log = structlog.get_logger(__name__)

DEFAULT_GROUP = "monitor"
"""The consumer group of the monitor that is not beside another one."""

_KINDS: tuple[BaselineKind, ...] = ("drift", "rates")
_VIEW_MS = 500
_VIEW_COST = 20  # a view may take a twentieth of the loop's time, however many segments there are
_RETRY_MS = 30_000
_RETRY_SECONDS = 2.0


Costs: TypeAlias = Callable[[], CostView | None]


def source_of(group: str) -> str:
    """Return the CloudEvents source of what the monitor of a group publishes."""
    return SOURCE if group == DEFAULT_GROUP else f"{SOURCE}/{group}"


class Baselines(Protocol):
    """Where baselines come from."""

    def active(self, kind: BaselineKind) -> str | None:
        """Return the id of the baseline in force, None without one."""

    def references(self, kind: BaselineKind, baseline_id: str) -> References:
        """Return a baseline's references, by monitor and segment."""


class BaselineLoadingProcessor(Processor):
    """Wraps the monitor's processor: loads the baselines it asks for, and keeps the latest view.

    Everything runs in the loop's thread but ``view``, which any thread may call: it returns
    a frozen value that is replaced as a whole.

    Args:
        inner: The monitor's processor.
        baselines: Where baselines come from.
        source: The CloudEvents source of what it publishes.
        costs: Returns what the upstreams cost, None where it is not known.
    """

    def __init__(
        self,
        inner: MonitorProcessor,
        baselines: Baselines,
        source: str = SOURCE,
        costs: Costs = lambda: None,
    ) -> None:
        self._inner = inner
        self._costs = costs
        self._source = source
        self._baselines = baselines
        self._view: MonitorView | None = None
        self._next_view_ms = 0
        self._refused: dict[str, int] = {}

    def view(self) -> MonitorView | None:
        """Return the latest view, None before the first."""
        return self._view

    def assign(self, partition: Partition, snapshot: bytes | None) -> None:
        """Take over a partition; one of sketches loads the baselines in force first.

        Evidence of a snapshot is only good with the baseline that it was gathered against,
        and activations that were read before the snapshot do not come again.
        """
        if partition.topic == SKETCHES.name:
            for kind in _KINDS:
                baseline_id = self._baselines.active(kind)
                if baseline_id is not None:
                    self._use(kind, baseline_id, now_ms())
        self._inner.assign(partition, snapshot)

    def revoke(self, partition: Partition) -> None:
        """Forget a partition."""
        self._inner.revoke(partition)

    def process(self, records: Sequence[Record], now_ms: int) -> ProcessingResult:
        """Process records, and load a baseline that was activated."""
        outcome = self._inner.process(records, now_ms)
        self._follow(now_ms)
        self._refresh_view(now_ms)
        return self._named(outcome)

    def tick(self, now_ms: int) -> ProcessingResult:
        """Process the passing of time, and load a baseline that was activated."""
        self._follow(now_ms)
        self._inner.note_costs(self._costs())
        outcome = self._inner.tick(now_ms)
        self._refresh_view(now_ms)
        return self._named(outcome)

    def _named(self, outcome: ProcessingResult) -> ProcessingResult:
        """Return what is published, in this monitor's name."""
        if self._source == SOURCE or not outcome.outputs:
            return outcome
        outputs = tuple(replace(output, source=self._source) for output in outcome.outputs)
        return replace(outcome, outputs=outputs)

    def snapshot(self, partition: Partition) -> bytes:
        """Return a partition's state."""
        return self._inner.snapshot(partition)

    def _refresh_view(self, now_ms: int) -> None:
        if self._view is not None and now_ms < self._next_view_ms:
            return
        start = time.perf_counter()
        self._view = self._inner.view()
        took_ms = 1000 * (time.perf_counter() - start)
        self._next_view_ms = now_ms + max(_VIEW_MS, round(_VIEW_COST * took_ms))

    def _follow(self, now_ms: int) -> None:
        for kind, baseline_id in dict(self._inner.wanted).items():
            if now_ms - self._refused.get(baseline_id, -_RETRY_MS) >= _RETRY_MS:
                self._use(kind, baseline_id, now_ms)

    def _use(self, kind: BaselineKind, baseline_id: str, now_ms: int) -> None:
        try:
            references = self._baselines.references(kind, baseline_id)
        except TidegaugeError as error:
            if isinstance(error, LogError) and not isinstance(error, BaselineStoreError):
                raise  # the loop waits for the broker
            self._refused[baseline_id] = now_ms
            self._inner.refuse(kind, f"{baseline_id} {str(error)[:300]}")
            _log.error("baseline_refused", baseline=baseline_id, error=str(error)[:800])
            return
        self._refused.pop(baseline_id, None)
        self._inner.use(kind, baseline_id, references, now_ms)
        _log.info("baseline_in_force", kind=kind, baseline=baseline_id)


class MonitorLoop:
    """Runs the processor in a thread of its own.

    Args:
        kafka: How to reach Kafka.
        plan: The monitor's settings; the topics' partitions are asked of the broker.
        group: The consumer group; states and positions carry its name.
        stop_seconds: How long stopping may take.
        costs: Returns what the upstreams cost, for the alarms on budgets.
        ended: Called when the loop has ended, whether it was told to or not.
    """

    def __init__(  # noqa: PLR0913 - what it connects
        self,
        kafka: KafkaSettings,
        plan: MonitorPlan,
        *,
        group: str,
        stop_seconds: float,
        costs: Costs = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._kafka = kafka
        self._plan = plan
        self._group = group
        self._stop_seconds = stop_seconds
        self._costs = costs
        self._ended = ended
        self._processor: BaselineLoadingProcessor | None = None
        self._loop: ConsumerLoop | None = None
        self._thread: Thread | None = None
        self.failure: Exception | None = None

    def start(self, stop: Event) -> None:
        """Start the thread; ``stop`` ends it."""
        self._thread = Thread(target=self._run, args=(stop,), name="monitor-loop")
        self._thread.start()

    def join(self, timeout_seconds: float) -> None:
        """Wait until it has ended, or for so long."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def view(self) -> MonitorView | None:
        """Return the latest view, None before the first."""
        return self._processor.view() if self._processor else None

    def ready(self) -> bool:
        """Whether it has its partitions and a view."""
        return self._loop is not None and self._loop.ready and self.view() is not None

    def alive(self) -> bool:
        """Whether it runs, or waits for the broker."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self, stop: Event) -> None:
        try:
            states = self._topics(stop)
            if states is None:
                return
            found = {state.topic.name: state.partitions for state in states}
            partitions = {
                name: found[name] or known for name, known in self._plan.partitions.items()
            }
            faults = [str(difference) for state in states for difference in state.differences]
            self._processor = BaselineLoadingProcessor(
                MonitorProcessor(replace(self._plan, partitions=partitions), faults),
                LogBaselines(self._kafka),
                source_of(self._group),
                self._costs,
            )
            self._loop = ConsumerLoop(
                self._kafka, self._group, TOPICS, self._processor, stop_seconds=self._stop_seconds
            )
            self._loop.run(stop)
        except Exception as error:  # noqa: BLE001 - kept in ``failure``, and logged
            self.failure = error
            _log.error("monitor_ended", error=str(error)[:2000], exc_info=error)
        finally:
            self._ended()

    def _topics(self, stop: Event) -> tuple[TopicState, ...] | None:
        """Return the topics as they are on the broker; None if stopped."""
        while not stop.is_set():
            try:
                if self._kafka.create_topics:
                    ensure_topics(self._kafka)
                return list_topics(self._kafka)
            except LogError as error:
                if not error.passing:
                    raise
                _log.warning("waiting for Kafka", error=str(error)[:500])
                stop.wait(_RETRY_SECONDS)
        return None
