"""Every page at three widths, light and dark: axe-core finds nothing, and nothing is cut off.

``TIDEGAUGE_TEST_AXE`` may name a newer ``axe.min.js`` than that of the tests' own dependency.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.monitor.browser import CHROMEDRIVER, CHROMIUM, Browser, browse, serve
from tests.monitor.made_up_pages import addresses, all_pages

from tidegauge.monitor.web.app import create_app
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator

WIDTHS = (390, 768, 1440)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="chromium or chromedriver is not installed"
)


def axe() -> str:
    """Return the script of axe-core."""
    if named := os.environ.get("TIDEGAUGE_TEST_AXE", ""):
        return Path(named).read_text()
    package = find_spec("axe_core_python")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "axe.min.js").read_text()


@pytest.fixture
def pages(
    make_view: Callable[[], MonitorView], estimator: Estimator, now_ms: int, tmp_path: Path
) -> Iterator[tuple[Browser, list[str]]]:
    view = make_view()
    interface = all_pages(view, estimator, now_ms, tmp_path)
    with serve(create_app(interface)) as port, browse(tmp_path / "profile") as browser:
        paths = [*addresses(view), "/runbook/quality", "/nowhere"]
        yield browser, [f"http://127.0.0.1:{port}{path}" for path in paths]


def test_axe_finds_nothing_and_nothing_is_cut_off(pages: tuple[Browser, list[str]]) -> None:
    browser, addresses_of_pages = pages
    script = axe()
    found = {}
    for address in addresses_of_pages:
        browser.look(WIDTHS[0], "light")
        browser.open(address)
        for width in WIDTHS:
            browser.look(width, "light")
            violations = [*browser.wide(), *browser.violations(script)]
            # What differs in the dark are colours alone.
            browser.look(width, "dark")
            violations += browser.violations(script, "color-contrast")
            if violations:
                found[address, width] = violations
    assert not found


def test_names_without_blanks_are_wrapped(
    make_view: Callable[..., MonitorView], estimator: Estimator, now_ms: int, tmp_path: Path
) -> None:
    view = make_view(texts=("x" * 300,), title="topic" * 40, who=("caller" * 20, "globex"))
    interface = all_pages(view, estimator, now_ms, tmp_path)
    found = {}
    with serve(create_app(interface)) as port, browse(tmp_path / "profile") as browser:
        for path in ("/", "/topics", f"/i/{view.alerts[0].alert_id}"):
            for width in WIDTHS:
                browser.look(width, "light")
                browser.open(f"http://127.0.0.1:{port}{path}")
                if wide := browser.wide():
                    found[path, width] = wide
                before, after = browser.resize()
                assert before == after, "a reader at the end of the page stays there"
    assert not found
