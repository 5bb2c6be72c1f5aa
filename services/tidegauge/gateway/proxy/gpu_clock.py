"""Whose time a shared server's time is: processor sharing, exactly additive."""

from __future__ import annotations

__all__ = ["GpuClock"]


class GpuClock:
    """Shares a server's busy time among the exchanges under way.

    Its reading rises by ``1 / active`` seconds a second while ``active`` exchanges are
    under way, so the difference of two readings is one exchange's share, and all shares add
    up to the time in which the server was busy (the virtual time of processor sharing).

    Example:
        >>> clock = GpuClock()
        >>> first = clock.enter(0.0)
        >>> second = clock.enter(1.0)
        >>> clock.leave(3.0) - first, clock.leave(4.0) - second, clock.busy_seconds(9.0)
        (2.0, 2.0, 4.0)
    """

    def __init__(self) -> None:
        self._active = 0
        self._reading = 0.0
        self._busy = 0.0
        self._moment = 0.0

    def enter(self, now: float) -> float:
        """Begin an exchange at a moment, in seconds; return the reading."""
        self._advance(now)
        self._active += 1
        return self._reading

    def leave(self, now: float) -> float:
        """End an exchange; return the reading."""
        self._advance(now)
        self._active -= 1
        return self._reading

    def busy_seconds(self, now: float) -> float:
        """Return for how long at least one exchange was under way."""
        self._advance(now)
        return self._busy

    def _advance(self, now: float) -> None:
        passed, self._moment = now - self._moment, now
        if self._active and passed > 0.0:
            self._busy += passed
            self._reading += passed / self._active
