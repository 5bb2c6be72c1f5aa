"""Take README's picture of an incident's page, with the made-up night of the tests.

PYTHONPATH=. python infra/screenshot.py docs/incident.png
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry
from tests.monitor.browser import CHROMIUM, serve
from tests.monitor.made_up import NOW
from tests.monitor.night import night_view

from tidegauge.monitor.estimates import estimate
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitoring.view import MonitorView

INCIDENT = "/i/drift.topics-"
SIZE = "1200,730"


class Night:
    """A watch over the made-up night."""

    def view(self) -> MonitorView:
        """Return what the monitor knows of it."""
        return night_view()

    def ready(self) -> bool:
        """Return that there is a view."""
        return True

    def alive(self) -> bool:
        """Return that it is worth keeping."""
        return True


def main(picture: Path) -> None:
    """Serve the page, and let Chromium take its picture."""
    if CHROMIUM is None:
        sys.exit("Chromium is not installed")
    interface = Interface(
        watch=Night(),
        now_ms=lambda: NOW,
        estimator=estimate,
        registry=CollectorRegistry(),
        false_alarm_days=30,
        refresh_seconds=0,
        host="127.0.0.1",
    )
    with serve(create_app(interface)) as port:
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        subprocess.run(  # noqa: S603 - our own arguments
            [
                CHROMIUM,
                *flags,
                f"--screenshot={picture.absolute()}",
                f"--window-size={SIZE}",
                "--virtual-time-budget=4000",
                f"http://127.0.0.1:{port}{INCIDENT}",
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
