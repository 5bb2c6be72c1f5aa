from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

import msgspec
import pytest
from rich.console import Console

from tidegauge.demo.monitor_client import MonitorClient, MonitorClientError
from tidegauge.demo.prompts import Prompt
from tidegauge.demo.traffic import Client, DemoCustomer, plan
from tidegauge.demo.watch import DemoWatch
from tidegauge.monitoring.ledger import JudgeAccount, Ledger
from tidegauge.monitoring.view import MonitorView
from tidegauge.runtime.processes.errors import ServiceDiedError
from tidegauge.runtime.processes.supervisor import Service, Supervisor
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import State, Verdict

ASKS = plan(
    [Prompt(f"question {number}", "topic") for number in range(40)],
    [DemoCustomer("acme", "key", 1.0)],
    count=40,
    seed=1,
)


class Server:
    """A gateway and a monitor in one: the monitor's state depends on what the gateway saw."""

    def __init__(self, *, alarm_after: int) -> None:
        self.asked = 0
        self.reports: list[str] = []
        self.failing = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                state = State.WARN if outer.asked >= alarm_after else State.NO_DATA
                bodies = {
                    "/api/view": msgspec.json.encode(_view(state)),
                    "/api/reports": outer.list(),
                }
                self._send(200, bodies[self.path])

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self.rfile.read(length)
                if self.path == "/reports":
                    outer.order()
                else:
                    outer.asked += 1
                self._send(200, b"{}")

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = Thread(target=self._http.serve_forever, args=(0.05,))

    def list(self) -> bytes:
        listed = [{"report_id": name} for name in self.reports]
        return msgspec.json.encode(
            {"reports": listed, "busy": False, "error": self.failing or None}
        )

    def order(self) -> None:
        if not self.failing:
            self.reports.insert(0, f"report-{len(self.reports) + 1}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _view(state: State) -> MonitorView:
    verdict = Verdict(
        monitor="drift.topics",
        signal="drift",
        segment=Segment(model="assistant"),
        time_ms=0,
        state=state,
        sentence="",
    )
    return MonitorView(
        time_ms=0,
        started_ms=0,
        window_ms=2_000,
        display_range_ms=900_000,
        segments=(),
        verdicts=(verdict,),
        history=(),
        alerts=(),
        ledger=Ledger(
            captures=(), deliveries=(), judging=JudgeAccount(sampled=0, judged=0, skipped={})
        ),
        progress=(),
        version_comparisons=(),
    )


def _alarmed(view: MonitorView) -> bool:
    return any(verdict.state is State.WARN for verdict in view.verdicts)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(alarm_after=10) as running:
        yield running


def _watch(server: Server, supervisor: Supervisor, per_second: float = 40.0) -> DemoWatch:
    return DemoWatch(
        Client(server.address, "assistant", per_second=per_second, at_once=2),
        MonitorClient(server.address),
        supervisor,
        Console(quiet=True),
        time.monotonic(),
    )


def test_sending_ends_at_the_alarm(server: Server) -> None:
    watch = _watch(server, Supervisor(print), per_second=10.0)
    assert watch.send("shifted", ASKS, until=_alarmed)
    assert 10 <= server.asked < 40
    assert watch.seconds_to_first_verdict is not None


def test_all_is_sent_where_nothing_is_waited_for(server: Server) -> None:
    watch = _watch(server, Supervisor(print))
    assert not watch.send("normal", ASKS)
    assert server.asked == 40


def test_an_alarm_that_comes_late_is_waited_for() -> None:
    with Server(alarm_after=40) as server:
        watch = _watch(server, Supervisor(print), per_second=400.0)
        assert watch.send("shifted", ASKS, until=_alarmed, linger_seconds=20)


def test_waiting_for_an_alarm_has_an_end() -> None:
    with Server(alarm_after=1_000) as server:
        watch = _watch(server, Supervisor(print), per_second=400.0)
        assert not watch.send("shifted", ASKS, until=_alarmed, linger_seconds=0.1)


def test_a_service_that_dies_ends_the_sending(server: Server, tmp_path: Path) -> None:
    doomed = Service(
        name="doomed",
        command=(sys.executable, "-c", "raise SystemExit('out of memory')"),
        log=tmp_path / "doomed.log",
        environment={},
    )
    with Supervisor(print) as supervisor:
        supervisor.start(doomed)
        with pytest.raises(ServiceDiedError, match="out of memory"):
            _watch(server, supervisor, per_second=2.0).send("normal", ASKS)


def test_a_monitor_that_is_away_is_no_verdict() -> None:
    supervisor = Supervisor(print)
    with Server(alarm_after=0) as server:
        watch = _watch(server, supervisor)
    assert watch.look() is None


def test_a_report_is_ordered_and_waited_for(server: Server) -> None:
    server.reports.append("old")
    address = MonitorClient(server.address).build_report((0, 1), (1, 2))
    assert address == f"{server.address}/reports/report-2"


def test_a_report_that_fails_says_why(server: Server) -> None:
    server.failing = "no rows in the reference"
    with pytest.raises(MonitorClientError, match="no rows in the reference"):
        MonitorClient(server.address).build_report((0, 1), (1, 2))
