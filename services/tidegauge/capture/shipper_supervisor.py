"""Keeps a shipper process running beside the process that captures."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time

from tidegauge.capture.runs import Run
from tidegauge.capture.settings import CaptureSettings, settings_to_json

__all__ = ["LEFT_BEHIND", "ShipperSupervisor"]

_log = logging.getLogger(__name__)

LEFT_BEHIND = 3
"""Exit status of a shipper that had to stop before everything was shipped."""

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
_KILL_SECONDS = 0.05


class ShipperSupervisor:
    """Starts the shipper, and restarts it if it ends before its run has been shipped.

    Args:
        settings: Passed to the shipper on standard input, so that no secret appears in its
            arguments.
        run: The shipper's own run.
        module: The shipper's module.
    """

    def __init__(self, settings: CaptureSettings, run: Run, module: str) -> None:
        self._module = module
        self._settings = settings_to_json(settings)
        self._run = run
        self._ending = threading.Event()
        self._given_up = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="tidegauge-shipper", daemon=True)

    @property
    def pid(self) -> int | None:
        """Process id of the running shipper, None if none is running."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the shipper and watch it from a thread that sleeps until it ends."""
        self._thread.start()

    def _watch(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            started = time.monotonic()
            try:
                status = self._run_shipper()
            except OSError as error:
                _log.error("the shipper cannot be started (%s); events stay on the disk", error)
            else:
                if not self._run.path.exists() or self._given_up.is_set():
                    return
                if self._ending.is_set() and status == LEFT_BEHIND:
                    return
                _log.warning("the shipper ended with status %d and is started again", status)
            if time.monotonic() - started > _HEALTHY_SECONDS or self._ending.is_set():
                backoff = _FIRST_BACKOFF_SECONDS
            (self._given_up if self._ending.is_set() else self._ending).wait(backoff)
            if self._given_up.is_set():
                return
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)

    def _run_shipper(self) -> int:
        command = [
            sys.executable,
            "-m",
            self._module,
            "--run",
            self._run.producer_id,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # noqa: S603 - our own
            self._process = process
            try:
                process.communicate(self._settings)
            finally:
                self._process = None
            return process.returncode

    def wait(self, deadline_seconds: float) -> None:
        """Wait for the shipper to finish the ended run; kill it when the deadline passes."""
        self._ending.set()
        self._thread.join(deadline_seconds)
        self._given_up.set()
        while self._thread.is_alive():
            if (process := self._process) is not None:
                process.kill()  # the next shipper takes over the rest
            self._thread.join(_KILL_SECONDS)
