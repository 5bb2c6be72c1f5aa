"""Our gateway for the benchmark: as users run it, or with nothing captured, to compare."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tidegauge.capture.recorder import Recorder
from tidegauge.gateway import main
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent


class Forgetful(Recorder):
    """Records nothing, not even the event's construction."""

    def start(self) -> None:
        """Make no outbox."""

    def record_request(self, build: Callable[[str, int], RequestEvent]) -> bool:
        """Forget it."""
        return bool(build)

    def record_response(self, build: Callable[[str, int], ResponseEvent]) -> bool:
        """Forget it."""
        return bool(build)


if __name__ == "__main__":
    if sys.argv[1] == "uncaptured":
        main.Recorder = Forgetful  # type: ignore[misc]
    main.run()
