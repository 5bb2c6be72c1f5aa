"""Forwards a request to an upstream, with retries, and rewrites its body."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, Literal

import msgspec

from tidegauge.gateway.apis import Api, ParsedRequest, malformed
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import (
    UpstreamAnswerError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamUnreachableError,
)
from tidegauge.gateway.exchange_state import Exchange
from tidegauge.gateway.http.client import Connection, Quiet
from tidegauge.gateway.multipart import content_type, is_multipart, replace_fields
from tidegauge.gateway.proxy.relay import Relay, Sink
from tidegauge.gateway.proxy.upstreams import Attempt, Target
from tidegauge.gateway.proxy.whole_answers import WholeAnswer, read_whole
from tidegauge.gateway.usage import added

__all__ = ["FailedCheckError", "Forwarder", "Outgoing", "rewrite"]

_ERRORS: Final = 400
_MOST_ATTEMPTS: Final = 2
_EVENT_BEGINNINGS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_REFUSED_FIELD: Final = frozenset({400, 422})
_STREAM_OPTIONS: Final = b"stream_options"

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_encode: Final = msgspec.json.Encoder().encode
_SYNONYMS: Final = (
    ("max_tokens", "max_completion_tokens"),
    ("max_completion_tokens", "max_tokens"),
)
_TRUE: Final = msgspec.Raw(b"true")
_INCLUDE_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')


class FailedCheckError(UpstreamAnswerError):
    """The answer failed a check that the model's configuration turns into an error."""

    code = "output_check_failed"

    def __init__(self, check_name: str) -> None:
        """Build the message from the check's name."""
        super().__init__(f"the model's answer failed the check {check_name!r}")


class Outgoing(msgspec.Struct, frozen=True):
    """A request to send to an upstream.

    Attributes:
        api: The API of the request.
        asked: The parsed request.
        body: The body to send.
        failed_checks: Check -> what to do if an answer that is not streamed fails it.
        retried_statuses: Statuses for which another target is tried.
    """

    api: Api
    asked: ParsedRequest
    body: bytes
    failed_checks: Mapping[str, Literal["retry", "error"]]
    retried_statuses: frozenset[int]


