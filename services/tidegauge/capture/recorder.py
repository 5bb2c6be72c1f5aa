"""The recorder of a serving process: counts served requests and appends captured events.

Example:
    >>> recorder = Recorder(CaptureSettings.from_environment())       # doctest: +SKIP
    >>> recorder.start()                                              # doctest: +SKIP
    >>> recorder.record_request(                                      # doctest: +SKIP
    ...     lambda producer_id, sequence: RequestEvent(
    ...         producer_id=producer_id, sequence=sequence, ...
    ...     )
    ... )
    >>> recorder.served()                                             # doctest: +SKIP
    >>> recorder.close()                                              # doctest: +SKIP
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from tidegauge.capture.counters import (
    REFUSED,
    SERVED,
    CountersWriter,
    Counts,
    Drop,
    captured_counter,
    counts_of,
    dropped_counter,
)
from tidegauge.capture.errors import OutboxUnavailableError
from tidegauge.capture.frame import CompactFormat, FrameEncoder
from tidegauge.capture.outbox import OutboxWriter
from tidegauge.capture.runs import Lock, Position, Run, load_position, new_run
from tidegauge.capture.settings import CaptureSettings
from tidegauge.capture.shipper_supervisor import ShipperSupervisor
from tidegauge.capture.status import heartbeat_of
from tidegauge.capture.text_limits import well_formed
from tidegauge.schemas.codec import encode, type_name
from tidegauge.schemas.exchange import Heartbeat, RequestEvent, ResponseEvent
from tidegauge.schemas.topics import REQUESTS, RESPONSES, Topic

__all__ = ["Recorder"]

_log = logging.getLogger(__name__)

_MOST_TOGETHER_BYTES = 1 << 17
"""Most bytes of a frame of several records; larger ones make batches that a broker rejects."""

E = TypeVar("E", RequestEvent, ResponseEvent)
R = TypeVar("R")


def _well_formed(event: E) -> E:
    """Return an event without halves of characters, which applications cut texts into."""
    return msgspec.convert(_repaired(msgspec.to_builtins(event)), type(event))


def _repaired(value: Any) -> Any:  # noqa: ANN401 - any part of an event
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list | tuple):
        return [_repaired(item) for item in value]
    if isinstance(value, dict):
        return {_repaired(name): _repaired(item) for name, item in value.items()}
    return value


class _Route:
    """A topic's frame encoder and counter name."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic.name
        self.encoder = FrameEncoder(topic.name, type_name(topic.carries[0]))
        self.captured = captured_counter(topic.name)


