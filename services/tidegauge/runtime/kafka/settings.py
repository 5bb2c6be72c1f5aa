"""How to reach Kafka and how to use it, from the environment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from tidegauge.runtime.settings import Settings, Variable
from tidegauge.streaming.commits import CommitPolicy

__all__ = ["KafkaSettings"]


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
    session_timeout_ms: int = Field(
        default=6_000,
        ge=1_000,
        description="Silence after which the broker hands a worker's partitions to others.",
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
        default=None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    sasl_username: str | None = Field(default=None, description="User name for SASL.")
    sasl_password: SecretStr | None = Field(default=None, description="Password for SASL.")
    ssl_cafile: str | None = Field(
        default=None, description="File of the certificate authorities to trust."
    )

    def client(self) -> dict[str, Any]:
        """Return the options of every client of kafka-python."""
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": (
                self.sasl_password.get_secret_value() if self.sasl_password else None
            ),
            "ssl_cafile": self.ssl_cafile,
            "reconnect_backoff_max_ms": 2_000,
            "bootstrap_timeout_ms": self.bootstrap_timeout_ms,
        }

    def policy(self) -> CommitPolicy:
        """Return the policy of commits and dead letters."""
        return CommitPolicy(
            interval_ms=self.commit_interval_ms, rejected_ratio=self.dead_letter_ratio
        )
