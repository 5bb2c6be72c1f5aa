"""What can go wrong with a broker of one's own.

TidegaugeError
└── BrokerError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["BrokerError"]


class BrokerError(TidegaugeError):
    """A broker cannot be started here, or did not come up."""
