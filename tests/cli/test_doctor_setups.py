"""Setups that are broken in the ways in which people break them: each is named, with a remedy."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import time
from typing import Any

import pytest
from kafka.admin import NewTopic
from tests.runtime.kafka.secured_broker import SecuredBroker, secured_broker

from tidegauge.cli.check import Check
from tidegauge.cli.doctor_embedder import embedder_checks
from tidegauge.cli.doctor_kafka import kafka_checks
from tidegauge.cli.doctor_models import clock_check, model_checks
from tidegauge.cli.doctor_settings import settings_checks
from tidegauge.runtime.brokers import ApacheBroker
from tidegauge.runtime.brokers.process import free_port
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.settings import KafkaSettings


@dataclass
class FakeVllm:
    """What a server for models answers.

    Attributes:
        models: Their names.
        key: The API key that it wants; empty for none.
        likelihoods: Whether it gives the probabilities of prompts, as vLLM does.
        clock: Its clock, Unix seconds.
        url: Its address.
    """

    models: tuple[str, ...] = ("chat",)
    key: str = ""
    likelihoods: bool = True
    clock: Callable[[], float] = time
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def start() -> Iterator[Callable[[FakeVllm], FakeVllm]]:
    servers: list[ThreadingHTTPServer] = []

    def run(fake: FakeVllm) -> FakeVllm:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({"data": [{"id": name} for name in fake.models]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                fake.asked.append(body["model"])
                logprobs = [None] if fake.likelihoods and "prompt_logprobs" in body else None
                self._answer({"choices": [{}], "prompt_logprobs": logprobs})

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(fake.clock() if timestamp is None else timestamp, usegmt=True)

            def _answer(self, found: object) -> None:
                allowed = self.headers.get("authorization", "") == (
                    f"Bearer {fake.key}" if fake.key else ""
                )
                data = json.dumps(found if allowed else {"error": "no key"}).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        return fake

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    if lack := ApacheBroker.missing():
        pytest.skip(lack)
    with secured_broker(tmp_path_factory.mktemp("certificates")) as broker:
        yield broker


def models(upstream: FakeVllm, judge: FakeVllm, model: str = "judge", **more: str) -> list[Check]:
    return list(
        model_checks(
            {
                "TIDEGAUGE_UPSTREAM_URL": upstream.url,
                "TIDEGAUGE_JUDGE_URL": judge.url,
                "TIDEGAUGE_JUDGE_MODEL": model,
            }
            | more
        )
    )


def only_bad(checks: Iterator[Check] | list[Check]) -> Check:
    (found,) = [check for check in checks if check.level == "bad"]
    return found


def fine_settings(folder: Path, **more: str) -> dict[str, str]:
    """Return settings of which nothing is wrong but what is said."""
    keys = folder / "keys.json"
    keys.write_text('{"keys": []}')
    ports = {
        f"TIDEGAUGE_{service}_PORT": str(free_port())
        for service in ("GATEWAY", "DRIFT", "VITALS", "JUDGE", "MONITOR")
    }
    return {
        "TIDEGAUGE_UPSTREAM_URL": "http://127.0.0.1:1",
        "TIDEGAUGE_GATEWAY_ANONYMOUS": "true",
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "outbox"),
        "TIDEGAUGE_CAPTURE_QUOTA_BYTES": str(40 << 20),
        **ports,
        **more,
    }


def test_servers_that_answer_as_they_will_be_asked_are_fine(
    start: Callable[[FakeVllm], FakeVllm],
) -> None:
    upstream, judge = start(FakeVllm()), start(FakeVllm(("judge",)))
    assert [check.level for check in models(upstream, judge)] == ["ok", "ok"]
    assert upstream.asked == ["chat"]
    assert judge.asked == ["judge"]


def test_swapped_addresses(start: Callable[[FakeVllm], FakeVllm]) -> None:
    upstream, judge = start(FakeVllm()), start(FakeVllm(("judge",)))
    found = only_bad(models(upstream=judge, judge=upstream))
    assert found.what == "judge"
    assert "has no model 'judge': it has 'chat'" in found.found
    assert "swapped" in found.remedy


def test_an_upstream_that_is_a_broker(secured: SecuredBroker) -> None:
    found = only_bad(list(model_checks({"TIDEGAUGE_UPSTREAM_URL": f"http://{secured.plain}"})))
    assert "does not answer" in found.found or "no OpenAI-compatible server" in found.found
    assert "TIDEGAUGE_UPSTREAM_URL" in found.remedy


def test_a_broker_that_is_an_upstream(start: Callable[[FakeVllm], FakeVllm]) -> None:
    address = start(FakeVllm()).url.removeprefix("http://")
    found = only_bad(kafka_checks({"KAFKA_BOOTSTRAP_SERVERS": address}))
    assert found.found == f"{address} is a web server, no broker"
    assert "KAFKA_BOOTSTRAP_SERVERS" in found.remedy


def test_a_wrong_model(start: Callable[[FakeVllm], FakeVllm]) -> None:
    server = start(FakeVllm(("chat", "judge-2")))
    found = only_bad(models(server, server))
    assert "has no model 'judge': it has 'chat', 'judge-2'" in found.found
    assert found.remedy.startswith("set TIDEGAUGE_JUDGE_MODEL to one of them")


def test_a_wrong_model_in_the_gateway_s_file(
    start: Callable[[FakeVllm], FakeVllm], tmp_path: Path
) -> None:
    server = start(FakeVllm(("chat",)))
    file = tmp_path / "models.yaml"
    file.write_text(
        f"models: {{assistant: {{upstreams: [{{url: '{server.url}', model: chatt}}]}}}}"
    )
    found = only_bad(model_checks({"TIDEGAUGE_GATEWAY_CONFIG": str(file)}))
    assert found.what == "upstream assistant"
    assert "has no model 'chatt'" in found.found
    assert str(file) in found.remedy


def test_a_judge_s_server_that_gives_no_likelihoods(start: Callable[[FakeVllm], FakeVllm]) -> None:
    server = start(FakeVllm(("judge",), likelihoods=False))
    found = only_bad(models(server, server))
    assert "needs vLLM" in found.found


def test_a_wrong_api_key(start: Callable[[FakeVllm], FakeVllm]) -> None:
    server = start(FakeVllm(("judge",), key="right"))
    more = {"TIDEGAUGE_GATEWAY_UPSTREAM_API_KEY_ENV": "KEY", "KEY": "right"}
    found = only_bad(models(server, server, TIDEGAUGE_JUDGE_API_KEY="wrong", **more))
    assert found.what == "judge"
    assert "answers 401" in found.found
    assert found.remedy == "mend TIDEGAUGE_JUDGE_API_KEY"


def test_a_server_that_is_away() -> None:
    found = only_bad(model_checks({"TIDEGAUGE_UPSTREAM_URL": "http://127.0.0.1:1"}))
    assert found.found == "http://127.0.0.1:1 does not answer: Connection refused"
    assert found.remedy == "start it, or mend TIDEGAUGE_UPSTREAM_URL"


def test_a_clock_an_hour_off(start: Callable[[FakeVllm], FakeVllm]) -> None:
    server = start(FakeVllm(clock=lambda: time() + 3_600))
    checks = list(model_checks({"TIDEGAUGE_UPSTREAM_URL": server.url}))
    found = only_bad(checks)
    assert found.what == "clock"
    assert "this machine's clock is 1 h behind" in found.found
    assert "NTP" in found.remedy
    (slow,) = clock_check(20, "the broker's clock")
    assert slow.level == "warning"


def broker_settings(secured: SecuredBroker, listener: str, **more: str) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": getattr(secured, listener)} | {
        f"TIDEGAUGE_KAFKA_{name}": value for name, value in more.items()
    }


@pytest.mark.integration
def test_a_wrong_password(secured: SecuredBroker) -> None:
    login = {"SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "ann", "SASL_PASSWORD": "mistaken"}
    environment = broker_settings(secured, "login", SECURITY_PROTOCOL="SASL_PLAINTEXT", **login)
    found = only_bad(kafka_checks(environment))
    assert "refuses the login as ann by PLAIN" in found.found
    assert "TIDEGAUGE_KAFKA_SASL_PASSWORD" in found.remedy
    assert "mistaken" not in str(found)


@pytest.mark.integration
def test_an_untrusted_certificate(secured: SecuredBroker) -> None:
    found = only_bad(kafka_checks(broker_settings(secured, "tls", SECURITY_PROTOCOL="SSL")))
    assert "is not trusted: self-signed certificate" in found.found
    assert "TIDEGAUGE_KAFKA_SSL_CAFILE" in found.remedy


@pytest.mark.integration
def test_a_user_who_may_do_nothing(secured: SecuredBroker) -> None:
    admin = clients.admin(KafkaSettings(bootstrap_servers=secured.plain))
    try:
        admin.create_topics([NewTopic("labels.v1", 1, 1)])
        login = {"SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "bob", "SASL_PASSWORD": "right"}
        environment = broker_settings(secured, "login", SECURITY_PROTOCOL="SASL_PLAINTEXT", **login)
        bad = [check for check in kafka_checks(environment) if check.level == "bad"]
    finally:
        admin.delete_topics(["labels.v1"])
        admin.close()
    found = {check.what: check.found for check in bad}
    assert "missing: " in found["topics"]
    assert "may not join the consumer group" in found["permissions"]


@pytest.mark.integration
def test_topics_with_the_producers_time(secured: SecuredBroker) -> None:
    admin = clients.admin(KafkaSettings(bootstrap_servers=secured.plain))
    try:
        times = {"message.timestamp.type": "CreateTime"}
        admin.create_topics([NewTopic("requests.v1", 4, 1, topic_configs=times)])
        checks = list(kafka_checks(broker_settings(secured, "plain")))
    finally:
        admin.delete_topics(["requests.v1"])
        admin.close()
    (found,) = [check for check in checks if "message.timestamp.type is CreateTime" in check.found]
    assert (found.what, found.level) == ("topic requests.v1", "warning")
    assert "--add-config message.timestamp.type=LogAppendTime" in found.remedy
    assert [check.level for check in checks if check.what == "round trip"] == ["ok"]


@pytest.mark.integration
def test_a_broker_that_does_all_is_fine(secured: SecuredBroker) -> None:
    settings = KafkaSettings(bootstrap_servers=secured.plain)
    ensure_topics(settings)
    checks = list(kafka_checks(broker_settings(secured, "plain")))
    assert {check.level for check in checks} == {"ok"}
    assert {"topics", "round trip", "transactions"} <= {check.what for check in checks}
    admin = clients.admin(settings)
    try:
        left = [name for name in admin.list_topics() if name.startswith("tidegauge-doctor")]
    finally:
        admin.close()
    assert left == []


def test_no_embedder() -> None:
    environment = {"TIDEGAUGE_DRIFT_MODEL": "someone/not-fetched"}
    found = only_bad(embedder_checks(environment, lambda _: ()))
    assert "someone/not-fetched is not on this machine" in found.found
    assert "TIDEGAUGE_DRIFT_MODEL" in found.remedy


def test_nothing_is_wrong_with_the_settings_of_these_tests(tmp_path: Path) -> None:
    assert {check.level for check in settings_checks(fine_settings(tmp_path))} == {"ok"}


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        found = only_bad(settings_checks(fine_settings(tmp_path, TIDEGAUGE_MONITOR_PORT=port)))
    assert found.what == "port of the monitor"
    assert "Address already in use" in found.found
    assert "TIDEGAUGE_MONITOR_PORT" in found.remedy


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    # Root may write everywhere but where no file can be.
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o500)
    sealed = folder if os.geteuid() else Path("/proc/self")
    more = {"TIDEGAUGE_CAPTURE_DIRECTORY": str(sealed / "outbox")}
    found = only_bad(settings_checks(fine_settings(tmp_path, **more)))
    assert found.what == "outbox"
    assert f"{sealed}/outbox cannot be written" in found.found
    assert "TIDEGAUGE_CAPTURE_DIRECTORY" in found.remedy


@pytest.mark.parametrize(
    ("there", "problem"), [(False, "there is no such file, and nobody may ask"), (True, "no key")]
)
def test_a_missing_keys_file(tmp_path: Path, problem: str, *, there: bool) -> None:
    settings: dict[str, Any] = fine_settings(tmp_path)
    keys = tmp_path / ("keys.json" if there else "absent.json")
    settings["TIDEGAUGE_GATEWAY_KEYS_FILE"] = str(keys)
    found = only_bad(settings_checks(settings))
    assert found.what == "client keys"
    assert problem in found.found
    assert "tidegauge keys create" in found.remedy


def test_a_quota_smaller_than_a_segment(tmp_path: Path) -> None:
    more = {"TIDEGAUGE_CAPTURE_QUOTA_BYTES": "1000000"}
    found = only_bad(settings_checks(fine_settings(tmp_path, **more)))
    assert "TIDEGAUGE_CAPTURE_QUOTA_BYTES" in found.found
    assert "must hold at least 2 segments" in found.found


def test_a_quota_that_the_disk_does_not_hold(tmp_path: Path) -> None:
    more = {"TIDEGAUGE_CAPTURE_QUOTA_BYTES": str(1 << 60)}
    (found,) = [
        check
        for check in settings_checks(fine_settings(tmp_path, **more))
        if check.level == "warning"
    ]
    assert "an outage fills the disk" in found.found


def test_an_unknown_setting(tmp_path: Path) -> None:
    more = {"TIDEGAUGE_MONITR_PORT": "8090"}
    found = only_bad(settings_checks(fine_settings(tmp_path, **more)))
    assert "TIDEGAUGE_MONITR_PORT is no variable" in found.found
    assert "did you mean TIDEGAUGE_MONITOR_PORT?" in found.found
