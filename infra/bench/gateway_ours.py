"""Our gateway for the benchmark: as users run it, or with nothing captured, to compare.

With a file as its second argument its event loop can be watched: SIGUSR1 begins, SIGUSR2 ends
and writes how late timers were called, in milliseconds, as a JSON list of pairs: all of it, and
what is left without the time in which the process waited for a core of the machine.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tidegauge.capture.frame import CompactFormat
from tidegauge.capture.recorder import Recorder
from tidegauge.gateway import main

TICK_SECONDS = 0.005
R = TypeVar("R")


class Forgetful(Recorder):
    """Records nothing."""

    def start(self) -> None:
        """Make no outbox."""

    def record_compact(
        self, format_: CompactFormat[R], records: Sequence[R], *, served: int = 0
    ) -> bool:
        """Forget them."""
        del format_, records, served
        return True


class Probe:
    """Watches how late the event loop calls a timer; its own granularity, 1 ms, is in there.

    Args:
        file: Where the result goes.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lags_ms: list[tuple[float, float]] = []
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin."""
        self._lags_ms = []
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        waited = _waited_ms()
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            lag = (time.perf_counter() - due) * 1e3
            before, waited = waited, _waited_ms()
            self._lags_ms.append((lag, max(0.0, lag - (waited - before))))

    def end(self) -> None:
        """End, and write the result in one step."""
        if self._task is not None:
            self._task.cancel()
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(self._lags_ms))
        draft.replace(self._file)


def _waited_ms() -> float:
    """Return for how long the process has been ready to run and was not running."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e6


class Watched(main._Server):  # noqa: SLF001 - the server as it is, but for two more signals
    """A server whose event loop can be watched."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle two signals more."""
        probe = Probe(Path(sys.argv[2]))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, probe.begin)
        loop.add_signal_handler(signal.SIGUSR2, probe.end)
        with super().capture_signals():
            yield


if __name__ == "__main__":
    if sys.argv[1] == "uncaptured":
        main.Recorder = Forgetful  # type: ignore[misc]
    main._Server = Watched  # type: ignore[misc]  # noqa: SLF001 - as above
    main.run()