class Forwarder:
    """Forwards requests to upstreams and relays the answers.

    Args:
        completion: Checks and concludes exchanges.
        longest_answer: Most bytes of an answer that is not a stream.
        quiet_seconds: Pause of a stream after which the client gets a comment; None for never.
    """

    def __init__(
        self, completion: Completion, longest_answer: int, quiet_seconds: float | None
    ) -> None:
        self._completion = completion
        self._longest_answer = longest_answer
        self._quiet_seconds = quiet_seconds

    async def forward(
        self, exchange: Exchange, outgoing: Outgoing, targets: tuple[Target, ...], sink: Sink
    ) -> None:
        """Forward a request and relay the answer.

        Args:
            exchange: The exchange, its first attempt chosen.
            outgoing: The request.
            targets: The targets to try, the chosen one first.
            sink: Sends the answer to the client.

        Raises:
            UpstreamError: No target gave an answer that can be relayed.
        """
        relay = Relay(exchange, outgoing.api, sink, self._completion)
        quiet = None
        if outgoing.asked.stream and self._quiet_seconds and not exchange.arrival.shadow:
            quiet = Quiet(self._quiet_seconds, relay.keep_alive)
        connection, first = await self._ask(
            exchange, outgoing, targets, exchange.attempt, quiet=quiet
        )
        try:
            if first is not None:
                await relay.stream(connection, first)
                return
            whole = read_whole(
                outgoing.api, connection, await connection.read(self._longest_answer)
            )
        finally:
            if not exchange.arrival.shadow:
                metrics, route = self._completion.metrics, exchange.arrival.route
                metrics.count_bytes(route, len(outgoing.body), connection.received)
            connection.close()
        if outgoing.failed_checks:
            whole = await self._checked(exchange, outgoing, targets, whole)
        await relay.whole(whole)

    async def _checked(
        self,
        exchange: Exchange,
        outgoing: Outgoing,
        targets: tuple[Target, ...],
        whole: WholeAnswer,
    ) -> WholeAnswer:
        """Check the answer; return it, or the answer of one retry if it fails a check.

        Raises:
            FailedCheckError: The answer fails a check that is configured as an error.
        """
        failed = await self._failed_checks(exchange, whole)
        reactions = {outgoing.failed_checks.get(name) for name in failed}
        attempt = exchange.attempt
        if "retry" in reactions and attempt is not None and attempt.number < _MOST_ATTEMPTS:
            attempt.stop()
            whole = await self._once_more(exchange, outgoing, targets, whole)
            failed = await self._failed_checks(exchange, whole)
        for name in failed:
            if outgoing.failed_checks.get(name) == "error":
                exchange.discarded = added(whole.answer.usage, exchange.discarded)
                raise FailedCheckError(name)
        return whole

    async def _failed_checks(self, exchange: Exchange, whole: WholeAnswer) -> list[str]:
        """Check an answer and return the names of the failed checks."""
        findings = exchange.findings = {}
        if whole.is_complete():
            findings = await self._completion.check(exchange, whole.answer)
        return [name for name, finding in findings.items() if finding == "failed"]

    async def _once_more(
        self,
        exchange: Exchange,
        outgoing: Outgoing,
        targets: tuple[Target, ...],
        discarded: WholeAnswer,
    ) -> WholeAnswer:
        """Retry with another target, or the same if there is only one; both usages are counted."""
        exchange.discarded = discarded.answer.usage
        another = (*targets[1:], *targets[:1])[:1]
        connection, first = await self._ask(exchange, outgoing, another)
        try:
            if first is not None:
                raise UpstreamAnswerError("the upstream streams an answer that is to be whole")
            return read_whole(outgoing.api, connection, await connection.read(self._longest_answer))
        finally:
            connection.close()

    async def _ask(
        self,
        exchange: Exchange,
        outgoing: Outgoing,
        targets: tuple[Target, ...],
        attempt: Attempt | None = None,
        *,
        quiet: Quiet | None = None,
    ) -> tuple[Connection, bytes | None]:
        """Send a request; return the answering connection and, for a stream, the first piece.

        If a target fails before the first byte, one other target is tried, unless the request
        has been sent twice already.

        Args:
            exchange: The exchange.
            outgoing: The request.
            targets: The targets to try, in order.
            attempt: The first target's attempt, if it exists already.
            quiet: What to do while an upstream is silent; None for nothing.
        """
        asked, tried = outgoing.asked, targets[:_MOST_ATTEMPTS]
        hidden_usage = asked.stream and outgoing.api.asks_for_usage and not asked.usage_wanted
        for target in tried:
            if attempt is None:
                attempt = exchange.attempt = target.attempt(asked.sampling, exchange.attempt)
            attempt.start()
            try:
                with_usage = hidden_usage and target.asks_for_usage
                connection = await _send(
                    exchange, outgoing, target, with_usage=with_usage, quiet=quiet
                )
                attempt.number += connection.repeats
                if with_usage and connection.status in _REFUSED_FIELD:
                    connection = await self._without_usage(exchange, outgoing, attempt, connection)
                if (
                    connection.status < _ERRORS
                    and not connection.is_stream
                    and not (asked.stream and await _holds_events(connection))
                ):
                    return connection, None
                last = target is tried[-1] or connection.repeats
                retried = frozenset() if last else outgoing.retried_statuses
                connection.quiet_seconds = self._quiet_seconds
                return connection, await _first_piece(connection, retried)
            except UpstreamError as error:
                attempt.stop()
                attempt.number += error.repeats
                last = target is tried[-1] or error.repeats
                if last or isinstance(error, UpstreamAnswerError):
                    raise
                attempt = None
        raise UpstreamUnreachableError("no upstream is left to ask")

    async def _without_usage(
        self, exchange: Exchange, outgoing: Outgoing, attempt: Attempt, connection: Connection
    ) -> Connection:
        """Ask a target again if it refuses ``stream_options``, which the client did not send.

        It is asked without it from now on. Any other refusal is returned as it came.
        """
        target = attempt.target
        try:
            refused = _STREAM_OPTIONS in await connection.read_ahead(self._longest_answer)
        except BaseException:
            connection.close()
            raise
        if not refused:
            return connection
        connection.close()
        target.asks_for_usage = False
        attempt.number += 1
        connection = await _send(exchange, outgoing, target, with_usage=False)
        attempt.number += connection.repeats
        return connection


