"""A deadline for a clean stop: a process that misses it ends all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Event, Thread

import structlog

from tidegauge.reports.formatting import duration

__all__ = ["MARGIN_SECONDS", "MISSED", "end_in_time"]

MARGIN_SECONDS = 5.0
"""Time in which a stop that takes as long as it may still ends by itself."""

MISSED = 70
"""Exit status of a process that did not stop in time."""

_log = structlog.get_logger(__name__)


def end_in_time(stop: Event, seconds: float, end: Callable[[int], object] = os._exit) -> Thread:
    """Start a thread that ends this process if it is still there a while after ``stop``.

    A library may be stuck in a call that no thread can end; what was not committed will be
    processed again by the next owner, as after a kill.

    Args:
        stop: Set when the process is asked to stop.
        seconds: Time that a clean stop may take; ``MARGIN_SECONDS`` are added.
        end: Ends the process with a status, without cleaning up.
    """

    def watch() -> None:
        stop.wait()
        # Nothing sets this one: it waits, and the process ends meanwhile if all is well.
        Event().wait(seconds + MARGIN_SECONDS)
        _log.error(
            "not stopped in time: ending at once; uncommitted records will be processed again",
            deadline=duration(seconds + MARGIN_SECONDS),
        )
        end(MISSED)

    thread = Thread(target=watch, name="deadline", daemon=True)
    thread.start()
    return thread
