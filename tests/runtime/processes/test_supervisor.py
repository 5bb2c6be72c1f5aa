from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegauge.runtime.brokers.process import free_port
from tidegauge.runtime.processes.errors import NotReadyError, ServiceDiedError
from tidegauge.runtime.processes.process_tree import Member, descendants, is_alive
from tidegauge.runtime.processes.supervisor import Service, Supervisor, tail

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print("started", child.pid, flush=True)
time.sleep(600)
"""
SERVER = """
import http.server, sys
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])),
                                http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def _service(name: str, code: str, folder: Path, *arguments: str, ready_url: str = "") -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-c", code, *arguments),
        log=folder / f"{name}.log",
        environment=os.environ,
        ready_url=ready_url,
    )


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.02)


def test_stopping_leaves_nothing_of_a_stubborn_family(tmp_path: Path) -> None:
    said: list[str] = []
    others = set(descendants(os.getpid()))
    with Supervisor(say=said.append, stop_seconds=0.5) as supervisor:
        supervisor.start(_service("stubborn", STUBBORN, tmp_path))
        supervisor.wait_for(
            lambda: "started" in tail(tmp_path / "stubborn.log"), what="the child", seconds=20
        )
        family = set(descendants(os.getpid())) - others
        assert len(family) >= 2
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert said == ["the stubborn did not end in 500 ms: killed"]
    _until(lambda: not any(is_alive(member) for member in family))


def test_a_polite_service_ends_by_itself(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('goodbye', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('hello', flush=True)\ntime.sleep(600)"
    )
    with Supervisor(say=print) as supervisor:
        supervisor.start(_service("polite", code, tmp_path))
        supervisor.wait_for(
            lambda: "hello" in tail(tmp_path / "polite.log"), what="a greeting", seconds=20
        )
    assert tail(tmp_path / "polite.log") == "  hello\n  goodbye"


def test_readiness_is_waited_for_with_a_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    lines: list[str] = []
    with Supervisor(say=lines.append) as supervisor:
        supervisor.start(
            _service("server", SERVER, tmp_path, url.split(":")[2].strip("/"), ready_url=url)
        )
        supervisor.wait_ready("server", seconds=30)
        supervisor.wait_ready("server", seconds=30)
    assert lines[0] == f"waiting for the server: {url}"
    assert lines[1].startswith("the server is ready (")
    assert lines[2] == f"the server is ready: {url}"


def test_a_death_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    with Supervisor(say=print) as supervisor:
        supervisor.start(
            _service(
                "doomed",
                "raise SystemExit('no configuration')",
                tmp_path,
                ready_url="http://127.0.0.1:9/",
            )
        )
        with pytest.raises(ServiceDiedError, match=r"doomed ended with status 1(.|\n)*no config"):
            supervisor.wait_ready("doomed", seconds=20)


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with Supervisor(say=print) as supervisor:
        supervisor.start(_service("idle", "import time; time.sleep(600)", tmp_path))
        with pytest.raises(NotReadyError, match="gave up after 200 ms of waiting for godot"):
            supervisor.wait_for(lambda: False, what="godot", seconds=0.2)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_services_die_with_a_supervisor_that_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    code = "print('up', flush=True); import time; time.sleep(600)"
    script = textwrap.dedent(f"""
        import os, sys, time
        from pathlib import Path
        from tidegauge.runtime.processes.supervisor import Service, Supervisor
        with Supervisor(say=print) as supervisor:
            supervisor.start(Service(name="idle", log=Path({str(tmp_path / "idle.log")!r}),
                command=(sys.executable, "-c", {code!r}),
                environment=os.environ))
            time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", script]) as demo:
        try:
            _until(lambda: "up" in tail(tmp_path / "idle.log"))
            family = descendants(demo.pid)
            assert family
        finally:
            demo.send_signal(how)
    _until(lambda: not any(is_alive(member) for member in family))


def test_a_process_is_known_by_its_start_too() -> None:
    me = next(m for m in descendants(os.getppid()) if m.pid == os.getpid())
    assert is_alive(me)
    assert not is_alive(Member(me.pid, me.started - 1))
    assert not is_alive(Member(2**22 + 1, 0))