def _send(
    exchange: Exchange,
    outgoing: Outgoing,
    target: Target,
    *,
    with_usage: bool,
    quiet: Quiet | None = None,
) -> Awaitable[Connection]:
    """Return an awaitable that sends a request to a target and waits for the answer's head."""
    extra = b"x-request-id: %b\r\n" % exchange.arrival.request_id.encode()
    if exchange.arrival.traceparent is not None:
        extra += b"traceparent: %b\r\n" % exchange.arrival.traceparent.encode()
    body = rewrite(outgoing.body, target.replace, ask_for_usage=with_usage)
    form = content_type(body) if body.startswith(b"--") else b"application/json"
    return target.ask(outgoing.api.path, form, body, extra, quiet)


async def _holds_events(connection: Connection) -> bool:
    """Whether the body begins like a stream of events, of whatever type it is called."""
    try:
        opening = await connection.peek()
    except BaseException:
        connection.close()
        raise
    return opening.lstrip(b"\xef\xbb\xbf\r\n").startswith(_EVENT_BEGINNINGS)


async def _first_piece(connection: Connection, retried: frozenset[int]) -> bytes | None:
    """Return a stream's first piece, ``QUIET`` if it takes long; None for an error to relay.

    Raises:
        UpstreamError: Another target should be tried, or there is no first piece.
    """
    if connection.status in retried:
        connection.close()
        raise UpstreamInterruptedError(f"the upstream answered {connection.status}")
    if connection.status >= _ERRORS:
        return None
    try:
        return await connection.piece()
    except BaseException:
        connection.close()
        raise


def rewrite(body: bytes, replace: Mapping[str, msgspec.Raw], *, ask_for_usage: bool) -> bytes:
    """Replace fields of a JSON object or a form and leave every other value's bytes unchanged.

    If a replaced field has an older or newer name, the client's value under that name is removed.

    Args:
        body: A JSON object, or a multipart body.
        replace: Field -> its new value as JSON text.
        ask_for_usage: Whether to set ``stream_options.include_usage``.

    Raises:
        RefusedError: The name of a field that the API adapter does not read is not UTF-8.

    Example:
        >>> rewrite(b'{"model": "a", "x": 1.50}', {"model": msgspec.Raw(b'"b"')},
        ...         ask_for_usage=False)
        b'{"model":"b","x":1.50}'
    """
    if not replace and not ask_for_usage:
        return body
    if body.startswith(b"--") and is_multipart(body):
        fields = {name: msgspec.json.decode(value) for name, value in replace.items()}
        return replace_fields(body, {name: str(value) for name, value in fields.items()})
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from error
    fields.update(replace)
    for name, other in _SYNONYMS:
        if name in replace and other not in replace:
            fields.pop(other, None)
    if ask_for_usage:
        options = _options.decode(fields["stream_options"]) if "stream_options" in fields else None
        if options:
            options["include_usage"] = _TRUE
            fields["stream_options"] = msgspec.Raw(_encode(options))
        else:
            fields["stream_options"] = _INCLUDE_USAGE
    return _encode(fields)
