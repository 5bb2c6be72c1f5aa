from __future__ import annotations

import pytest
from pydantic import ValidationError

from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")
    monkeypatch.setenv("TIDEGAUGE_KAFKA_TRANSACTIONS", "off")
    settings = load(KafkaSettings)
    assert settings.client()["bootstrap_servers"] == ["a:1", "b:2"]
    assert settings.transactions == "off"


def test_a_password_is_for_the_client_and_for_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_KAFKA_SASL_PASSWORD", "hunter2")
    settings = load(KafkaSettings)
    assert settings.client()["sasl_plain_password"] == "hunter2"  # noqa: S105 - the test's own
    assert "hunter2" not in repr(settings)


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="dead_letter_ratio"):
        KafkaSettings(dead_letter_ratio=1.5)


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in KafkaSettings.model_fields.values())
