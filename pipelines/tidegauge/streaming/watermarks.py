"""Event time in one partition: which window an event belongs to, and which are closed.

Windows are tumbling and aligned to the Unix epoch. A window closes with an event that is
``lateness_ms`` beyond its end. It also closes ``lateness_ms`` after its end if the partition is
idle: read to its end, and without a record for ``idle_ms``. If every event has been late for
``hold_ms`` of the log's clock, as after a producer's clock was set back, windows close that much
after that clock.
"""

from __future__ import annotations

__all__ = ["Watermark"]


class Watermark:
    """The progress of event time in one partition; it never goes back.

    Attributes:
        latest_ms: Greatest event time seen, None before the first event.
        closed_ms: Windows that end at or before it are closed; 0 while no window is closed.
        late_since_ms: The log's clock at the first of the late events that have come since
            ``latest_ms`` grew last; None without one.
    """

    __slots__ = (
        "_hold_ms",
        "_idle_ms",
        "_lateness_ms",
        "_silent_since_ms",
        "_window_ms",
        "closed_ms",
        "late_since_ms",
        "latest_ms",
    )

    def __init__(  # noqa: PLR0913 - settings and state, all by name
        self,
        *,
        window_ms: int,
        lateness_ms: int,
        idle_ms: int,
        hold_ms: int,
        latest_ms: int | None = None,
        closed_ms: int = 0,
        late_since_ms: int | None = None,
    ) -> None:
        self._window_ms = window_ms
        self._lateness_ms = lateness_ms
        self._idle_ms = idle_ms
        self._hold_ms = hold_ms
        self._silent_since_ms: int | None = None
        self.latest_ms = latest_ms
        self.closed_ms = closed_ms
        self.late_since_ms = late_since_ms

    def place(self, time_ms: int, clock_ms: int = 0) -> tuple[int, bool]:
        """Return the start of the window that an event is counted in, and whether it is late.

        A late event, whose own window is closed, is counted in the next open one. An event
        moves the watermark for the events after it, not for itself.

        Args:
            time_ms: The event's time.
            clock_ms: The log's clock when it was appended; 0 if unknown.
        """
        late = time_ms < self.closed_ms
        start = self.closed_ms if late else time_ms - time_ms % self._window_ms
        if self.latest_ms is None or time_ms > self.latest_ms:
            self.latest_ms = time_ms
            self.late_since_ms = None
            self._close(time_ms)
        elif late and clock_ms > 0:
            if self.late_since_ms is None:
                self.late_since_ms = clock_ms
            if clock_ms - self.late_since_ms >= self._hold_ms:
                self._close(clock_ms - self._hold_ms)
        return start, late

    def heard(self) -> None:
        """Record that a record arrived: the partition is not idle."""
        self._silent_since_ms = None

    def silent(self, now_ms: int) -> None:
        """Record that at ``now_ms`` every record of the partition had been read."""
        if self._silent_since_ms is None:
            self._silent_since_ms = now_ms
        if now_ms - self._silent_since_ms >= self._idle_ms:
            self._close(now_ms)

    def _close(self, time_ms: int) -> None:
        until = time_ms - self._lateness_ms
        self.closed_ms = max(self.closed_ms, until - until % self._window_ms)
