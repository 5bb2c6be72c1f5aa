"""What can go wrong in the gateway: at start, and on a request.

TidegaugeError
└── GatewayError
    ├── ConfigurationError            a file or a setting; nothing has changed
    │   └── KeyFileError
    └── ExchangeError                 one request could not be answered as asked
        ├── RefusedError              the client's doing: key, model, body, limits
        └── UpstreamError
            ├── UpstreamUnreachableError
            ├── UpstreamTimeoutError
            ├── UpstreamInterruptedError
            └── UpstreamAnswerError   it answered, but not as an upstream should
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.exchange import ErrorKind

__all__ = [
    "ConfigurationError",
    "ExchangeError",
    "GatewayError",
    "KeyFileError",
    "RefusedError",
    "UpstreamAnswerError",
    "UpstreamError",
    "UpstreamInterruptedError",
    "UpstreamTimeoutError",
    "UpstreamUnreachableError",
    "error_body",
    "too_large",
]

Headers = Sequence[tuple[bytes, bytes]]


class GatewayError(TidegaugeError):
    """Base of the gateway's errors."""


class ConfigurationError(GatewayError):
    """A file or a setting cannot be used; what was in force before still is."""


class KeyFileError(ConfigurationError):
    """The file of client keys cannot be read, or a key in it is malformed."""


class ExchangeError(GatewayError):
    """One request cannot be answered as asked.

    Attributes:
        kind: How the event names it.
        status: HTTP status for the client.
        code: OpenAI's ``error.code``.
        detail: One line in the gateway's own words, for the event and the client.
    """

    kind: ErrorKind = ErrorKind.GATEWAY_ERROR
    status: int = 500
    code: str = "gateway_error"
    type: str = "api_error"
    param: str | None = None
    headers: Headers = ()

    def __init__(self, detail: str) -> None:
        """Keep the gateway's own words."""
        super().__init__(detail)
        self.detail = detail


class RefusedError(ExchangeError):
    """The request itself cannot be served: it is malformed, unauthorized or over a limit."""

    _STATUS: ClassVar[dict[ErrorKind, int]] = {
        ErrorKind.INVALID_REQUEST: 400,
        ErrorKind.UNAUTHORIZED: 401,
        ErrorKind.UNKNOWN_MODEL: 404,
        ErrorKind.REQUEST_TOO_LARGE: 413,
        ErrorKind.RATE_LIMITED: 429,
    }

    def __init__(  # noqa: PLR0913 - the fields of OpenAI's error object
        self,
        kind: ErrorKind,
        detail: str,
        *,
        code: str,
        message: str | None = None,
        param: str | None = None,
        error_type: str = "invalid_request_error",
        headers: Headers = (),
    ) -> None:
        """Describe it.

        Args:
            kind: One of the kinds that are the client's doing.
            detail: In the gateway's own words, without text of the client.
            code: OpenAI's ``error.code``.
            message: What the client reads, where it may repeat the client's own text.
            param: The field that is wrong.
            error_type: OpenAI's ``error.type``.
            headers: Further response headers.
        """
        super().__init__(detail)
        self.kind = kind
        self.status = self._STATUS[kind]
        self.code = code
        self.type = error_type
        self.param = param
        self.headers = headers
        self.message = message or detail


def too_large(limit: int, headers: Headers = ()) -> RefusedError:
    """Return the refusal of a body; close the connection then, since the rest is not read."""
    return RefusedError(
        ErrorKind.REQUEST_TOO_LARGE,
        f"the request's body is longer than {limit} bytes",
        code="request_too_large",
        headers=headers,
    )


class UpstreamError(ExchangeError):
    """The upstream did not answer as it should."""

    kind = ErrorKind.UPSTREAM_ERROR
    status = 502
    code = "upstream_error"


class UpstreamUnreachableError(UpstreamError):
    """No connection could be made."""

    kind = ErrorKind.UPSTREAM_UNREACHABLE
    code = "upstream_unreachable"


class UpstreamTimeoutError(UpstreamError):
    """The upstream was too slow: to connect, to begin, or between two pieces."""

    kind = ErrorKind.UPSTREAM_TIMEOUT
    status = 504
    code = "upstream_timeout"


class UpstreamInterruptedError(UpstreamError):
    """The connection broke before the answer was complete."""

    kind = ErrorKind.UPSTREAM_INTERRUPTED
    code = "upstream_interrupted"


class UpstreamAnswerError(UpstreamError):
    """What came back is no answer: no HTTP, no JSON, or a refusal of the gateway's own key."""


class _Detail(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str


class _Body(msgspec.Struct):
    error: _Detail


def error_body(error: ExchangeError) -> bytes:
    """Write an error as OpenAI's API does, so that every client library understands it."""
    message = error.message if isinstance(error, RefusedError) else error.detail
    return msgspec.json.encode(_Body(_Detail(message, error.type, error.param, error.code)))
