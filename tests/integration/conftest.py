"""A worker as a process of its own, so that it can be killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.streaming.lengths import Received

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import SKETCHES

SCRIPT = """
import signal, sys
from threading import Event
from tidegauge.runtime import telemetry
from tidegauge.runtime.kafka.consumer_loop import ConsumerLoop
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.sketching import SketchingProcessor
from tests.streaming.lengths import LengthExtractor

servers, group, transactions = sys.argv[1:]
telemetry.configure_logging(group)
stop = Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
settings = load(KafkaSettings).model_copy(
    update={
        "bootstrap_servers": servers,
        "transactions": transactions,
        "commit_interval_ms": 50,
        "batch_records": 50,
        "dead_letter_ratio": 1,
    }
)
fast = SketchSettings(window_ms=200, lateness_ms=400, idle_ms=1000, progress_ms=200)
processor = SketchingProcessor(LengthExtractor(), group, fast)
ConsumerLoop(settings, group, [REQUESTS], processor).run(stop)
"""


class WorkerProcess:
    """One worker; its log is in a file."""

    def __init__(self, folder: Path, servers: str, group: str, transactions: str) -> None:
        self.log = folder / f"{group}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, servers, group, transactions],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(40)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self, what: str) -> bool:
        return what in self.log.read_text()

    def tell(self) -> None:
        """Repeat the log, for the report of a test that fails."""
        sys.stdout.write(f"{self.log.name}:\n{self.log.read_text()}\n")


def received_from(settings: KafkaSettings, group: str) -> Received:
    """Return what a group's workers have published, as a reader knows it."""
    prefix = f"{group}/".encode()
    return Received(
        record
        for record in reader.read(settings, SKETCHES)
        if dict(record.headers)["ce_source"].startswith(prefix)
    )


@pytest.fixture
def start_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., WorkerProcess]]:
    """Return a function that starts a worker; all are gone afterwards."""
    monkeypatch.setenv("TIDEGAUGE_KAFKA_SESSION_TIMEOUT_MS", "3000")
    monkeypatch.setenv("TIDEGAUGE_KAFKA_TRANSACTION_TIMEOUT_MS", "5000")
    started: list[WorkerProcess] = []

    def start(servers: str, group: str, transactions: str = "auto") -> WorkerProcess:
        worker = WorkerProcess(tmp_path, servers, group, transactions)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.running:
            worker.kill()
        worker.tell()
