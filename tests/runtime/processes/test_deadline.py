from __future__ import annotations

import subprocess
import sys
from threading import Event

import pytest

from tidegauge.runtime.processes import deadline
from tidegauge.runtime.processes.deadline import MISSED, end_in_time

HANGS = """
import signal
from threading import Event, Thread
from tidegauge.runtime.processes import deadline

deadline.MARGIN_SECONDS = 0.0
stop = Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
deadline.end_in_time(stop, 0.2)
Thread(target=Event().wait).start()
print("ready", flush=True)
while True:
    try:
        Event().wait()
    except BaseException:
        pass
"""


def test_a_process_that_hangs_ends_at_its_deadline() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(20) == MISSED


def test_nothing_ends_before_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "MARGIN_SECONDS", 0.0)
    ended: list[int] = []
    stop = Event()
    thread = end_in_time(stop, 0.0, ended.append)
    assert thread.daemon
    assert not ended
    stop.set()
    thread.join(10)
    assert ended == [MISSED]
