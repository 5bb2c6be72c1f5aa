"""Brokers for the tests that need one, and the vLLM that they share.

Each module has a broker of its own, so that none reads another's events.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.shared_vllm import SharedVllm

from tidegauge.runtime.brokers import ApacheBroker, Broker, EmbeddedBroker
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.settings import KafkaSettings

# Threads of numerical libraries slow small arrays down, most of all beside other processes; the
# libraries read these when a test first imports them.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A property's examples may take their time on a busy machine; `make nightly` tries more of them.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("every-change", _PATIENT, max_examples=40)
settings.register_profile("nightly", _PATIENT, max_examples=300)
settings.load_profile("every-change")

_COLLECTIONS = 5
"""Objects with finalisers take several rounds to go."""


@pytest.fixture(scope="module", autouse=True)
def _leftover_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect the sockets of failed connections, which kafka-python never closes, in silence."""
    yield
    if any(
        item.get_closest_marker("integration")
        for item in request.session.items
        if item.getparent(pytest.Module) is request.node
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            for _ in range(_COLLECTIONS):
                gc.collect()


_USUAL_SECONDS = 120
"""The time limit of a test that asks for no other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules, and mark every test that uses a broker.

    Where several processes share the modules, none then waits at the end for one that began late.
    kafka-python never closes the socket of a connection that was refused, or given up before it
    was there: it leaves them to the collector.
    """
    long = {item.path for item in items if _time_limit(item) > _USUAL_SECONDS}
    items.sort(key=lambda item: item.path not in long)
    needs = {"broker", "embedded_broker", "apache_broker", "kafka", "start_worker"}
    for item in items:
        if needs.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
        if item.get_closest_marker("integration"):
            item.add_marker(
                pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
            )


def _time_limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return _USUAL_SECONDS if marker is None else float(marker.args[0])


@pytest.fixture(scope="module")
def embedded_broker() -> Iterator[Broker]:
    """Yield the embedded broker with every topic."""
    if lack := EmbeddedBroker.missing():
        pytest.skip(lack)
    yield from _running(EmbeddedBroker())


@pytest.fixture(scope="module")
def apache_broker() -> Iterator[Broker]:
    """Yield Apache Kafka with every topic; skip where KAFKA_HOME names none."""
    if lack := ApacheBroker.missing():
        pytest.skip(lack)
    yield from _running(ApacheBroker())


def _running(broker: Broker) -> Iterator[Broker]:
    with broker:
        ensure_topics(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
        yield broker


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest) -> Broker:
    """Return Apache Kafka where KAFKA_HOME names one, else the embedded broker."""
    name = "embedded_broker" if ApacheBroker.missing() else "apache_broker"
    found: Broker = request.getfixturevalue(name)
    return found


@pytest.fixture
def kafka(broker: Broker) -> KafkaSettings:
    """Return settings that reach the broker."""
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers)


@pytest.fixture(scope="session")
def shared_vllm() -> Iterator[SharedVllm]:
    """Yield a vLLM on the CPU that is not started yet."""
    shared = SharedVllm()
    yield shared
    shared.stop()


@pytest.fixture(scope="module")
def vllm(shared_vllm: SharedVllm) -> str:
    """Return the address of the shared vLLM, started."""
    return shared_vllm.url()
