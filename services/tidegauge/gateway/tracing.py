"""OpenTelemetry spans with the attributes of its GenAI conventions; an optional extra.

Without it a client's ``traceparent`` is passed on as it came. With it the gateway's span
stands between the client's and the upstream's.
"""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from tidegauge.gateway.errors import ConfigurationError
from tidegauge.gateway.exchange import Exchange, Outcome

__all__ = ["NO_TRACING", "OpenTelemetry", "Tracing", "open_telemetry"]

_OPERATIONS: Final = {
    "/chat": "chat",
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "chat",
}


class Tracing(Protocol):
    """Follows exchanges."""

    def begin(self, exchange: Exchange) -> None:
        """An exchange has begun; may replace its ``traceparent``."""

    def end(self, exchange: Exchange, outcome: Outcome) -> None:
        """It has ended."""

    def close(self) -> None:
        """Send what has not been sent."""


class _NoTracing:
    def begin(self, exchange: Exchange) -> None:
        """Leave the client's ``traceparent`` as it is."""

    def end(self, exchange: Exchange, outcome: Outcome) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


NO_TRACING: Final[Tracing] = _NoTracing()


class OpenTelemetry:
    """Makes one server span for each exchange.

    Args:
        provider: The SDK's ``TracerProvider``.
    """

    def __init__(self, provider: Any) -> None:  # noqa: ANN401 - the SDK is optional
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - optional
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - optional
            TraceContextTextMapPropagator,
        )

        self._provider = provider
        self._tracer = provider.get_tracer("tidegauge.gateway")
        self._server = SpanKind.SERVER
        self._propagator = TraceContextTextMapPropagator()
        self._spans: dict[str, Any] = {}

    def begin(self, exchange: Exchange) -> None:
        """Begin a span, the client's its parent, and make it the upstream's parent."""
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - optional

        client = {"traceparent": exchange.traceparent} if exchange.traceparent else {}
        span = self._tracer.start_span(
            _OPERATIONS.get(exchange.route, exchange.route),
            context=self._propagator.extract(client),
            kind=self._server,
            start_time=time.time_ns(),
        )
        carried: dict[str, str] = {}
        self._propagator.inject(carried, context=set_span_in_context(span))
        exchange.traceparent = carried.get("traceparent", exchange.traceparent)
        self._spans[exchange.request_id] = span

    def end(self, exchange: Exchange, outcome: Outcome) -> None:
        """Name what is known of the exchange, never its text, and end the span."""
        span = self._spans.pop(exchange.request_id, None)
        if span is None:
            return
        answer, usage, first = outcome.answer, outcome.usage, exchange.pace.first
        target = exchange.target
        facts = {
            "gen_ai.operation.name": _OPERATIONS.get(exchange.route, exchange.route),
            "gen_ai.request.model": exchange.model,
            "gen_ai.response.model": answer.model,
            "gen_ai.response.finish_reasons": answer.finish_reason and (answer.finish_reason,),
            "gen_ai.usage.input_tokens": usage and usage.input_tokens,
            "gen_ai.usage.output_tokens": usage and usage.output_tokens,
            "gen_ai.request.temperature": exchange.sampling.temperature,
            "gen_ai.request.top_p": exchange.sampling.top_p,
            "gen_ai.request.max_tokens": exchange.sampling.max_tokens,
            "gen_ai.server.time_to_first_token": first and first - exchange.started,
            "http.response.status_code": outcome.status,
            "http.route": exchange.route,
            "server.address": target and target.label,
            "error.type": outcome.error and outcome.error.value,
            "tidegauge.request_id": exchange.request_id,
            "tidegauge.customer": exchange.customer.name,
            "tidegauge.version": exchange.version,
        }
        for name, value in facts.items():
            if value is not None:
                span.set_attribute(name, value)
        span.end(time.time_ns())

    def close(self) -> None:
        """Send the last spans."""
        self._provider.shutdown()


def open_telemetry() -> Tracing:
    """Return tracing by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` …).

    Raises:
        ConfigurationError: The extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - optional
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigurationError(
            f"TIDEGAUGE_GATEWAY_TRACES needs {error.name}: pip install 'tidegauge[otel]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "tidegauge-gateway"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetry(provider)
