"""The application that the demonstration watches: its model, its customers, its two versions."""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.demo.errors import DemoError
from tidegauge.demo.traffic import DemoCustomer
from tidegauge.gateway.policy import keys

__all__ = ["MODEL", "Application", "NotReloadedError"]

MODEL: Final = "assistant"
"""The name that clients ask for."""

_SHARES: Final = {"acme": 0.5, "globex": 0.3, "initech": 0.15, "umbrella": 0.05}
_ANSWER_TOKENS: Final = 24
_PRICE: Final = {"input": 0.15, "output": 0.60}
_USD_PER_HOUR: Final = 0.40
"""Made up, as the price of the tokens is: the server runs on this machine."""
_TEMPERATURES: Final = {"v1": 0.2, "v2": 1.6}


class NotReloadedError(DemoError):
    """The gateway did not take the new configuration."""


@dataclass(frozen=True, slots=True)
class Application:
    """The gateway's configuration and keys, as files in a folder.

    Attributes:
        folder: Where they are.
        upstream: Address of the server that answers.
        served_model: What that server calls its model.
        customers: Customers with their keys.
        admin_key: Key of the gateway's admin routes.
    """

    folder: Path
    upstream: str
    served_model: str
    customers: tuple[DemoCustomer, ...]
    admin_key: str

    @classmethod
    def create(cls, folder: Path, *, upstream: str, served_model: str) -> Application:
        """Make keys and write both files; the model's version is the good one."""
        folder.mkdir(parents=True, exist_ok=True)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        made = {
            name: keys.create(keys.Customer(name=name, key_id=""), created=created)
            for name in _SHARES
        }
        application = cls(
            folder=folder,
            upstream=upstream,
            served_model=served_model,
            customers=tuple(
                DemoCustomer(name, made[name][0], share) for name, share in _SHARES.items()
            ),
            admin_key=secrets.token_hex(20),
        )
        keys.save(application.keys_file, [record for _, record in made.values()])
        application.write("v1")
        return application

    @property
    def keys_file(self) -> Path:
        """The file of client keys."""
        return self.folder / "keys.json"

    @property
    def configuration_file(self) -> Path:
        """The file of models and upstreams."""
        return self.folder / "gateway.yaml"

    def environment(self) -> Mapping[str, str]:
        """Return the services' settings."""
        return {
            # The demo builds its baselines itself, when its traffic is as it is to be.
            "TIDEGAUGE_BASELINE_PROVISIONAL": "false",
            "TIDEGAUGE_GATEWAY_CONFIG": str(self.configuration_file),
            "TIDEGAUGE_GATEWAY_KEYS_FILE": str(self.keys_file),
            "TIDEGAUGE_GATEWAY_ADMIN_KEY": self.admin_key,
        }

    def write(self, version: str) -> None:
        """Write the configuration in which a version of the model answers.

        Both versions are the same weights; the worse one samples much too hot.
        """
        upstream = {
            "url": self.upstream,
            "model": self.served_model,
            "version": version,
            "overrides": {"temperature": _TEMPERATURES[version], "max_tokens": _ANSWER_TOKENS},
            "price": _PRICE,
            "gpu_usd_per_hour": _USD_PER_HOUR,
        }
        # JSON is YAML too, and quotes whatever a model's name may hold.
        document = msgspec.json.encode({"models": {MODEL: {"upstreams": [upstream]}}})
        self.configuration_file.write_bytes(msgspec.json.format(document) + b"\n")

    def deploy_worse_version(self, gateway: str) -> None:
        """Have the running gateway answer with the worse version from now on.

        Raises:
            NotReloadedError: It did not take the configuration.
        """
        self.write("v2")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(  # noqa: S310 - our own gateway
            f"{gateway}/admin/reload",
            method="POST",
            headers={"Authorization": f"Bearer {self.admin_key}"},
        )
        try:
            opener.open(request, timeout=10).close()
        except OSError as error:
            raise NotReloadedError(f"POST {gateway}/admin/reload failed: {error}") from error