class Recorder:
    """Captures one process's events: one run, one ``producer_id``, one sequence.

    ``start`` may raise. After it no method raises or waits for the broker, even if the disk
    fails: an event that cannot be appended is counted by topic and reason. All methods may be
    called from any thread. Start the recorder in the process that serves, after forks.

    Args:
        settings: Capture settings.
        ship: Whether to start a shipper process; otherwise start one separately (``python -m``
            and the shipper's module).
        shipper: Module of a shipper that can expand this recorder's compact records.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        *,
        ship: bool = True,
        shipper: str = "tidegauge.capture.shipper",
    ) -> None:
        self._shipper_module = shipper
        self._settings = settings
        self._ship = ship
        self._mutex = threading.Lock()
        self._requests = _Route(REQUESTS)
        self._responses = _Route(RESPONSES)
        self._producer_id = ""
        self._sequence = 0
        self._run: Run | None = None
        self._owner: Lock | None = None
        self._outbox: OutboxWriter | None = None
        self._counters: CountersWriter | None = None
        self._shipper: ShipperSupervisor | None = None
        self._told: set[Drop] = set()
        self._most_together = min(_MOST_TOGETHER_BYTES, settings.max_event_bytes)

    @property
    def settings(self) -> CaptureSettings:
        """The capture settings."""
        return self._settings

    @property
    def producer_id(self) -> str:
        """The run's id, in every event and heartbeat; empty before ``start``."""
        return self._producer_id

    @property
    def shipper_pid(self) -> int | None:
        """Process id of the shipper, for measuring its cost; None while none is running."""
        return self._shipper.pid if self._shipper else None

    def start(self) -> None:
        """Create the run's outbox and start the shipper.

        Raises:
            OutboxUnavailableError: The folder is not writable.
        """
        settings = self._settings
        self._run, self._owner = new_run(settings.directory, settings.producer)
        self._producer_id = self._run.producer_id
        try:
            outbox = OutboxWriter(
                self._run,
                quota_bytes=settings.quota_bytes,
                segment_bytes=settings.segment_bytes,
                fsync=settings.fsync,
            )
            self._counters = CountersWriter(self._run.counters)
            outbox.begin(self._sequence + 1)
        except OSError as error:
            self._run.remove()
            self._owner.release()
            raise OutboxUnavailableError(
                f"the outbox {self._run.path} cannot be written ({error.strerror}): "
                "free space on its disk, or give another folder"
            ) from error
        self._outbox = outbox
        if self._ship:
            self._shipper = ShipperSupervisor(settings, self._run, self._shipper_module)
            self._shipper.start()

    def record_request(self, build: Callable[[str, int], RequestEvent]) -> bool:
        """Append a request's event.

        Args:
            build: Makes the event from this run's ``producer_id`` and the next sequence.

        Returns:
            Whether the event was appended; if not, it has been counted as dropped.
        """
        return self._record(self._requests, build)

    def record_response(self, build: Callable[[str, int], ResponseEvent]) -> bool:
        """Append a response's event; see ``record_request``."""
        return self._record(self._responses, build)

    def record_compact(
        self, format_: CompactFormat[R], records: Sequence[R], *, served: int = 0
    ) -> bool:
        """Append compact records, each of which stands for one event of each of its topics.

        All records are appended as one frame, which costs little more than a single record.

        Args:
            format_: Their format.
            records: The records.
            served: Exchanges to count as answered, appended or not; see ``served``.

        Returns:
            Whether all records were appended; the others have been counted as dropped.
        """
        with self._mutex:
            dropped = self._append_compact(format_, records)
            if self._counters is not None:
                appended = len(records) - sum(dropped.values())
                self._counters.add_exchanges(format_.captured, appended, served)
            for drop, number in dropped.items():
                self._count_dropped(format_.topics, drop, number)
        for drop in dropped:
            self._tell(format_.topic, drop)
        return not dropped

    def not_made(self, format_: CompactFormat[R]) -> None:
        """Count the events of a compact record that could not be built as dropped."""
        with self._mutex:
            self._count_dropped(format_.topics, Drop.INVALID_EVENT)

    def _count_dropped(self, topics: Sequence[str], drop: Drop, number: int = 1) -> None:
        if self._counters is not None:
            for topic in topics:
                self._counters.add(dropped_counter(topic, drop), number)

    def _append_compact(
        self, format_: CompactFormat[R], records: Sequence[R]
    ) -> Mapping[Drop, int]:
        """Append the records that can be appended; return the others' number by drop reason."""
        drop = self._append_frame(format_, records)
        if drop is None:
            return {}
        if len(records) == 1 or drop is Drop.CLOSED:
            return {drop: len(records)}
        dropped: Counter[Drop] = Counter()
        for record in records:  # single records may fit where all of them together do not
            dropped.update(self._append_compact(format_, [record]))
        return dropped

    def _append_frame(self, format_: CompactFormat[R], records: Sequence[R]) -> Drop | None:
        outbox = self._outbox
        if outbox is None:
            return Drop.CLOSED
        sequence, number = self._sequence + 1, len(records)
        try:
            value = format_.encode(records)
            if len(value) > (
                self._settings.max_event_bytes if number == 1 else self._most_together
            ):
                return Drop.TOO_LARGE
            frame = format_.frame(sequence, number, value)
        except Exception:  # noqa: BLE001 - whatever is in a record, serving goes on
            return self._invalid(format_.topic) if number == 1 else Drop.INVALID_EVENT
        drop = outbox.append(sequence, frame)
        if drop is None:
            self._sequence += number * len(format_.topics)
        return drop

    def _record(self, route: _Route, build: Callable[[str, int], E]) -> bool:
        with self._mutex:
            drop = self._append(route, build)
            if drop is None:
                return True
            self._count_dropped((route.topic,), drop)
        self._tell(route.topic, drop)
        return False

    def _invalid(self, topic: str) -> Drop:
        """Log the current exception the first time; return the drop reason."""
        if Drop.INVALID_EVENT not in self._told:
            _log.exception("an event for %s could not be built", topic)
        return Drop.INVALID_EVENT

    def _tell(self, topic: str, drop: Drop) -> None:
        if drop not in self._told:
            self._told.add(drop)
            _log.error(
                "an event for %s was dropped (%s); further ones are only counted",
                topic,
                drop.value,
            )

    def _append(self, route: _Route, build: Callable[[str, int], E]) -> Drop | None:
        if self._outbox is None or self._counters is None:
            return Drop.CLOSED
        sequence = self._sequence + 1
        try:
            event = build(self._producer_id, sequence)
            try:
                value = encode(event)
            except UnicodeEncodeError:
                event = _well_formed(event)
                value = encode(event)
            frame = route.encoder.encode(sequence, event.time_ms, event.key, value)
        except Exception:  # noqa: BLE001 - whatever the builder does, serving goes on
            return self._invalid(route.topic)
        if len(value) > self._settings.max_event_bytes:
            return Drop.TOO_LARGE
        drop = self._outbox.append(sequence, frame)
        if drop is None:
            self._sequence = sequence
            self._counters.add(route.captured)
        return drop

    def served(self, number: int = 1) -> None:
        """Count exchanges as answered, with any status.

        Call this method where the answer ends, independently of ``record_response``: the ledger
        compares the two counts.
        """
        with self._mutex:
            if self._counters is not None:
                self._counters.add(SERVED, number)

    def refused(self) -> None:
        """Count a request as refused: it is neither served nor captured."""
        with self._mutex:
            if self._counters is not None:
                self._counters.add(REFUSED)

    def counts(self) -> Counts:
        """Return the run's counts so far."""
        with self._mutex:
            return counts_of(self._counters.read() if self._counters else {})

    def account(self, time_ms: int) -> Heartbeat:
        """Return what became of the run's events; what the shipper knows is at most a second old.

        Args:
            time_ms: The time of the account, Unix milliseconds.
        """
        position = load_position(self._run.position) if self._run else Position()
        return heartbeat_of(self._producer_id, time_ms, self.counts(), position, final=False)

    def facts(self) -> Mapping[str, int]:
        """Return the facts that the shipper counted while expanding, at most a second old."""
        return load_position(self._run.position).facts if self._run else {}

    def close(self, deadline_seconds: float | None = None) -> bool:
        """End the run: nothing more is recorded, and the shipper drains the outbox.

        Args:
            deadline_seconds: How long to wait for the shipper; ``drain_seconds`` if None.

        Returns:
            Whether everything has been shipped; if not, the rest stays on the disk and the
            next shipper in the folder takes it over.
        """
        if deadline_seconds is None:
            deadline_seconds = self._settings.drain_seconds
        with self._mutex:
            outbox, self._outbox = self._outbox, None
            owner, self._owner = self._owner, None
        if outbox is not None:
            outbox.close()
        if owner is not None:
            owner.release()
        if self._shipper is not None:
            self._shipper.wait(deadline_seconds)
        return self._run is None or not self._run.path.exists()

    def __enter__(self) -> Self:
        """Start the recorder."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the recorder."""
        self.close()
