"""What the Compose file starts, started as processes: the same commands with the same variables."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.processes.deployment import free_port
from tidegauge.runtime.processes.supervisor import Service, Supervisor

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(300)]

COMPOSE = Path(__file__).parents[2] / "infra" / "compose.yaml"
PORTS = {"8080": "GATEWAY", "8091": "DRIFT", "8092": "VITALS", "8093": "JUDGE", "8090": "MONITOR"}


class Models(BaseHTTPRequestHandler):
    """A server that has one model, and is not asked for more."""

    def do_GET(self) -> None:
        body = json.dumps({"data": [{"id": "judge"}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def started(name: str, service: dict[str, Any], given: dict[str, str], folder: Path) -> Service:
    """Return a service of the file as a process of this machine, on a free port of its own."""

    def value(found: re.Match[str]) -> str:
        chosen = given.get(found[1], "")
        return (found[3] if chosen else "") if found[2] == "+" else chosen or found[3]

    environment = {
        variable: re.sub(r"\$\{(\w+):([-?+])([^}]*)\}", value, str(text))
        .replace("/var/lib/tidegauge", str(folder / name))
        .replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - not listened on
        for variable, text in service["environment"].items()
    }
    (folder / name).mkdir()
    inside = service["healthcheck"]["test"][-1].split("127.0.0.1:")[1].split("/")[0]
    port = free_port()
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": given["KAFKA_BOOTSTRAP_SERVERS"],
        f"TIDEGAUGE_{PORTS[inside]}_PORT": str(port),
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / name / "outbox"),
        "TIDEGAUGE_MONITOR_REPORTS_DIR": str(folder / name / "reports"),
        "HF_HUB_OFFLINE": "1",
    }
    if "TIDEGAUGE_GATEWAY_ADMIN_PORT" in environment:
        own["TIDEGAUGE_GATEWAY_ADMIN_PORT"] = str(free_port())
    return Service(
        name=name,
        command=(sys.executable, "-m", "tidegauge.cli.main", *service["command"]),
        log=folder / f"{name}.log",
        environment={"PATH": os.environ["PATH"], **environment, **own},
        ready_url=f"http://127.0.0.1:{port}/healthz",
    )


def test_the_services_of_the_compose_file_come_up(
    broker: Broker, upstream: str, tmp_path: Path
) -> None:
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TIDEGAUGE_UPSTREAM_URL": upstream,
        "TIDEGAUGE_JUDGE_URL": upstream,
        "TIDEGAUGE_JUDGE_MODEL": "judge",
        "TIDEGAUGE_MONITOR_PASSWORD": "a long one",
    }
    services = {
        name: started(name, service, given, tmp_path)
        for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items()
        if service.get("image") == "tidegauge:local"
    }
    assert len(services) == 5
    with Supervisor(print) as supervisor:
        for service in services.values():
            supervisor.start(service)
        supervisor.wait_ready(*services, seconds=120)
        supervisor.check()
