"""Settings of capture as frozen values, which can be read from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec

from tidegauge.capture.errors import CaptureSettingsError
from tidegauge.runtime.environment import SettingsError, bad_value, refuse_unknown

__all__ = [
    "CaptureSettings",
    "Fsync",
    "KafkaAccess",
    "LiteLLMSettings",
    "settings_from_json",
    "settings_to_json",
]

Fsync = Literal["never", "interval", "always"]
"""When appended events are forced to the disk; it matters only if the machine crashes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MEBIBYTE = 1 << 20
_SEGMENTS_IN_QUOTA = 2

S = TypeVar("S", bound=msgspec.Struct)


Dimension: TypeAlias = Literal["system_prompt", "served_model", "prompt_version", "experiment"]
"""What of an exchange may be part of its version; see ``capture.dimensions``."""


class KafkaAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How the shipper reaches the broker.

    Attributes:
        bootstrap_servers: ``host:port``, several between commas.
        security_protocol: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
        sasl_mechanism: ``PLAIN``, ``SCRAM-SHA-256``, ``SCRAM-SHA-512``, ``OAUTHBEARER``, with SASL.
        sasl_username: With SASL; the client's id for OAUTHBEARER.
        sasl_password: With SASL; the client's secret for OAUTHBEARER.
        sasl_token_url: Token endpoint of the identity provider, for OAUTHBEARER.
        sasl_token_scope: Scopes to ask it for, separated by spaces.
        sasl_token_file: File of the access token, in place of both.
        ssl_cafile: File of certificate authorities, in place of the system's.
        ssl_certfile: File of the client's certificate, where the broker wants one.
        ssl_keyfile: File of its private key, if that is a file of its own.
        ssl_password: Password of the private key, if it has one.
        compression: ``lz4``, ``gzip``, ``zstd`` or None.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    sasl_token_url: str | None = None
    sasl_token_scope: str | None = None
    sasl_token_file: Path | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = None
    compression: Literal["lz4", "gzip", "zstd"] | None = "lz4"

    def __repr__(self) -> str:
        """Return a description without the password."""
        return f"KafkaAccess({self.bootstrap_servers!r}, {self.security_protocol!r})"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> KafkaAccess:
        """Read ``KAFKA_BOOTSTRAP_SERVERS``, and ``TIDEGAUGE_KAFKA_<FIELD>`` for the rest.

        Raises:
            SettingsError: A variable's value cannot be used, or no such variable exists.
        """
        settings = _from_environment(cls, "TIDEGAUGE_KAFKA_", environ)
        servers = environ.get("KAFKA_BOOTSTRAP_SERVERS") or cls().bootstrap_servers
        return msgspec.structs.replace(settings, bootstrap_servers=servers)


class CaptureSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how events are stored until the broker acknowledges them.

    Attributes:
        directory: The outbox's folder; runs of several processes may share it.
        producer: Name of the producer; a run's ``producer_id`` is it and a unique suffix.
        quota_bytes: Most that all outboxes in the folder may hold; events beyond are
            dropped and counted. Processes that share the folder may pass it by one segment
            each.
        segment_bytes: Size at which a file is closed and the next one begun.
        max_event_bytes: Events larger than this are dropped and counted, since the broker
            would refuse them.
        fsync: ``never`` leaves it to the kernel: a killed process loses nothing, a crash of
            the machine some seconds. ``interval`` forces events to the disk every
            ``fsync_seconds``, from the shipper's process. ``always`` does so before an
            append returns, which takes milliseconds.
        fsync_seconds: Interval for ``fsync="interval"``.
        heartbeat_seconds: How often the counts are published, also while idle.
        drain_seconds: How long the shipper goes on after the run has ended; what is left
            then stays on the disk and the next shipper in the folder takes it over.
        batch_bytes: About how much is sent before the broker has acknowledged all of it.
        conversation_secret: Key of the hashes that identify the conversations to which the
            client gives no id; the same for all processes. Without it, whoever reads events
            and guesses a first message and its answer can confirm the guess.
        dimensions: What each change of makes a new version of its model, beside the upstream's
            label: ``system_prompt`` (its hash), ``served_model`` (such as an adapter),
            ``prompt_version`` and ``experiment`` (as requests say in metadata or headers), as a
            JSON list. At most eight values of each have a version of their own.
        kafka: How to reach the broker.
    """

    directory: Path = Path(".tidegauge/outbox")
    producer: str = "gateway"
    quota_bytes: int = 1024 * _MEBIBYTE
    segment_bytes: int = 16 * _MEBIBYTE
    max_event_bytes: int = 1_000_000
    fsync: Fsync = "never"
    fsync_seconds: float = 1.0
    heartbeat_seconds: float = 5.0
    drain_seconds: float = 10.0
    batch_bytes: int = 512 * 1024
    conversation_secret: str = ""
    dimensions: tuple[Dimension, ...] = ()
    kafka: KafkaAccess = KafkaAccess()

    def __repr__(self) -> str:
        """Return a description without the secret."""
        return f"CaptureSettings({str(self.directory)!r}, {self.producer!r})"

    def __post_init__(self) -> None:
        """Reject values that cannot work.

        Raises:
            CaptureSettingsError: A value is out of its range.
        """
        if not _NAME.fullmatch(self.producer):
            raise CaptureSettingsError(
                "producer", self.producer, "must be letters, digits, '.', '_' and '-', at most 63"
            )
        if self.segment_bytes < self.max_event_bytes:
            raise CaptureSettingsError(
                "segment_bytes",
                self.segment_bytes,
                f"must hold the largest event, max_event_bytes = {self.max_event_bytes}",
            )
        if self.quota_bytes < _SEGMENTS_IN_QUOTA * self.segment_bytes:
            raise CaptureSettingsError(
                "quota_bytes",
                self.quota_bytes,
                f"must hold at least {_SEGMENTS_IN_QUOTA} segments of "
                f"segment_bytes = {self.segment_bytes}",
            )
        for name in ("fsync_seconds", "heartbeat_seconds", "drain_seconds", "batch_bytes"):
            if getattr(self, name) <= 0:
                raise CaptureSettingsError(name, getattr(self, name), "must be greater than 0")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> CaptureSettings:
        """Read ``TIDEGAUGE_CAPTURE_<FIELD>`` for each field, and what ``KafkaAccess`` reads.

        Raises:
            SettingsError: A variable's value cannot be used, or no such variable exists.
        """
        settings = _from_environment(cls, "TIDEGAUGE_CAPTURE_", environ)
        return msgspec.structs.replace(settings, kafka=KafkaAccess.from_environment(environ))


class LiteLLMSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of LiteLLM's callback.

    Attributes:
        text: ``full``, ``redacted``, or ``none`` to leave prompts and answers out.
        characters: Most characters of text in an event; longer texts are cut in the middle.
    """

    text: Literal["full", "redacted", "none"] = "full"
    characters: int = 65_536

    def __post_init__(self) -> None:
        """Reject values that cannot work.

        Raises:
            CaptureSettingsError: A value is out of its range.
        """
        if self.characters < 0:
            raise CaptureSettingsError("characters", self.characters, "must not be below 0")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> LiteLLMSettings:
        """Read ``TIDEGAUGE_LITELLM_<FIELD>`` for each field.

        Raises:
            SettingsError: A variable's value cannot be used, or no such variable exists.
        """
        return _from_environment(cls, "TIDEGAUGE_LITELLM_", environ)


def _from_environment(kind: type[S], prefix: str, environ: Mapping[str, str]) -> S:
    refuse_unknown(environ)
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        variable = prefix + field.name.upper()
        if value := environ.get(variable):
            try:
                given = msgspec.json.decode(value) if get_origin(field.type) is tuple else value
                found[field.name] = msgspec.convert(given, field.type, strict=False, dec_hook=_path)
            except msgspec.DecodeError:
                allowed = _allowed(field.type)
                raise SettingsError(
                    bad_value(variable, value, f"must be {allowed}", default=field.default)
                ) from None
    try:
        return kind(**found)
    except CaptureSettingsError as error:
        variable = prefix + error.field.upper()
        value = environ.get(variable, str(error.value))
        raise SettingsError(bad_value(variable, value, error.problem)) from None


def _allowed(kind: object) -> str:
    """Return a description of the values that a field's type allows."""
    if get_origin(kind) in {Union, UnionType}:
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is tuple:
        return f"a JSON list of {', '.join(map(str, get_args(get_args(kind)[0])))}"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if kind is int:
        return "a whole number"
    return "a number" if kind is float else "text"


def settings_to_json(settings: CaptureSettings) -> bytes:
    """Encode settings for another process, including the password."""
    return msgspec.json.encode(settings, enc_hook=str)


def settings_from_json(data: bytes) -> CaptureSettings:
    """Decode settings that ``settings_to_json`` encoded.

    Raises:
        SettingsError: The data are not valid settings.
    """
    try:
        return msgspec.json.decode(data, type=CaptureSettings, dec_hook=_path)
    except msgspec.DecodeError as error:
        raise SettingsError(f"standard input holds no capture settings: {error}") from error
    except CaptureSettingsError as error:
        raise SettingsError(f"standard input holds unusable capture settings: {error}") from error


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError
