"""Requests and connections that are refused before they become exchanges.

They cost a client nothing, so they are counted by reason and logged in samples: a line for each
reason at most every ten seconds. Of requests without a valid key one a second is recorded as an
exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, get_args

import structlog
from prometheus_client.core import CounterMetricFamily, Metric

__all__ = ["REASONS", "Reason", "Refusals"]

Reason = Literal[
    "admin_route",
    "connections",
    "deadline",
    "invalid_http",
    "method",
    "route",
    "unauthorized",
    "waiting",
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why a request or connection is refused.

An administration route on the clients' listener, too many connections of an address, a request
that did not arrive in time, no HTTP, a method that a route does not have, an unknown route, no
valid key, too many connections of an address that wait for a request.
"""

_LOG_SECONDS: Final = 10.0
_SAMPLE_SECONDS: Final = 1.0
_LONGEST: Final = 100

_log = structlog.get_logger("tidegauge.gateway")


class Refusals:
    """Counts refusals, as a Prometheus collector.

    Args:
        clock: A monotonic clock in seconds.

    Example:
        >>> refusals = Refusals(lambda: 5.0)
        >>> refusals.sampled(), refusals.sampled()
        (True, False)
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        self._logged: dict[Reason, tuple[float, int]] = {}
        self._sampled = float("-inf")

    def __getitem__(self, reason: Reason) -> int:
        """Return how often something was refused for a reason."""
        return self._counts[reason]

    def add(self, reason: Reason, **details: str) -> None:
        """Count a refusal; log it if none was logged for this reason in ten seconds.

        Args:
            reason: Why it was refused.
            details: Text of the client for the log, cut to 100 characters.
        """
        count = self._counts[reason] = self._counts[reason] + 1
        now = self._clock()
        before = self._logged.get(reason)
        if before is None or now - before[0] >= _LOG_SECONDS:
            self._logged[reason] = now, count
            shown = {name: text[:_LONGEST] for name, text in details.items()}
            number = count - (0 if before is None else before[1])
            _log.warning("refused", reason=reason, number=number, **shown)

    def sampled(self) -> bool:
        """Whether the current refusal is to be recorded as an exchange: one a second is."""
        now = self._clock()
        if now - self._sampled < _SAMPLE_SECONDS:
            return False
        self._sampled = now
        return True

    def collect(self) -> Iterable[Metric]:
        """Yield the counts."""
        family = CounterMetricFamily(
            "tidegauge_gateway_refused",
            "Requests and connections refused before they became exchanges, by reason.",
            labels=("reason",),
        )
        for reason, count in self._counts.items():
            family.add_metric((reason,), count)
        yield family
