"""Event time in one partition: which window an event belongs to, and which are closed.

Windows are tumbling and aligned to the Unix epoch. A window closes with an event that is
``lateness_ms`` beyond its end. It also closes ``lateness_ms`` after its end if the partition is
idle: read to its end, and without a record for ``idle_ms``.
"""

from __future__ import annotations

__all__ = ["Watermark"]


class Watermark:
    """The progress of event time in one partition; it never goes back.

    Attributes:
        latest_ms: Greatest event time seen, None before the first event.
        closed_ms: Windows that end at or before it are closed; 0 while no window is closed.
    """

    __slots__ = (
        "_idle_ms",
        "_lateness_ms",
        "_silent_since_ms",
        "_window_ms",
        "closed_ms",
        "latest_ms",
    )

    def __init__(
        self,
        *,
        window_ms: int,
        lateness_ms: int,
        idle_ms: int,
        latest_ms: int | None = None,
        closed_ms: int = 0,
    ) -> None:
        self._window_ms = window_ms
        self._lateness_ms = lateness_ms
        self._idle_ms = idle_ms
        self._silent_since_ms: int | None = None
        self.latest_ms = latest_ms
        self.closed_ms = closed_ms

    def place(self, time_ms: int) -> tuple[int, bool]:
        """Return the start of the window that an event is counted in, and whether it is late.

        A late event, whose own window is closed, is counted in the next open one. An event
        moves the watermark for the events after it, not for itself.
        """
        late = time_ms < self.closed_ms
        start = self.closed_ms if late else time_ms - time_ms % self._window_ms
        if self.latest_ms is None or time_ms > self.latest_ms:
            self.latest_ms = time_ms
            self._close(time_ms)
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
