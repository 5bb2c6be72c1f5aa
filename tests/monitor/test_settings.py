from __future__ import annotations

from pathlib import Path

import pytest

from tidegauge.monitor.main import receivers
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.monitoring.plan import MINIMUM_EFFECT
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.settings import load


def test_the_defaults_promise_one_false_alarm_in_30_days_on_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = load(MonitorSettings)
    plan = settings.plan()
    assert (settings.host, settings.port) == ("127.0.0.1", 8090)
    assert plan.false_alarm_days == 30
    assert plan.window_ms == 10_000
    assert settings.reports_dir == tmp_path / "tidegauge" / "reports"
    assert receivers(settings) == ()


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_WINDOW_SECONDS", "2")
    monkeypatch.setenv("TIDEGAUGE_MONITOR_WORKERS", '["vitals"]')
    monkeypatch.setenv("TIDEGAUGE_MONITOR_WEBHOOK_URL", "https://example.org/hook")
    monkeypatch.setenv("TIDEGAUGE_MONITOR_WEBHOOK_SECRET", "hush")
    monkeypatch.setenv("TIDEGAUGE_MONITOR_ALERTMANAGER_URL", "http://127.0.0.1:9093")
    monkeypatch.setenv("TIDEGAUGE_MONITOR_SETTLE_SECONDS", "5")
    monkeypatch.setenv("TIDEGAUGE_MONITOR_NO_DATA_SECONDS", "0.5")
    monkeypatch.setenv("TIDEGAUGE_MONITOR_MINIMUM_EFFECT", '{"drift": 0.02}')
    settings = load(MonitorSettings)
    assert settings.plan().window_ms == 2_000
    assert (settings.plan().settle_ms, settings.plan().no_data_ms) == (5_000, 500)
    assert settings.plan().minimum_effect == {**MINIMUM_EFFECT, "drift": 0.02}
    assert settings.plan().expected == ("vitals",)
    assert [receiver.name for receiver in receivers(settings)] == ["webhook", "alertmanager"]
    assert "hush" not in repr(settings)


def test_each_address_of_apprise_is_a_receiver_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_MONITOR_APPRISE_URLS", "json://hush@127.0.0.1/ xml://127.0.0.1/")
    settings = load(MonitorSettings)
    found = receivers(settings)
    assert [receiver.name for receiver in found] == ["apprise-1-json", "apprise-2-xml"]
    assert all(receiver.remind and not receiver.forgets for receiver in found)
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGAUGE_MONITOR_FALSE_ALARM_DAYS", "-1"),
        ("TIDEGAUGE_MONITOR_PORT", "http"),
        ("TIDEGAUGE_MONITOR_WEBHOOK_URL", "ftp://example.org"),
        ("TIDEGAUGE_MONITOR_PAGE_URL", "https://[monitor"),
        ("TIDEGAUGE_MONITOR_PAGE_URL", "https://monitor:http"),
        ("TIDEGAUGE_MONITOR_PAGE_URL", "https:///page"),
        ("TIDEGAUGE_MONITOR_GROUP", "a group"),
        ("TIDEGAUGE_MONITOR_WORKERS", '["baker"]'),
        ("TIDEGAUGE_MONITOR_WORKERS", "drift"),
        ("TIDEGAUGE_MONITOR_MINIMUM_EFFECT", '{"drift": -0.5}'),
        ("TIDEGAUGE_MONITOR_MINIMUM_EFFECT", '{"swap": 2}'),
        ("TIDEGAUGE_MONITOR_SETTLE_SECONDS", "0"),
        ("TIDEGAUGE_WINDOW_SECONDS", "0"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(MonitorSettings)
    told = str(caught.value).lower()
    assert name.lower() in told or name.removeprefix("TIDEGAUGE_MONITOR_").lower() in told
    assert "\n" not in told
