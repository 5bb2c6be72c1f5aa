"""Brokers that start and stop with the process: for demos and tests."""

from tidegauge.runtime.brokers.apache import ApacheBroker
from tidegauge.runtime.brokers.embedded import EmbeddedBroker
from tidegauge.runtime.brokers.errors import BrokerError
from tidegauge.runtime.brokers.process import Broker

__all__ = ["ApacheBroker", "Broker", "BrokerError", "EmbeddedBroker"]
