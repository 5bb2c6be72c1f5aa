"""The process that moves the gateway's outbox to Kafka: ``python -m tidegauge.gateway.shipper``.

It is ``tidegauge.capture.shipper``, which see, and knows how to unfold the gateway's records.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tidegauge.capture import shipper
from tidegauge.gateway.record import BOTH, UNFOLD

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the shipper; as ``tidegauge.capture.shipper.main``."""
    return shipper.main(arguments, {BOTH.type: UNFOLD})


if __name__ == "__main__":
    sys.exit(main())
