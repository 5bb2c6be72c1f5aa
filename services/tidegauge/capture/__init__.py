"""Captures events by appending them to local files, and ships those files to Kafka."""

from tidegauge.capture.counters import Counts
from tidegauge.capture.errors import CaptureError, CaptureSettingsError, OutboxUnavailableError
from tidegauge.capture.history import Told
from tidegauge.capture.placement import Conversations, Placement
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.settings import CaptureSettings, Fsync, KafkaAccess

__all__ = [
    "CaptureError",
    "CaptureSettings",
    "CaptureSettingsError",
    "Conversations",
    "Counts",
    "Fsync",
    "KafkaAccess",
    "OutboxUnavailableError",
    "Placement",
    "Recorder",
    "Told",
]
