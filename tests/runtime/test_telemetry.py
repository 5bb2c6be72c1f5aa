from __future__ import annotations

import json
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected

import pytest
import structlog
from prometheus_client import Counter

from tidegauge.runtime import telemetry
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.telemetry import TelemetryError

SEEN = Counter("tidegauge_test_telemetry_seen_total", "Counts what the telemetry test saw.")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def get(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_health_readiness_and_metrics_are_served() -> None:
    ready = False
    with telemetry.serve(0, lambda: ready) as server:
        assert get(server.port, "/healthz") == (200, '{"alive": true}\n')
        assert get(server.port, "/readyz")[0] == 503
        ready = True
        assert get(server.port, "/readyz") == (200, '{"ready": true}\n')
        SEEN.inc()
        status, metrics = get(server.port, "/metrics")
        assert status == 200
        assert "tidegauge_test_telemetry_seen_total 1.0" in metrics
        assert get(server.port, "/elsewhere")[0] == 404


def test_a_process_that_cannot_recover_is_not_alive() -> None:
    with telemetry.serve(0, lambda: True, alive=lambda: False) as server:
        assert get(server.port, "/healthz")[0] == 503


def test_a_probe_that_does_not_wait_leaves_nothing_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked, gone = threading.Event(), threading.Event()

    def ready() -> bool:
        asked.set()
        return gone.wait(10)

    before = set(threading.enumerate())
    with telemetry.serve(0, ready) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as probe:
            probe.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert asked.wait(10)
            reset_at_close = struct.pack("ii", 1, 0)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
        gone.set()
        answering = [
            thread for thread in set(threading.enumerate()) - before if thread.name != "telemetry"
        ]
        for thread in answering:
            thread.join(10)
    assert capsys.readouterr().err == ""


def test_a_probe_that_fails_is_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging("vitals")

    def ready() -> bool:
        raise ZeroDivisionError

    with telemetry.serve(0, ready) as server, pytest.raises(RemoteDisconnected):
        get(server.port, "/readyz")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_a_taken_port_is_named() -> None:
    with (
        telemetry.serve(0, lambda: True) as server,
        pytest.raises(TelemetryError, match=rf"127\.0\.0\.1:{server.port}.*another port"),
    ):
        telemetry.serve(server.port, lambda: True)


def test_a_line_is_one_json_object_whatever_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging("vitals")
    hostile = 'a\n{"event": "forged"}\x1b[31m'
    structlog.get_logger("tidegauge.test").warning("rejected", detail=hostile)
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["event"] == "rejected"
    assert entry["service"] == "vitals"
    assert entry["level"] == "warning"
    assert entry["detail"] == hostile
    assert "\x1b" not in line


def test_libraries_speak_through_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging("drift")
    library = logging.getLogger("a_library.cluster")  # nothing else in this process sets its level
    library.warning("broker %s is away", "b1")
    library.info("chatter")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "broker b1 is away"


def test_kafka_python_is_heard_at_debug_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure_logging("drift")
    logging.getLogger("kafka.net").error("Connection failed")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TIDEGAUGE_LOG_LEVEL", "debug")
    telemetry.configure_logging("drift")
    logging.getLogger("kafka.net").error("Connection failed")
    assert "Connection failed" in capsys.readouterr().err


def test_an_error_is_logged_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging("judge")
    try:
        raise ValueError("odd")  # noqa: TRY301 - the trace is what is tested
    except ValueError:
        structlog.get_logger("tidegauge.test").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: odd" in json.loads(line)["exception"]


def test_the_level_is_heeded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_LOG_LEVEL", "warning")
    telemetry.configure_logging("monitor")
    structlog.get_logger("tidegauge.test").info("quiet")
    assert capsys.readouterr().err == ""


def test_people_can_have_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_LOG_FORMAT", "console")
    telemetry.configure_logging("monitor")
    structlog.get_logger("tidegauge.test").info("up", port=8090)
    assert "port=8090" in capsys.readouterr().err


def test_an_unknown_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_LOG_FORMAT", "xml")
    with pytest.raises(
        SettingsError, match="TIDEGAUGE_LOG_FORMAT is 'xml': it must be one of json"
    ):
        telemetry.configure_logging("monitor")
