"""Capture events beside serving, at the price of appending to a file; ship them to Kafka."""

from tidegauge.capture.counters import Counts
from tidegauge.capture.errors import CaptureError, CaptureSettingsError, OutboxUnavailableError
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.settings import CaptureSettings, Fsync, KafkaAccess

__all__ = [
    "CaptureError",
    "CaptureSettings",
    "CaptureSettingsError",
    "Counts",
    "Fsync",
    "KafkaAccess",
    "OutboxUnavailableError",
    "Recorder",
]
