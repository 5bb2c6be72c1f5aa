from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.runtime.kafka.secured_broker import SecuredBroker, secured_broker, unsigned_token

from tidegauge.runtime.brokers import ApacheBroker, Broker
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.diagnosis import diagnose, diagnose_server
from tidegauge.runtime.kafka.errors import KafkaRefusedError, LogUnavailableError
from tidegauge.runtime.kafka.settings import KafkaSettings

pytestmark = [
    pytest.mark.integration,
    # kafka-python never closes the socket of a connection that it gives up.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

ANN = {
    "sasl_mechanism": "PLAIN",
    "sasl_username": "ann",
    "sasl_password": SecretStr("right"),
}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    if lack := ApacheBroker.missing():
        pytest.skip(lack)
    with secured_broker(tmp_path_factory.mktemp("certificates")) as broker:
        yield broker


def settings(
    broker: SecuredBroker,
    listener: str,
    protocol: Any,  # noqa: ANN401 - one of the literals
    **more: Any,  # noqa: ANN401 - fields of many types
) -> KafkaSettings:
    if protocol.endswith("SSL"):
        more.setdefault("ssl_cafile", str(broker.folder / "authority.pem"))
    return KafkaSettings(
        bootstrap_servers=getattr(broker, listener),
        bootstrap_timeout_ms=300,
        security_protocol=protocol,
        **more,
    )


@pytest.mark.parametrize(
    ("reached", "more", "cause", "remedy"),
    [
        (("tls", "PLAINTEXT"), {}, "speaks TLS", "SECURITY_PROTOCOL to SSL"),
        (("login_tls", "SASL_PLAINTEXT"), ANN, "speaks TLS", "SASL_SSL with a login"),
        (("plain", "SSL"), {}, "does not speak TLS", "SECURITY_PROTOCOL to PLAINTEXT"),
        (("login", "SASL_SSL"), ANN, "does not speak TLS", "PROTOCOL to SASL_PLAINTEXT"),
        (
            ("tls", "SSL"),
            {"ssl_cafile": "stranger.pem"},
            "is not trusted",
            "SSL_CAFILE to the file",
        ),
        (("tls", "SSL"), {"ssl_cafile": None}, "is not trusted: self-signed", "SSL_CAFILE"),
        (("tls", "SSL"), {"ssl_cafile": "absent.pem"}, "No such file", "a readable file in PEM"),
        (("mtls", "SSL"), {}, "refuses the TLS connection", "SSL_CERTFILE"),
        (("login", "PLAINTEXT"), {}, "wants a login (PLAIN, SCRAM", "set TIDEGAUGE_KAFKA_SECURITY"),
        (("plain", "SASL_PLAINTEXT"), ANN, "takes no login", "PROTOCOL to PLAINTEXT"),
        (
            ("login", "SASL_PLAINTEXT"),
            ANN | {"sasl_password": SecretStr("wrong")},
            "refuses the login as ann by PLAIN: Authentication failed",
            "SASL_PASSWORD",
        ),
        (
            ("login", "SASL_PLAINTEXT"),
            ANN | {"sasl_mechanism": "SCRAM-SHA-256"},
            "refuses the login as ann by SCRAM-SHA-256",
            "SASL_PASSWORD",
        ),
        (
            ("login", "SASL_PLAINTEXT"),
            ANN | {"sasl_mechanism": "SCRAM-SHA-512"},
            "does not offer the login SCRAM-SHA-512",
            "SASL_MECHANISM to one of PLAIN, SCRAM-SHA-256, OAUTHBEARER",
        ),
        (("login", "SASL_PLAINTEXT"), {}, "the login (none is set)", "SASL_MECHANISM to one of"),
        (
            ("login", "SASL_PLAINTEXT"),
            {"sasl_mechanism": "PLAIN"},
            "needs a user and a password",
            "SASL_USERNAME",
        ),
        (
            ("login", "SASL_PLAINTEXT"),
            {"sasl_mechanism": "OAUTHBEARER"},
            "needs a token",
            "SASL_TOKEN_FILE",
        ),
    ],
)
def test_what_waiting_does_not_cure_is_refused_with_its_cause(
    secured: SecuredBroker, reached: tuple[str, str], more: dict[str, Any], cause: str, remedy: str
) -> None:
    if more.get("ssl_cafile"):
        more = more | {"ssl_cafile": str(secured.folder / more["ssl_cafile"])}
    with pytest.raises(KafkaRefusedError) as refusal:
        list_topics(settings(secured, *reached, **more))
    assert cause in str(refusal.value)
    assert remedy in str(refusal.value)
    assert "wrong" not in str(refusal.value)


def test_who_is_let_in_has_no_diagnosis(secured: SecuredBroker, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(unsigned_token("ann", now=int(time.time())))
    for found in (
        settings(secured, "plain", "PLAINTEXT"),
        settings(secured, "tls", "SSL"),
        settings(secured, "login", "SASL_PLAINTEXT", **ANN),
        settings(secured, "login_tls", "SASL_SSL", **ANN),
        settings(
            secured,
            "mtls",
            "SSL",
            ssl_certfile=str(secured.folder / "client.pem"),
            ssl_keyfile=str(secured.folder / "client.key"),
        ),
        settings(
            secured,
            "login",
            "SASL_PLAINTEXT",
            sasl_mechanism="OAUTHBEARER",
            sasl_token_file=token,
        ),
    ):
        assert diagnose(found.client()) is None
        assert list_topics(found)


def test_one_broker_that_answers_is_enough(secured: SecuredBroker) -> None:
    found = KafkaSettings(bootstrap_servers=f"127.0.0.1:1,{secured.plain}")
    assert diagnose(found.client()) is None
    found = KafkaSettings(bootstrap_servers=f"127.0.0.1:1,{secured.tls}")
    diagnosis = diagnose(found.client())
    assert diagnosis is not None
    assert not diagnosis.passing


def test_the_embedded_broker_wants_no_login(embedded_broker: Broker) -> None:
    found = KafkaSettings(bootstrap_servers=embedded_broker.bootstrap_servers)
    assert diagnose(found.client()) is None


@pytest.mark.parametrize(
    ("server", "cause", "passing"),
    [
        ("127.0.0.1:1", "127.0.0.1:1 does not answer (Connection refused)", True),
        ("no-such-host.invalid:9092", "the name no-such-host.invalid is not known here", True),
        ("kafka", "'kafka' is no host:port", False),
    ],
)
def test_an_address_without_a_broker_is_named(server: str, cause: str, *, passing: bool) -> None:
    diagnosis = diagnose_server(server, {"security_protocol": "PLAINTEXT"})
    assert diagnosis is not None
    assert diagnosis.cause.startswith(cause)
    assert diagnosis.passing is passing


def test_a_broker_that_is_down_is_waited_for() -> None:
    with pytest.raises(LogUnavailableError, match="does not answer") as error:
        list_topics(KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=300))
    assert error.value.passing
