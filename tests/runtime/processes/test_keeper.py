from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tidegauge.runtime.brokers.process import free_port
from tidegauge.runtime.processes.errors import ServiceDiedError
from tidegauge.runtime.processes.keeper import RestartPolicy, ServiceKeeper
from tidegauge.runtime.processes.process_tree import descendants
from tidegauge.runtime.processes.supervisor import Service, Supervisor

SERVER = """
import http.server, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])),
                                http.server.SimpleHTTPRequestHandler)
server.serve_forever()
"""
REFUSES = """
import sys
sys.stderr.write("tidegauge: TIDEGAUGE_JUDGE_RATE is 'x': it must be a number\\n")
sys.exit(2)
"""
QUICK = RestartPolicy(first_seconds=0.05, longest_seconds=0.2, refused_seconds=0.1)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    with Supervisor(said.append, stop_seconds=0.5) as found:
        yield found


def server(name: str, folder: Path) -> Service:
    port = free_port()
    return Service(
        name=name,
        command=(sys.executable, "-c", SERVER, str(port)),
        log=folder / f"{name}.log",
        environment=os.environ,
        ready_url=f"http://127.0.0.1:{port}/",
    )


def refusing(name: str, folder: Path, code: str = REFUSES) -> Service:
    return replace(server(name, folder), command=(sys.executable, "-c", code))


def look_until(keeper: ServiceKeeper, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        keeper.look()
        time.sleep(0.01)


def pid_of(service: Service) -> int | None:
    for member in descendants(os.getpid()):
        try:
            words = Path(f"/proc/{member.pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:  # it has ended meanwhile
            continue
        if words == list(service.command):
            return member.pid
    return None


def kill(keeper: ServiceKeeper, service: Service) -> int:
    """Kill a service's process, as soon as there is one, and return its number.

    The process is looked up once: a killed one may vanish between two looks, and its absence as
    a number, 0, would be this process's whole group.
    """
    found: list[int] = []

    def runs() -> bool:
        pid = pid_of(service)
        found.extend([] if pid is None else [pid])
        return bool(found)

    look_until(keeper, runs)
    os.kill(found[0], signal.SIGKILL)
    return found[0]


def test_a_killed_service_is_started_again_and_the_others_never_notice(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    gateway, worker = server("gateway", tmp_path), server("worker", tmp_path)
    keeper = ServiceKeeper(supervisor, [gateway, worker], essential="gateway", policy=QUICK)
    keeper.start()
    look_until(keeper, lambda: keeper.ready)
    serving, killed = pid_of(gateway), kill(keeper, worker)
    look_until(keeper, lambda: not keeper.ready)
    assert said[-1] == "the worker was ended by SIGKILL; it is started again in 50.0 ms"
    look_until(keeper, lambda: keeper.ready)
    assert pid_of(worker) not in {None, killed}
    assert pid_of(gateway) == serving


def test_a_kill_during_the_start_is_no_end(tmp_path: Path, supervisor: Supervisor) -> None:
    worker = server("worker", tmp_path)
    keeper = ServiceKeeper(supervisor, [worker], essential="worker", policy=QUICK)
    keeper.start()
    for _ in range(3):
        kill(keeper, worker)
    look_until(keeper, lambda: keeper.ready)


def test_pauses_grow_until_a_service_has_run_for_a_while(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    clock = [0.0]
    policy = RestartPolicy(first_seconds=1, longest_seconds=4, steady_seconds=60)
    worker = refusing("worker", tmp_path, "raise SystemExit(1)")
    keeper = ServiceKeeper(
        supervisor, [worker], essential="gateway", policy=policy, now=lambda: clock[0]
    )
    keeper.start()
    for number, (pause, ran) in enumerate(
        (("1 s", 0), ("2 s", 0), ("4 s", 0), ("4 s", 60), ("1 s", 0)), start=1
    ):
        look_until(keeper, lambda: len(said) == number)  # noqa: B023 - called within the round
        assert said[-1].endswith(f"is started again in {pause}")
        clock[0] += 4
        keeper.look()
        clock[0] += ran


def test_a_service_that_refuses_is_named_once_with_its_reason_and_tried_again(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    mended = tmp_path / "mended"
    code = f"import os, sys\nif not os.path.exists({str(mended)!r}):\n    " + "\n    ".join(
        REFUSES.strip().splitlines()
    )
    gateway = server("gateway", tmp_path)
    worker = server("judge worker", tmp_path)
    worker = replace(
        worker, command=(sys.executable, "-c", code + "\n" + SERVER, worker.command[-1])
    )
    keeper = ServiceKeeper(supervisor, [gateway, worker], essential="gateway", policy=QUICK)
    keeper.start()
    tries = worker.log
    look_until(keeper, lambda: tries.exists() and tries.read_text().count("must be") >= 3)
    (line,) = [line for line in said if "judge worker" in line]
    assert line == (
        "the judge worker refuses to start, the others go on: tidegauge: TIDEGAUGE_JUDGE_RATE "
        "is 'x': it must be a number (it is tried again every 100 ms)"
    )
    mended.touch()
    look_until(keeper, lambda: keeper.ready)


def test_without_the_essential_service_there_is_nothing_to_keep(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    keeper = ServiceKeeper(
        supervisor,
        [refusing("gateway", tmp_path), server("worker", tmp_path)],
        essential="gateway",
        policy=QUICK,
    )
    keeper.start()
    with pytest.raises(ServiceDiedError, match=r"gateway ended with status 2(.|\n)*must be a num"):
        look_until(keeper, lambda: False)


def test_a_service_that_is_late_is_named_once(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    slow = refusing("worker", tmp_path, "import time; time.sleep(600)")
    clock = [0.0]
    keeper = ServiceKeeper(supervisor, [slow], essential="gateway", now=lambda: clock[0])
    keeper.start()
    for _ in range(3):
        clock[0] += 200
        keeper.look()
    assert said == [f"the worker is not ready after 7 min: see its log, {slow.log}"]


def test_a_service_that_cannot_be_started_is_tried_again(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    folder = tmp_path / "logs"
    folder.write_text("no folder")
    worker = server("worker", folder)
    keeper = ServiceKeeper(supervisor, [worker], essential="gateway", policy=QUICK)
    keeper.start()
    assert said[0].startswith("the worker cannot be started (")
    folder.unlink()
    look_until(keeper, lambda: keeper.ready)
