"""The view that the monitor's tests show, and when they look at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.monitor.made_up import NOW
from tests.monitor.night import night_view

from tidegauge.monitor.estimates import estimate
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator

ViewFactory = Callable[..., MonitorView]


@pytest.fixture
def make_view() -> ViewFactory:
    return night_view


@pytest.fixture
def estimator() -> Estimator:
    return estimate


@pytest.fixture
def now_ms() -> int:
    """Three seconds after the view was taken."""
    return NOW + 3_000
