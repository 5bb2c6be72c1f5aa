"""Captures events by appending them to local files, and ships those files to Kafka."""

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
