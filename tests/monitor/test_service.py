"""The whole service as a process of its own, on a real broker."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from tidegauge.monitoring.rates import FINGERPRINT, build_rates_baseline
from tidegauge.monitoring.view import MonitorView
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Event, Segment, Topic
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.sketches import Progress
from tidegauge.schemas.topics import RESPONSES, SKETCHES
from tidegauge.streaming.processor import Output

WINDOW_MS = 2_000


class Get(Protocol):
    def __call__(self, path: str, form: bytes | None = None) -> bytes: ...


def waited(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.2)


class Receiver(ThreadingHTTPServer):
    """A webhook that is unwell for its first deliveries."""

    daemon_threads = True

    def __init__(self, failures: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures = failures
        self.got: list[Alert] = []
        self.signed = True


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.signed &= self.headers["webhook-signature"].startswith("v1,")
        if self.server.failures:
            self.server.failures -= 1
            self.send_response(503)
        else:
            self.server.got.append(msgspec.json.decode(body, type=Alert))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(failures=2) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def running(environment: dict[str, str], log: Path) -> Iterator[Get]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", "from tidegauge.monitor.main import run; run()"],
            env={**os.environ, **environment, "TIDEGAUGE_MONITOR_PORT": str(port)},
            stderr=out,
        )
        try:

            def get(path: str, form: bytes | None = None) -> bytes:
                assert process.poll() is None, log.read_text()
                url = f"http://127.0.0.1:{port}{path}"
                with urllib.request.urlopen(url, form, timeout=5) as answer:
                    body: bytes = answer.read()
                return body

            waited(lambda: b"true" in get("/readyz"))
            yield get
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def view_of(get: Get) -> MonitorView:
    return msgspec.json.decode(get("/api/view"), type=MonitorView)


def publish(kafka: KafkaSettings, *found: tuple[Topic, Event, int]) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(topic, "k", event, "test", f"{uuid.uuid4()}", time_ms)
            for topic, event, time_ms in found
        )


def test_it_measures_follows_baselines_alerts_once_and_goes_on_after_a_restart(
    kafka: KafkaSettings,
    make_view: Callable[[], MonitorView],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    log, group = tmp_path / "log", f"monitor-{uuid.uuid4().hex[:8]}"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TIDEGAUGE_WINDOW_SECONDS": str(WINDOW_MS // 1000),
        "TIDEGAUGE_MONITOR_GROUP": group,
        "TIDEGAUGE_MONITOR_REPORTS_DIR": str(tmp_path / "reports"),
        "TIDEGAUGE_MONITOR_SILENT_SECONDS": "2",
        "TIDEGAUGE_MONITOR_WEBHOOK_URL": f"http://127.0.0.1:{receiver.server_port}/hook",
        "TIDEGAUGE_MONITOR_WEBHOOK_SECRET": "a secret of ours",
        "TIDEGAUGE_MONITOR_WORKERS": '["drift"]',
    }
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms // WINDOW_MS * WINDOW_MS - 10 * WINDOW_MS
    segment = Segment(model=f"m-{group}", version="v1", route="/chat")
    sketch = msgspec.structs.replace(
        make_view().segments[0].display_range["vitals"],
        segment=segment,
        window_start_ms=start_ms,
        window_ms=WINDOW_MS,
        producer_id=f"{group}/responses.v1-0",
        sequence=1,
    )
    reports = [
        Progress(
            kind="vitals",
            producer_id=f"{group}/responses.v1-{partition}",
            sequence=2,
            time_ms=now_ms,
            topic=RESPONSES.name,
            partition=partition,
            next_offset=1,
            watermark_ms=start_ms + 4 * WINDOW_MS,
            tallies={},
        )
        for partition in range(RESPONSES.partitions)
    ]
    with running(environment, log) as get:
        publish(
            kafka,
            (SKETCHES, sketch, start_ms),
            *((SKETCHES, report, now_ms) for report in reports),
        )
        waited(lambda: segment in {item.segment for item in view_of(get).segments})
        assert f"m-{group}".encode() in get("/")
        (counted,) = re.findall(
            rf'tidegauge_requests_total{{.*m-{group}".*', get("/metrics").decode()
        )
        assert counted.endswith(" 400.0")
        store = BaselineStore(kafka)
        baseline = build_rates_baseline([sketch])
        baseline_id = store.publish("rates", baseline.to_bytes(), FINGERPRINT, baseline.summary())
        store.activate(baseline_id)
        waited(lambda: baseline_id in {item.baseline_id for item in view_of(get).baselines})
        # Nobody embeds: that is an alarm, and the webhook gets it once it is well.
        waited(lambda: len(receiver.got) > 0)
    first = [alert for alert in receiver.got if alert.status == "firing"]
    assert {alert.signal for alert in first} == {"pipeline"}
    assert receiver.signed
    assert receiver.failures == 0
    told = len(receiver.got)
    with running(environment, log) as get:
        waited(lambda: bool(view_of(get).alerts))
        view = view_of(get)
        assert segment in {item.segment for item in view.segments}
        assert {item.baseline_id for item in view.baselines} >= {baseline_id}
        assert {alert.alert_id for alert in view.alerts} & {alert.alert_id for alert in first}
        waited(
            lambda: b'tidegauge_notification_failures{receiver="webhook"} 0.0' in get("/metrics")
        )
        loud = view_of(get).alerts[0]
        form = {
            "action": "silence",
            "monitor": loud.monitor,
            "segment": loud.segment.key,
            "hours": "1",
            "who": "ada",
        }
        get("/controls", urllib.parse.urlencode(form).encode())
        waited(lambda: [item.who for item in view_of(get).silences] == ["ada"])
    again = receiver.got[told:]
    assert not {alert.alert_id for alert in again if alert.status == "firing"} & {
        alert.alert_id for alert in first
    }
