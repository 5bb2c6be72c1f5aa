"""What a gateway holds: it counts what it serves and appends what it captured.

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

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import msgspec

from tidegauge.capture.counters import CountersWriter
from tidegauge.capture.frame import Frame, FrameWriter
from tidegauge.capture.outbox import Drop, OutboxWriter
from tidegauge.capture.runs import OwnedRun
from tidegauge.capture.settings import CaptureSettings
from tidegauge.capture.supervisor import ShipperSupervisor
from tidegauge.schemas.codec import encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import REQUESTS, RESPONSES, Topic

__all__ = ["Counts", "Recorder"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What this run has counted.

    Attributes:
        served: Requests answered.
        captured: Events appended, by topic.
        dropped: Events that could not be appended, by topic and reason.
    """

    served: int = 0
    captured: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)


class Recorder:
    """Captures one process's events: one run, one ``producer_id``, one sequence.

    ``start`` may raise; after it nothing here raises or waits for the broker, whatever is
    wrong with the disk: an event that cannot be kept is counted by topic and reason. All
    methods may be called from any thread. Start it in the process that serves, after forks.

    Args:
        settings: Where and how.
        ship: Whether to start a shipper process; else one must be run beside
            (``python -m tidegauge.capture.shipper``).
    """

    producer_id: str
    """Identity of this run, in every event and heartbeat; set by ``start``."""

    def start(self) -> None:
        """Make this run's outbox and start the shipper.

        Raises:
            OutboxUnavailableError: The folder cannot be written.
        """

    def record_request(self, build: Callable[[str, int], RequestEvent]) -> bool:
        """Append a request's event.

        Args:
            build: Makes the event from this run's ``producer_id`` and the next sequence.

        Returns:
            Whether it was appended; if not, it has been counted as dropped.
        """

    def record_response(self, build: Callable[[str, int], ResponseEvent]) -> bool:
        """Append a response's event; as ``record_request``."""

    def served(self) -> None:
        """Count one exchange as answered, whatever its status.

        Call it where the answer ends, apart from ``record_response``: the ledger compares
        the two.
        """

    def counts(self) -> Counts:
        """Return what has been counted so far."""

    def close(self, deadline_seconds: float | None = None) -> bool:
        """End the run: nothing more is recorded, and the shipper drains the outbox.

        Args:
            deadline_seconds: How long to wait for it; ``drain_seconds`` if None.

        Returns:
            Whether everything has been shipped; if not, it stays on the disk and the next
            shipper in the folder takes it over.
        """
