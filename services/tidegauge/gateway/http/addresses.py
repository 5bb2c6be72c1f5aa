"""Addresses of upstreams and their timeouts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegauge.gateway.errors import ConfigurationError
from tidegauge.runtime.environment import shown_address

__all__ = ["Address", "Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an upstream may take, in seconds.

    Attributes:
        connect: Time to establish a connection, TLS included.
        first_byte: Time from the request's end to the answer's first piece.
        idle: Time between two pieces of an answer.
        keep_alive: How long an idle connection is kept.
    """

    connect: float = 5.0
    first_byte: float = 300.0
    idle: float = 300.0
    keep_alive: float = 30.0


@dataclass(frozen=True, slots=True)
class Address:
    """The address of an upstream.

    Attributes:
        host: Host name or IP address.
        port: TCP port.
        tls: Whether to use TLS.
        prefix: Path before ``/v1``, usually empty.
    """

    host: str
    port: int
    tls: bool = False
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parse a base URL, with or without its ``/v1``.

        Raises:
            ConfigurationError: The URL is not an ``http`` or ``https`` URL with a host.

        Example:
            >>> Address.parse("http://127.0.0.1:8000/v1")
            Address(host='127.0.0.1', port=8000, tls=False, prefix='')
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # The error quotes what stands in the port's place, which may be a password.
            raise ConfigurationError(
                f"upstream url {shown_address(url)!r}: its host or port cannot be read"
            ) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"upstream url {shown_address(url)!r}: expected http://host:port or https://host"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError(
                f"upstream url of host {parts.hostname!r}: give no user, query or fragment; "
                "an API key is named by api_key_env"
            )
        tls = parts.scheme == "https"
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, port or (443 if tls else 80), tls, prefix)

    @property
    def authority(self) -> str:
        """Return the value of the ``host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
