"""Settings: from the environment, with ranges that make sense, and secrets kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegauge.capture import CaptureSettings, KafkaAccess
from tidegauge.capture.settings import LiteLLMSettings, settings_from_json, settings_to_json
from tidegauge.runtime.environment import SettingsError


def test_each_field_has_its_variable() -> None:
    settings = CaptureSettings.from_environment(
        {
            "TIDEGAUGE_CAPTURE_DIRECTORY": "/var/lib/tidegauge",
            "TIDEGAUGE_CAPTURE_PRODUCER": "litellm",
            "TIDEGAUGE_CAPTURE_QUOTA_BYTES": "64000000",
            "TIDEGAUGE_CAPTURE_FSYNC": "interval",
            "TIDEGAUGE_CAPTURE_HEARTBEAT_SECONDS": "2.5",
            "KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092,kafka-2:9092",
            "TIDEGAUGE_KAFKA_SASL_PASSWORD": "not-for-logs",
        }
    )
    assert settings.directory == Path("/var/lib/tidegauge")
    assert (settings.producer, settings.quota_bytes) == ("litellm", 64_000_000)
    assert (settings.fsync, settings.heartbeat_seconds) == ("interval", 2.5)
    assert settings.kafka.bootstrap_servers == "kafka-1:9092,kafka-2:9092"
    assert settings.kafka.sasl_password == "not-for-logs"  # noqa: S105 - no real one
    assert "not-for-logs" not in repr(settings)


def test_litellms_callback_has_its_own() -> None:
    assert LiteLLMSettings.from_environment({}).text == "full"
    assert LiteLLMSettings.from_environment({"TIDEGAUGE_LITELLM_TEXT": "none"}).text == "none"
    with pytest.raises(
        SettingsError,
        match=r"TIDEGAUGE_LITELLM_TEXT is .some.: it must be one of full, redacted, none",
    ):
        LiteLLMSettings.from_environment({"TIDEGAUGE_LITELLM_TEXT": "some"})


def test_an_empty_environment_gives_the_defaults() -> None:
    assert CaptureSettings.from_environment({}) == CaptureSettings()
    assert CaptureSettings.from_environment({"TIDEGAUGE_CAPTURE_FSYNC": ""}) == CaptureSettings()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "TIDEGAUGE_CAPTURE_QUOTA_BYTES",
            "much",
            "TIDEGAUGE_CAPTURE_QUOTA_BYTES is .much.: it must be a whole number",
        ),
        ("TIDEGAUGE_CAPTURE_QUOTA_BYTES", "1000", "must hold at least 2 segments"),
        ("TIDEGAUGE_CAPTURE_SEGMENT_BYTES", "1000", "must hold the largest event"),
        (
            "TIDEGAUGE_CAPTURE_FSYNC",
            "sometimes",
            "sometimes.: it must be one of never, interval, always",
        ),
        ("TIDEGAUGE_CAPTURE_PRODUCER", "../../etc", "must be letters, digits"),
        ("TIDEGAUGE_CAPTURE_PRODUCER", "a/b", "must be letters, digits"),
        (
            "TIDEGAUGE_CAPTURE_HEARTBEAT_SECONDS",
            "0",
            "TIDEGAUGE_CAPTURE_HEARTBEAT_SECONDS is .0.: it must be greater than 0",
        ),
        ("TIDEGAUGE_KAFKA_COMPRESSION", "rar", "rar"),
    ],
)
def test_a_value_that_cannot_work_is_refused(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CaptureSettings.from_environment({variable: value})


def test_settings_reach_another_process_whole() -> None:
    settings = CaptureSettings(
        directory=Path("/somewhere"),
        kafka=KafkaAccess(sasl_password="secret"),  # noqa: S106
    )
    assert settings_from_json(settings_to_json(settings)) == settings


@pytest.mark.parametrize("data", [b"", b"[]", b'{"quota_bytes": "much"}', b'{"quota_bytes": 1}'])
def test_what_is_no_settings_is_refused(data: bytes) -> None:
    with pytest.raises(SettingsError):
        settings_from_json(data)
