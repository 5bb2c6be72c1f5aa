"""An executor with one thread, which runs what is submitted in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

__all__ = ["SerialExecutor"]

R = TypeVar("R")


class SerialExecutor:
    """A daemon thread with a queue; work that hangs does not prevent the process from ending.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Run work after all work submitted before."""
        future: Future[R] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised by the future's result
                future.set_exception(error)

        self._queue.put(run)
        return future

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            run()

    def close(self, timeout_seconds: float) -> None:
        """End the thread after its queued work, and wait for its end up to a timeout."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)
