"""The gateway's settings: environment variables ``TIDEGAUGE_GATEWAY_…`` and two shared ones."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from tidegauge.gateway.errors import ConfigurationError
from tidegauge.runtime.settings import Settings, Variable, load
from tidegauge.schemas.exchange import Capture

__all__ = ["GatewaySettings"]


class GatewaySettings(Settings):
    """The gateway's settings, read once at the start."""

    prefix = "TIDEGAUGE_GATEWAY_"

    host: str = Field(default="127.0.0.1", description="Interface to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="TCP port to listen on.")
    admin_host: str = Field(
        default="127.0.0.1", description="Interface of the administration listener."
    )
    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the administration listener: /metrics and /docs without a key.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins whose scripts may call from a browser; * for every one.",
    )
    connections_per_address: int = Field(
        default=4096, ge=1, description="Most connections of one client address."
    )
    request_seconds: float = Field(
        default=300.0, gt=0, description="Time for a request's body to arrive."
    )
    config: Path | None = Field(
        default=None,
        description="YAML file of models and upstreams; re-read on SIGHUP or admin reload.",
    )
    upstream_url: Annotated[str | None, Variable("TIDEGAUGE_UPSTREAM_URL")] = Field(
        default=None,
        description="One upstream whose models are offered as they are, in place of a file.",
    )
    upstream_api_key_env: str | None = Field(
        default=None, description="Name of the variable that holds that one upstream's API key."
    )
    keys_file: Path | None = Field(
        default=None, description="File of client keys, made by `tidegauge keys create`."
    )
    anonymous: bool = Field(
        default=False,
        description="Serve requests without a key as customer `anonymous`; on loopback only.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        description="Key of /admin/reload, and of /metrics and /docs on the clients' listener.",
    )
    chat_model: str | None = Field(
        default=None, description="Model of /chat when the request names none; default: the first."
    )
    capture_text: Capture = Field(
        default="full",
        description="How much text events carry: full, redacted or none; keys may differ.",
    )
    capture_characters: int = Field(
        default=65_536,
        ge=0,
        description="Most characters of text in an event; longer texts are cut in the middle.",
    )
    segment_by_customer: bool = Field(
        default=False,
        description="Whether the monitor watches each customer as a segment of its own.",
    )
    conversation_headers: tuple[str, ...] = Field(
        default=("x-session-id",),
        description="Request headers that hold the id of a conversation, in order of preference.",
    )
    context_metadata: tuple[str, ...] = Field(
        default=("context", "contexts"),
        description="Fields of a request's metadata that hold the context which its answer has to "
        "be supported by: events carry it as a message of the role context.",
    )
    max_body_bytes: int = Field(
        default=20 * 1024 * 1024,
        ge=1024,
        description="Longest request body; a longer one gets 413.",
    )
    max_answer_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        description="Longest answer of an upstream that is not a stream.",
    )
    connect_seconds: float = Field(default=5.0, gt=0, description="Time to connect to an upstream.")
    first_byte_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Time for an upstream's first byte; a whole answer if no stream.",
    )
    idle_seconds: float = Field(
        default=300.0, gt=0, description="Longest pause between two pieces of an upstream's answer."
    )
    keep_alive_seconds: float = Field(
        default=15.0,
        ge=0,
        description="Pause after which a client that waits for a stream, or for more of it, gets a "
        "comment; 0 for never. After the first comment the status is 200, and errors are events.",
    )
    assumed_output_tokens: int = Field(
        default=512, ge=0, description="Tokens reserved for an answer whose request sets no limit."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis that replicas share their limits in; without it they are local.",
    )
    limits_when_down: Literal["open", "closed"] = Field(
        default="open",
        description="With Redis unreachable: serve without limits, or refuse with 429.",
    )
    request_log: Path | None = Field(
        default=None,
        description="File of the request log, a JSON line each; default: standard output.",
    )
    traces: bool = Field(
        default=False,
        description="Send OpenTelemetry spans, as its own OTEL_… variables say; needs [otel].",
    )
    shutdown_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Deadline of a clean stop, TIDEGAUGE_CAPTURE_DRAIN_SECONDS included.",
    )

    @classmethod
    def from_environment(cls) -> GatewaySettings:
        """Read the settings and check them.

        Raises:
            SettingsError: A variable's value cannot be used.
            ConfigurationError: Variables contradict each other.
        """
        settings = load(cls)
        settings.check()
        return settings

    def check(self) -> None:
        """Reject settings that are incomplete or contradict each other.

        Raises:
            ConfigurationError: Settings are missing or contradict each other.
        """
        if self.config is None and self.upstream_url is None:
            raise ConfigurationError(
                "say who answers: set TIDEGAUGE_GATEWAY_CONFIG (a YAML file of models) "
                "or TIDEGAUGE_UPSTREAM_URL (one upstream)"
            )
        if self.keys_file is None and not self.anonymous:
            raise ConfigurationError(
                "say who may ask: set TIDEGAUGE_GATEWAY_KEYS_FILE (see `tidegauge keys create`), "
                "or TIDEGAUGE_GATEWAY_ANONYMOUS=true to try it on this machine without keys"
            )
        if self.anonymous and not _is_loopback(self.host):
            raise ConfigurationError(
                f"TIDEGAUGE_GATEWAY_ANONYMOUS=true while listening on {self.host}: "
                "without keys the gateway serves loopback only"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
