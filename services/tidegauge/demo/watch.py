"""Sends traffic while watching what the monitor says of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tidegauge.demo.monitor_client import MonitorClient, MonitorClientError
from tidegauge.demo.traffic import Ask, Client
from tidegauge.monitoring.view import MonitorView
from tidegauge.runtime.processes.errors import ServiceDiedError
from tidegauge.runtime.processes.supervisor import Supervisor
from tidegauge.schemas.findings import State

__all__ = ["DemoWatch"]

_SILENT = {State.NO_DATA, State.NO_BASELINE}
_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class DemoWatch:
    """The traffic's sender and the monitor's reader.

    Attributes:
        client: Sends.
        monitor: Is read about once a second while sending.
        supervisor: Checks that every service still runs.
        console: Where bars are drawn.
        began: ``time.monotonic()`` at the start of the demo.
        seconds_to_first_verdict: From ``began`` to the first verdict that tests something.
    """

    client: Client
    monitor: MonitorClient
    supervisor: Supervisor
    console: Console
    began: float
    seconds_to_first_verdict: float | None = None

    def send(
        self,
        title: str,
        asks: Sequence[Ask],
        *,
        until: Callable[[MonitorView], bool] = lambda _: False,
        linger_seconds: float = 0.0,
    ) -> bool:
        """Send requests under a bar; stop early once the monitor's view satisfies ``until``.

        Args:
            title: Of the bar.
            asks: What to send.
            until: Looked at with every view.
            linger_seconds: After the last answer, keep looking so long for ``until``.

        Returns:
            Whether ``until`` was satisfied.

        Raises:
            ServiceDiedError: A service ended.
        """
        if not self.console.is_terminal:  # where no bar is drawn, a line says what is done
            self.console.print(f"{title}: up to {len(asks)} requests")
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )
        with bar:
            task = bar.add_task(title, total=len(asks))
            try:
                return asyncio.run(
                    self._send(asks, until, linger_seconds, done=lambda: bar.advance(task))
                )
            except* ServiceDiedError as errors:
                died = errors
        raise _first(died)

    def look(self) -> MonitorView | None:
        """Return the monitor's view, None while it does not answer."""
        try:
            view = self.monitor.view()
        except MonitorClientError:
            return None
        if self.seconds_to_first_verdict is None and any(
            verdict.state not in _SILENT for verdict in view.verdicts
        ):
            self.seconds_to_first_verdict = time.monotonic() - self.began
        return view

    async def _send(
        self,
        asks: Sequence[Ask],
        until: Callable[[MonitorView], bool],
        linger_seconds: float,
        *,
        done: Callable[[], None],
    ) -> bool:
        async with self._looking(until) as satisfied:
            await self.client.send(asks, done=done, enough=satisfied.is_set)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(satisfied.wait(), linger_seconds)
            return satisfied.is_set()

    @contextlib.asynccontextmanager
    async def _looking(self, until: Callable[[MonitorView], bool]) -> AsyncIterator[asyncio.Event]:
        satisfied = asyncio.Event()

        async def look_on() -> None:
            while not satisfied.is_set():
                self.supervisor.check()
                view = await asyncio.to_thread(self.look)
                if view is not None and until(view):
                    satisfied.set()
                await asyncio.sleep(_LOOK_SECONDS)

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look_on())
            yield satisfied
            looking.cancel()


def _first(errors: BaseExceptionGroup[ServiceDiedError]) -> ServiceDiedError:
    """Return the first error of a group, without the group around it."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
