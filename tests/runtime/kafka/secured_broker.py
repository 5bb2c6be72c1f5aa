"""Apache Kafka with listeners of every kind: TLS, client certificates, logins, and none of them."""

from __future__ import annotations

import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidegauge.runtime.brokers import ApacheBroker
from tidegauge.runtime.brokers.process import LOOPBACK, free_port

_OPENSSL = (
    *("openssl", "req", "-x509", "-nodes", "-days", "2"),
    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
)
_LOGINS = """\
listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="right" user_bob="right";
listener.name.{name}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{name}.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.{name}.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
"""  # noqa: E501 - Kafka takes no shorter lines
_PROPERTIES = """\
listeners=PLAINTEXT://{host}:{plain},CONTROLLER://{host}:{controller},{secured}
advertised.listeners=PLAINTEXT://{host}:{plain},{secured}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,MTLS:SSL,\
SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.pem
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:ann;User:CN=client
connection.failed.authentication.delay.ms=10
"""


@dataclass(frozen=True)
class SecuredBroker:
    """The addresses of the listeners, and the folder of the certificates.

    Attributes:
        folder: ``authority.pem`` signed ``client.pem`` (key ``client.key``) and the broker's;
            ``stranger.pem`` is another authority.
        plain: Takes everybody, who may do everything.
        tls: Speaks TLS.
        mtls: Speaks TLS and wants a certificate.
        login: Wants a login: ann, who may do everything, or bob, who may do nothing.
        login_tls: The same in TLS.
    """

    folder: Path
    plain: str
    tls: str
    mtls: str
    login: str
    login_tls: str


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Run the broker; its certificates are in ``folder``."""
    _certificates(folder)
    names = ("SSL", "MTLS", "SASL_PLAINTEXT", "SASL_SSL")
    ports = {name: free_port() for name in names}
    plain, controller = free_port(), free_port()
    properties = _PROPERTIES.format(
        host=LOOPBACK,
        plain=plain,
        controller=controller,
        secured=",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items()),
        folder=folder,
    )
    properties += f"controller.quorum.bootstrap.servers={LOOPBACK}:{controller}\n"
    properties += "".join(_LOGINS.format(name=name) for name in ("sasl_plaintext", "sasl_ssl"))
    with ApacheBroker(port=plain, properties=properties):
        yield SecuredBroker(
            folder, f"{LOOPBACK}:{plain}", *(f"{LOOPBACK}:{ports[n]}" for n in names)
        )


def unsigned_token(subject: str, *, now: int) -> str:
    """Return a token without a signature, as the broker takes it for tests (RFC 7515)."""
    parts = ('{"alg":"none"}', f'{{"sub":"{subject}","iat":{now},"exp":{now + 600}}}')
    return ".".join(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + "."


def _certificates(folder: Path) -> None:
    def make(name: str, *arguments: str) -> None:
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(
            [*_OPENSSL, *files, "-subj", f"/CN={name}", *arguments],
            cwd=folder,
            check=True,
            capture_output=True,
        )

    make("authority")
    make("stranger")
    for name in ("server", "client"):
        signed = ("-CA", "authority.pem", "-CAkey", "authority.key")
        make(name, *signed, "-addext", f"subjectAltName=IP:{LOOPBACK}")
    parts = ("server.key", "server.pem", "authority.pem")
    (folder / "broker.pem").write_text("".join((folder / part).read_text() for part in parts))
