from __future__ import annotations

import pytest

from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.settings import load
from tidegauge.workers.vitals.settings import VitalsSettings


def test_defaults_are_the_documented_ones() -> None:
    settings = load(VitalsSettings)
    assert (settings.host, settings.port) == ("127.0.0.1", 8092)
    sketching = settings.sketching()
    assert (sketching.window_ms, sketching.lateness_ms) == (10_000, 20_000)


def test_windows_are_set_for_all_services_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_WINDOW_SECONDS", "2")
    monkeypatch.setenv("TIDEGAUGE_LATENESS_SECONDS", "1.5")
    sketching = load(VitalsSettings).sketching()
    assert (sketching.window_ms, sketching.lateness_ms, sketching.idle_ms) == (2_000, 1_500, 2_000)


def test_a_window_without_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_WINDOW_SECONDS", "0")
    with pytest.raises(SettingsError):
        load(VitalsSettings)


def test_every_variable_is_described() -> None:
    assert all(field.description for field in VitalsSettings.model_fields.values())
