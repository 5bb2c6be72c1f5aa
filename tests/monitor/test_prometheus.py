"""A real Prometheus and a real Alertmanager beside the monitor."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
import yaml
from prometheus_client import CollectorRegistry, Gauge
from tests.monitor.made_up import Watch
from tests.monitor.made_up_costs import made_up_costs
from tests.monitor.test_cost_alarms import cost_alerts

from tidegauge.monitor.cost_metrics import CostCollector
from tidegauge.monitor.metrics import ViewCollector
from tidegauge.monitor.notify.notifier import DeliveryMetrics
from tidegauge.monitor.notify.receivers import Alertmanager
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.runtime.brokers.process import free_port

INFRA = Path(__file__).parents[2] / "infra"
PASSWORD = "high tide at noon"  # noqa: S105 - of this test alone
MANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
    pytest.mark.skipif(MANAGER is None, reason="alertmanager is not installed"),
]


def get(url: str) -> Any:  # noqa: ANN401 - JSON
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own servers
        return json.load(answer)


def waited(what: Callable[[], Any], seconds: float = 40.0) -> Any:  # noqa: ANN401 - whatever is waited for
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.2)


@contextmanager
def process(*command: str, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            running.terminate()
            running.wait(20)


@contextmanager
def serving(view: MonitorView, estimator: Estimator, now_ms: int) -> Iterator[int]:
    watch, registry = Watch(view), CollectorRegistry()
    registry.register(
        ViewCollector(watch.view, lambda: now_ms, estimator, false_alarm_days=30, segments=200)
    )
    registry.register(CostCollector(made_up_costs))
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        Gauge(f"vllm:{name}", "As vLLM serves it.", registry=registry).set(0.5)
    metrics = DeliveryMetrics(registry)
    metrics.waiting.labels("webhook").set(0)
    metrics.outcomes.labels("webhook", "delivered").inc()
    app = create_app(
        Interface(
            watch=watch,
            now_ms=lambda: now_ms,
            estimator=estimator,
            registry=registry,
            false_alarm_days=30,
            refresh_seconds=0,
            host="127.0.0.1",
            password=PASSWORD,
        )
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


@contextmanager
def managing(port: int, folder: Path) -> Iterator[None]:
    """Run Alertmanager with the shipped configuration, whose receivers tell nobody."""
    assert MANAGER is not None
    routes = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text())
    for receiver in routes["receivers"]:
        receiver.pop("slack_configs", None)
        receiver.pop("pagerduty_configs", None)
        receiver.pop("email_configs", None)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))
    command = (
        MANAGER,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    with process(*command, log=folder / "alertmanager.log"):
        yield


@pytest.fixture
def stack(
    make_view: Callable[..., MonitorView], estimator: Estimator, now_ms: int, tmp_path: Path
) -> Iterator[tuple[str, str]]:
    """Yield Prometheus' and Alertmanager's addresses, both with the shipped configuration."""
    prometheus, manager = free_port(), free_port()
    config = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [
        str(INFRA / "prometheus" / "rules" / f"{name}.yml")
        for name in ("pipeline", "verdicts", "cost")
    ]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
        f"127.0.0.1:{manager}"
    ]
    with ExitStack() as open_:
        port = open_.enter_context(serving(make_view(missing=7), estimator, now_ms))
        config["scrape_configs"] = config["scrape_configs"][:1]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
        (tmp_path / "password").write_text(PASSWORD)
        config["scrape_configs"][0]["basic_auth"]["password_file"] = str(tmp_path / "password")
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        open_.enter_context(managing(manager, tmp_path))
        open_.enter_context(
            process(
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{prometheus}",
                log=tmp_path / "prometheus.log",
            )
        )
        yield f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{manager}"


def test_prometheus_reads_draws_and_alarms_and_alertmanager_takes_alarms_both_ways(
    stack: tuple[str, str], make_view: Callable[[], MonitorView]
) -> None:
    prometheus, manager = stack

    def query(expression: str) -> list[Any]:
        wanted = urllib.parse.urlencode({"query": expression})
        answer = get(f"{prometheus}/api/v1/query?{wanted}")
        assert answer["status"] == "success"
        found: list[Any] = answer["data"]["result"]
        return found

    (balanced,) = waited(lambda: query("tidegauge_ledger_balanced"))
    assert balanced["value"][1] == "0"
    board = json.loads((INFRA / "grafana" / "tidegauge.json").read_text())
    empty = [
        target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
        if "rate(" not in target["expr"] and not query(re.sub(r"\$\w+", ".*", target["expr"]))
    ]
    assert not empty, empty

    def firing() -> set[str]:
        alerts = get(f"{manager}/api/v2/alerts")
        return {alert["labels"]["alertname"] for alert in alerts}

    waited(lambda: query('ALERTS{alertname="TidegaugeBudgetBurning"}'))
    waited(lambda: {"TidegaugeCritical", "TidegaugeWarn", "TidegaugeSwapWorse"} <= firing())
    now_ms = time.time_ns() // 1_000_000
    sink = Alertmanager(manager, page_url="http://127.0.0.1:8090")
    drift = make_view().alerts[0]
    sink.send([drift], now_ms)
    waited(lambda: "TidegaugeDrift" in firing(), 10)
    (held,) = (
        alert
        for alert in get(f"{manager}/api/v2/alerts")
        if alert["labels"]["alertname"] == "TidegaugeDrift"
    )
    assert held["annotations"]["summary"] == drift.summary
    assert held["labels"]["severity"] == "warn"
    assert held["receivers"] == [{"name": "chat"}]

    dearer, burning = cost_alerts()
    sink.send([dearer, burning], now_ms)

    def told() -> dict[str, str]:
        alerts = get(f"{manager}/api/v2/alerts?filter=alertname%3DTidegaugeCost")
        return {one["labels"]["monitor"]: one["annotations"]["summary"] for one in alerts}

    both = {"cost.customer": dearer.summary, "cost.budget": burning.summary}
    waited(lambda: told() == both, 10)
    sink.send([msgspec.structs.replace(burning, status="resolved")], now_ms)
    waited(lambda: set(told()) == {"cost.customer"}, 10)


def test_alerts_are_grouped_and_muted_by_incident_and_else_by_model_and_name(
    tmp_path: Path,
) -> None:
    alerts = [
        {"alertname": "TidegaugeDrift", "severity": "critical", "model": "m", "incident": "i1"},
        {"alertname": "TidegaugeLatency", "severity": "critical", "model": "m", "incident": "i1"},
        {"alertname": "TidegaugeErrors", "severity": "warn", "model": "m", "incident": "i1"},
        {"alertname": "TidegaugeErrors", "severity": "warn", "model": "m", "incident": "i2"},
        {"alertname": "TidegaugeCritical", "severity": "critical", "model": "m"},
        {"alertname": "TidegaugeWarn", "severity": "warn", "model": "m"},
        {"alertname": "TidegaugeWarn", "severity": "warn", "model": "n"},
        {"alertname": "TidegaugeMonitorDown", "severity": "critical"},
        {"alertname": "TidegaugeViewOld", "severity": "critical"},
        {"alertname": "TidegaugeWorkerSilent", "severity": "warn"},
    ]
    url = f"http://127.0.0.1:{(port := free_port())}/api/v2"

    def groups() -> list[Any]:
        found: list[Any] = get(f"{url}/alerts/groups")
        return found if sum(len(group["alerts"]) for group in found) == len(alerts) else []

    def muted() -> set[tuple[str, str, str]]:
        return {
            tuple(one["labels"].get(name, "") for name in ("alertname", "model", "incident"))
            for one in get(f"{url}/alerts")
            if one["status"]["inhibitedBy"]
        }

    with managing(port, tmp_path):
        waited(lambda: get(f"{url}/status"))
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        kind = {"content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/alerts", body, kind), timeout=5)  # noqa: S310 - our own server
        together = {
            tuple(sorted(one["labels"]["alertname"] for one in group["alerts"]))
            for group in waited(groups)
        }
        assert ("TidegaugeDrift", "TidegaugeLatency") in together, "one incident, one message"
        assert max(map(len, together)) == 2
        expected = {("TidegaugeErrors", "m", "i1"), ("TidegaugeWarn", "m", "")}
        waited(lambda: muted() == expected)
