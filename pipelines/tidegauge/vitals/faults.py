"""Which errors are the service's fault; only these count against it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tidegauge.schemas.exchange import ErrorKind

__all__ = ["SERVICE_FAULTS", "is_service_fault"]

SERVICE_FAULTS: Mapping[ErrorKind, bool] = MappingProxyType(
    {
        ErrorKind.INVALID_REQUEST: False,
        ErrorKind.UNAUTHORIZED: False,
        ErrorKind.UNKNOWN_MODEL: False,
        ErrorKind.REQUEST_TOO_LARGE: False,
        ErrorKind.RATE_LIMITED: False,
        ErrorKind.UPSTREAM_UNREACHABLE: True,
        ErrorKind.UPSTREAM_TIMEOUT: True,
        ErrorKind.UPSTREAM_ERROR: True,
        # The upstream answered 4xx: it did not accept what the client had asked for.
        ErrorKind.UPSTREAM_REJECTED: False,
        ErrorKind.UPSTREAM_INTERRUPTED: True,
        ErrorKind.CLIENT_DISCONNECTED: False,
        ErrorKind.GATEWAY_ERROR: True,
    }
)
"""Error kind -> whether the service failed a client that had done nothing wrong."""


def is_service_fault(kind: ErrorKind) -> bool:
    """Return whether the service, and not its client, is to blame.

    Example:
        >>> is_service_fault(ErrorKind.UPSTREAM_TIMEOUT), is_service_fault(ErrorKind.UNAUTHORIZED)
        (True, False)
    """
    return SERVICE_FAULTS[kind]
