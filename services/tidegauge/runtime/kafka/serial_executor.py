"""One thread that does one thing after another: whatever touches the processor runs here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

__all__ = ["SerialExecutor"]

R = TypeVar("R")


class SerialExecutor:
    """A daemon thread with a queue. Work that hangs cannot keep the process from ending.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Have something done after all that was submitted before."""
        future: Future[R] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever waits is told
                future.set_exception(error)

        self._queue.put(run)
        return future

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            run()

    def close(self, timeout_seconds: float) -> None:
        """Let the thread end after what it has to do, and wait for that long."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)
