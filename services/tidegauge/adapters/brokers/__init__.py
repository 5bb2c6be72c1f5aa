"""Brokers that start and stop with the process: for demos and tests."""

from tidegauge.adapters.brokers.apache import ApacheBroker
from tidegauge.adapters.brokers.embedded import EmbeddedBroker
from tidegauge.adapters.brokers.errors import BrokerError
from tidegauge.adapters.brokers.process import Broker

__all__ = ["ApacheBroker", "Broker", "BrokerError", "EmbeddedBroker"]
