"""How to reach Kafka and how to use it, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from tidegauge.runtime.kafka.oauth import token_provider
from tidegauge.runtime.settings import Settings, Variable
from tidegauge.streaming.commits import CommitPolicy

__all__ = ["KafkaSettings"]

_DAY_MS = 86_400_000


class KafkaSettings(Settings):
    """Settings of every process that speaks to Kafka."""

    prefix = "TIDEGAUGE_KAFKA_"

    bootstrap_servers: Annotated[str, Variable("KAFKA_BOOTSTRAP_SERVERS")] = Field(
        default="127.0.0.1:9092",
        description="Brokers to start from, host:port, separated by commas.",
    )
    bootstrap_timeout_ms: int = Field(
        default=5_000, ge=1, description="How long a client looks for a first broker that answers."
    )
    transactions: Literal["on", "off", "auto"] = Field(
        default="auto",
        description="Whether workers commit in transactions; auto asks the broker, by a "
        "transaction that it must hide.",
    )
    create_topics: bool = Field(
        default=True, description="Whether services create the topics that are missing."
    )
    replication_factor: int = Field(
        default=-1, description="Of topics that are created; -1 leaves it to the broker."
    )
    text_days: float = Field(
        default=7.0,
        gt=0,
        description="How long topics that hold prompts, answers, words on them or vectors keep "
        "these; everything that is kept for longer only refers to them. Topics that exist are "
        "compared with it by `tidegauge topics list`, and reports are deleted after it.",
    )
    session_timeout_ms: int = Field(
        default=6_000,
        ge=1_000,
        description="Silence after which the broker hands a worker's partitions to others.",
    )
    group_instance_id: str | None = Field(
        default=None,
        description="Name of this worker among those of its group, which no other one bears: "
        "started again under it, the worker has its partitions back at once. `tidegauge up` "
        "gives each of its workers one.",
    )
    transaction_timeout_ms: int = Field(
        default=15_000, ge=1_000, description="After which a dead worker's transaction is undone."
    )
    commit_interval_ms: int = Field(
        default=1_000, ge=0, description="Longest time that a processed record is uncommitted."
    )
    batch_records: int = Field(
        default=500, ge=1, description="Most records that a worker processes at a time."
    )
    dead_letter_ratio: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the last 1000 records that may become dead letters (50 always "
        "may); beyond it the worker stops. 1 never stops it.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to connect."
    )
    sasl_mechanism: str | None = Field(
        default=None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."
    )
    sasl_username: str | None = Field(
        default=None, description="User name for SASL; the client's id for OAUTHBEARER."
    )
    sasl_password: SecretStr | None = Field(
        default=None, description="Password for SASL; the client's secret for OAUTHBEARER."
    )
    sasl_token_url: str | None = Field(
        default=None, description="Token endpoint of the identity provider, for OAUTHBEARER."
    )
    sasl_token_scope: str | None = Field(
        default=None, description="Scopes to ask it for, separated by spaces."
    )
    sasl_token_file: Path | None = Field(
        default=None, description="File of the access token for OAUTHBEARER, in place of both."
    )
    ssl_cafile: str | None = Field(
        default=None, description="File of the certificate authorities to trust."
    )
    ssl_certfile: str | None = Field(
        default=None, description="File of the client's certificate, where the broker wants one."
    )
    ssl_keyfile: str | None = Field(
        default=None, description="File of its private key, if that is a file of its own."
    )
    ssl_password: SecretStr | None = Field(
        default=None, description="Password of the private key, if it has one."
    )

    def client(self) -> dict[str, Any]:
        """Return the options of every client of kafka-python."""
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": _shown(self.sasl_password),
            "sasl_oauth_token_provider": token_provider(
                file=self.sasl_token_file,
                url=self.sasl_token_url,
                client_id=self.sasl_username,
                client_secret=_shown(self.sasl_password),
                scope=self.sasl_token_scope,
            ),
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "ssl_password": _shown(self.ssl_password),
            "reconnect_backoff_max_ms": 2_000,
            "bootstrap_timeout_ms": self.bootstrap_timeout_ms,
        }

    @property
    def text_ms(self) -> int:
        """How long texts are kept, in milliseconds."""
        return round(self.text_days * _DAY_MS)

    def policy(self) -> CommitPolicy:
        """Return the policy of commits and dead letters."""
        return CommitPolicy(
            interval_ms=self.commit_interval_ms, rejected_ratio=self.dead_letter_ratio
        )


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
