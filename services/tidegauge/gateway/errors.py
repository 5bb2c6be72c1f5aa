"""Errors of the gateway, at the start and while answering a request.

TidegaugeError
└── GatewayError
    ├── ConfigurationError            a file or a setting is wrong; the old state stays in force
    │   └── KeyFileError
    └── ExchangeError                 one request could not be answered
        ├── RefusedError              the client's fault: key, model, body, limits
        └── UpstreamError
            ├── UpstreamUnreachableError
            ├── UpstreamTimeoutError
            ├── UpstreamInterruptedError
            └── UpstreamAnswerError   the upstream's answer is not valid
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
    """A file or a setting cannot be used; the previous configuration stays in force."""


class KeyFileError(ConfigurationError):
    """The file of client keys cannot be read, or a key in it is malformed."""


class ExchangeError(GatewayError):
    """One request cannot be answered.

    Attributes:
        kind: The error kind in the event.
        status: HTTP status for the client.
        code: OpenAI's ``error.code``.
        detail: One line for the event and the client, without text of the client.
    """

    kind: ErrorKind = ErrorKind.GATEWAY_ERROR
    status: int = 500
    code: str = "gateway_error"
    type: str = "api_error"
    param: str | None = None
    headers: Headers = ()

    def __init__(self, detail: str) -> None:
        """Store the detail."""
        super().__init__(detail)
        self.detail = detail


class RefusedError(ExchangeError):
    """The request is malformed, unauthorized or over a limit."""

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
        status: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Store the fields of the error.

        Args:
            kind: An error kind that is the client's fault.
            detail: One line for the event, without text of the client.
            code: OpenAI's ``error.code``.
            message: Message for the client, which may quote the client's own text; ``detail``
                if None.
            param: The field that is wrong.
            error_type: OpenAI's ``error.type``.
            status: HTTP status; the kind's if None.
            headers: Further response headers.
        """
        super().__init__(detail)
        self.kind = kind
        self.status = self._STATUS[kind] if status is None else status
        self.code = code
        self.type = error_type
        self.param = param
        self.headers = headers
        self.message = message or detail


def too_large(limit: int, headers: Headers = ()) -> RefusedError:
    """Return the error for a body that is too long.

    The connection must be closed after it, since the rest of the body is not read.
    """
    return RefusedError(
        ErrorKind.REQUEST_TOO_LARGE,
        f"the request's body is longer than {limit} bytes",
        code="request_too_large",
        headers=headers,
    )


class UpstreamError(ExchangeError):
    """The upstream gave no valid answer.

    Attributes:
        repeats: How often the request was sent again to the same upstream.
    """

    repeats: int = 0
    kind = ErrorKind.UPSTREAM_ERROR
    status = 502
    code = "upstream_error"


class UpstreamUnreachableError(UpstreamError):
    """No connection to the upstream could be made."""

    kind = ErrorKind.UPSTREAM_UNREACHABLE
    code = "upstream_unreachable"


class UpstreamTimeoutError(UpstreamError):
    """The upstream was too slow: to connect, to begin, or between two pieces."""

    kind = ErrorKind.UPSTREAM_TIMEOUT
    status = 504
    code = "upstream_timeout"


class UpstreamInterruptedError(UpstreamError):
    """The upstream's connection broke before the answer was complete."""

    kind = ErrorKind.UPSTREAM_INTERRUPTED
    code = "upstream_interrupted"


class UpstreamAnswerError(UpstreamError):
    """The upstream's answer is not HTTP, not JSON, or a rejection of the gateway's own key."""


class _Detail(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str


class _Body(msgspec.Struct):
    error: _Detail


def error_body(error: ExchangeError) -> bytes:
    """Encode an error in the form of OpenAI's API, which every client library can parse."""
    message = error.message if isinstance(error, RefusedError) else error.detail
    return msgspec.json.encode(_Body(_Detail(message, error.type, error.param, error.code)))
