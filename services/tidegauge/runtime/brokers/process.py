"""A broker as a child process: started, waited for, killed."""

from __future__ import annotations

import logging
import random
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tidegauge.reports.formatting import duration
from tidegauge.runtime.brokers.errors import BrokerError

__all__ = ["Broker", "free_port"]

LOOPBACK = "127.0.0.1"
_LOG_TAIL = 2_000
_PORTS = (15_000, 32_000)
_TRIES = 200


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on.

    It lies below the ports that systems give to outgoing connections, one of which could have
    taken it before it is used.
    """
    for _ in range(_TRIES):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, random.randrange(*_PORTS)))  # noqa: S311 - no secret
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise BrokerError(f"no free port among {_TRIES} between {_PORTS[0]} and {_PORTS[1]}")


class Broker(ABC):
    """One node on the loopback interface, with a folder of its own that is removed at the end.

    As a context manager it runs inside the ``with`` block.

    Args:
        port: Port to listen on; any free port if None.
        start_seconds: Longest time to wait until it answers.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        start_seconds: float = 60.0,
    ) -> None:
        self.port = port or free_port()
        self._start_seconds = start_seconds
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self, folder: Path) -> Sequence[str]:
        """Prepare the folder and return the broker's command line."""

    @property
    @abstractmethod
    def transactional(self) -> bool:
        """Whether readers of committed records never see an aborted one."""

    @property
    @abstractmethod
    def durable(self) -> bool:
        """Whether acknowledged records survive a kill and a restart."""

    @property
    def folder(self) -> Path | None:
        """The broker's own folder; None before its first start."""
        return self._folder

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address in the form that clients take."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id, None while it is down."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the broker and wait until it answers.

        Raises:
            BrokerError: It did not start; the message has the end of its log.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tidegauge-broker-"))
        command = self._command(self._folder)
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise BrokerError(f"{self._name} stopped at once; its log ends:\n{self._tail()}")
            if self._answers():
                return
            time.sleep(0.05)
        raise BrokerError(
            f"{self._name} did not answer on {self.bootstrap_servers} within "
            f"{duration(self._start_seconds)}; its log ends:\n{self._tail()}"
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1):
                pass
        except OSError:
            return False
        library = logging.getLogger("kafka")
        level = library.level
        library.setLevel(logging.CRITICAL)  # it warns of an absent broker, which is expected here
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=self.bootstrap_servers,
                bootstrap_timeout_ms=2_000,
                request_timeout_ms=2_000,
            )
            try:
                admin.list_topics()
            finally:
                admin.close()
        except KafkaError:
            return False
        finally:
            library.setLevel(level)
        return True

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _tail(self) -> str:
        if self._folder is None:
            return ""
        log = self._folder / "broker.log"
        return log.read_text(errors="replace")[-_LOG_TAIL:] if log.exists() else ""

    def kill(self) -> None:
        """Send SIGKILL to the broker; its folder stays, and ``start`` starts it again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the broker at once, since its folder goes, too; safe to call twice."""
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        """Start the broker."""
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End the broker and remove its folder."""
        self.close()
