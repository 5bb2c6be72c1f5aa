from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from tidegauge.monitor.notify.receivers import (
    Alertmanager,
    DeliveryError,
    DeliveryRefusedError,
    NotifyError,
    Webhook,
    backoff_seconds,
    signature,
)
from tidegauge.schemas.findings import Alert, AlertStatus, State, Verdict
from tidegauge.schemas.segments import Segment

NOW = 1_700_000_000_000
SEGMENT = Segment(model="chat", version="v1", route="/chat")


def alert(status: AlertStatus = "firing") -> Alert:
    verdict = Verdict(
        monitor="drift.topics",
        signal="drift",
        segment=SEGMENT,
        time_ms=NOW,
        state=State.WARN,
        sentence="Topics changed.",
    )
    return Alert(
        alert_id="a1",
        monitor="drift.topics",
        signal="drift",
        segment=SEGMENT,
        severity="warn",
        status=status,
        starts_ms=NOW - 60_000,
        time_ms=NOW,
        summary="Topics changed.",
        verdict=verdict,
    )


class Receiver(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook_gets_the_event_and_can_verify_who_sent_it(receiver: Receiver) -> None:
    key = b"a key of thirty-two bytes, or so"
    secret = "whsec_" + base64.b64encode(key).decode()
    Webhook(receiver.url + "/hook", secret).send(alert(), NOW)
    ((path, headers, body),) = receiver.got
    assert path == "/hook"
    assert json.loads(body)["type"] == "tidegauge.alert"
    signed = b".".join(
        [headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body]
    )
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the Standard Webhooks specification's reference libraries.
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body=b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_repeated_delivery_bears_the_same_id(receiver: Receiver) -> None:
    for now in (NOW, NOW + 5_000):
        Webhook(receiver.url).send(alert(), now)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    assert "webhook-signature" not in receiver.got[0][1]


@pytest.mark.parametrize("status", [302, 401, 404, 408, 429, 500, 503])
def test_a_receiver_that_is_not_well_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(DeliveryError, match=str(status)):
        Webhook(receiver.url).send(alert(), NOW)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_receiver_that_refuses_the_alert_is_not(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(DeliveryRefusedError, match=str(status)):
        Webhook(receiver.url).send(alert(), NOW)


def test_nobody_there_is_a_reason_to_try_again() -> None:
    with Receiver() as closed:
        url = closed.url
    with pytest.raises(DeliveryError, match="was not reached"):
        Webhook(url).send(alert(), NOW)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "example.org/hook", "http://"])
def test_an_address_that_is_none_says_so(url: str) -> None:
    with pytest.raises(NotifyError, match="http://"):
        Webhook(url).send(alert(), NOW)


def test_a_secret_that_is_no_base64_says_so_without_telling_it(receiver: Receiver) -> None:
    with pytest.raises(NotifyError, match="base64") as caught:
        Webhook(receiver.url, "whsec_not base64!").send(alert(), NOW)
    assert "not base64!" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        ("firing", "2023-11-14T22:17:20.000Z"),
        ("resolved", "2023-11-14T22:13:20.000Z"),
        ("acknowledged", "2023-11-14T22:17:20.000Z"),
    ],
)
def test_alertmanager_holds_what_fires_and_ends_the_rest(
    receiver: Receiver, status: AlertStatus, ends: str
) -> None:
    known = msgspec.structs.replace(alert(status), incident="c0ffee")
    Alertmanager(receiver.url + "/", page_url="http://page").send([known], NOW)
    ((path, _, body),) = receiver.got
    assert path == "/api/v2/alerts"
    (sent,) = json.loads(body)
    assert sent["labels"] == {
        "alertname": "TidegaugeDrift",
        "monitor": "drift.topics",
        "signal": "drift",
        "severity": "warn",
        "model": "chat",
        "version": "v1",
        "route": "/chat",
        "incident": "c0ffee",
    }
    assert sent["startsAt"] == "2023-11-14T22:12:20.000Z"
    assert sent["endsAt"] == ends
    assert sent["generatorURL"] == "http://page/i/c0ffee"


def test_an_alert_that_escalates_is_one_alert(receiver: Receiver) -> None:
    first = msgspec.structs.replace(alert("firing"), incident="c0ffee")
    louder = msgspec.structs.replace(first, severity="critical", severity_before="warn")
    manager = Alertmanager(receiver.url, page_url="http://page")
    manager.send([first], NOW)
    manager.send([louder], NOW)
    manager.send([msgspec.structs.replace(louder, status="resolved")], NOW)
    ends = {}
    for _, _, body in receiver.got:
        for sent in json.loads(body):
            ends[sent["labels"]["severity"]] = sent["endsAt"]
            last = sent
        firing = [severity for severity, end in ends.items() if end > "2023-11-14T22:13:20.000Z"]
        assert len(firing) <= 1
    assert sorted(ends) == ["critical", "warn"]
    assert not firing
    assert last["generatorURL"] == "http://page/i/c0ffee"
    assert last["annotations"]["runbook_url"] == "http://page/runbook/drift"


def test_waiting_grows_to_a_minute_and_no_further() -> None:
    assert [backoff_seconds(failures) for failures in (1, 2, 3, 6, 7, 5_000)] == [
        1.0,
        2.0,
        4.0,
        32.0,
        60.0,
        60.0,
    ]
