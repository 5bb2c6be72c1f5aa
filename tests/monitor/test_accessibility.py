"""axe-core over every page, at three widths, in light and in dark.

It is a package of npm, and runs where ``TIDEGAUGE_TEST_AXE`` names its ``axe.min.js``, as in
``make nightly``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.monitor.browser import CHROMEDRIVER, CHROMIUM, browse, serve
from tests.monitor.made_up_pages import addresses, all_pages

from tidegauge.monitor.web.app import create_app
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator

AXE = os.environ.get("TIDEGAUGE_TEST_AXE", "")
WIDTHS = (390, 768, 1440)

pytestmark = pytest.mark.skipif(
    not AXE or CHROMIUM is None or CHROMEDRIVER is None,
    reason="TIDEGAUGE_TEST_AXE names no axe.min.js, or chromium is not installed",
)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(  # noqa: PLR0913, PLR0917 - one fixture for each part of the page
    make_view: Callable[[], MonitorView],
    estimator: Estimator,
    now_ms: int,
    tmp_path: Path,
    width: int,
    mode: str,
) -> None:
    view = make_view()
    interface = all_pages(view, estimator, now_ms, tmp_path)
    pages = [*addresses(view), "/runbook/quality", "/nowhere"]
    script = Path(AXE).read_text()
    found = {}
    with serve(create_app(interface)) as port, browse(tmp_path / "profile") as browser:
        browser.look(width, mode)
        for page in pages:
            browser.open(f"http://127.0.0.1:{port}{page}")
            if violations := browser.violations(script):
                found[page] = violations
    assert not found
