"""A node of Apache Kafka from a distribution on disk, as broker and controller in one."""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from tidegauge.runtime.brokers.errors import BrokerError
from tidegauge.runtime.brokers.process import LOOPBACK, Broker, free_port

__all__ = ["ApacheBroker"]

_FORMAT_SECONDS = 60

_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Half the CPU time of a start: the optimising compiler does not pay within minutes."""

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""

_LOGGING = """\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: STDOUT
"""


class ApacheBroker(Broker):
    """See ``Broker``.

    Args:
        kafka_home: The unpacked distribution; ``KAFKA_HOME`` if None.
        port: Port to listen on; any free port if None.
        properties: Further lines for its configuration; they go before ours.
    """

    def __init__(
        self, kafka_home: Path | None = None, port: int | None = None, *, properties: str = ""
    ) -> None:
        super().__init__(port)
        self._properties = properties
        home = kafka_home or Path(os.environ.get("KAFKA_HOME", ""))
        self._libraries = home / "libs"
        self._controller = free_port()

    @classmethod
    def missing(cls, kafka_home: Path | None = None) -> str | None:
        """Return what this machine lacks to run it, with the remedy; None if nothing."""
        home = kafka_home or Path(os.environ.get("KAFKA_HOME", ""))
        if not any((home / "libs").glob("kafka_*.jar")):
            return f"no Kafka distribution at {home}: set KAFKA_HOME to an unpacked one"
        if shutil.which("java") is None:
            return "Apache Kafka needs Java 17 or newer on the PATH"
        return None

    @property
    def transactional(self) -> bool:
        """True."""
        return True

    @property
    def durable(self) -> bool:
        """True."""
        return True

    def _command(self, folder: Path) -> Sequence[str]:
        if lack := self.missing(self._libraries.parent):
            raise BrokerError(lack)
        java = str(shutil.which("java"))
        classes = f"{self._libraries}/*"
        properties = folder / "server.properties"
        logging = folder / "log4j2.yaml"
        if not properties.exists():
            logging.write_text(_LOGGING)
            properties.write_text(
                _PROPERTIES.format(
                    host=LOOPBACK, port=self.port, controller=self._controller, folder=folder
                )
                + self._properties
            )
            self._format(java, classes, properties)
        return [
            java,
            *_SHORT_LIVED,
            "-Xms256m",
            "-Xmx512m",
            "-cp",
            classes,
            f"-Dlog4j2.configurationFile={logging}",
            "kafka.Kafka",
            str(properties),
        ]

    def _format(self, java: str, classes: str, properties: Path) -> None:
        tool = [java, *_SHORT_LIVED, "-cp", classes, "kafka.tools.StorageTool"]
        command = [*tool, "format", "--standalone", "-t", _cluster_id(), "-c", str(properties)]
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_FORMAT_SECONDS,
        )
        if done.returncode:
            raise BrokerError(f"Kafka's storage tool failed: {done.stderr.strip()[-500:]}")


def _cluster_id() -> str:
    """Return a new id in Kafka's form; it must not begin with the dash of an option."""
    while (cluster := urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return cluster
