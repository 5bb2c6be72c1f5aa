"""OpenTelemetry spans with the attributes of its GenAI conventions; an optional extra.

Without tracing, a client's ``traceparent`` is forwarded unchanged. With tracing, the gateway's
span is the child of the client's span and the parent of the upstream's.
"""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

import msgspec

from tidegauge.capture.exchange_record import AnswerRecord, ExchangeRecord
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.gateway.exchange_state import Arrival

__all__ = ["OpenTelemetry", "Tracing", "open_telemetry"]

_OPERATIONS: Final = {
    "/chat": "chat",
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
}


class Tracing(Protocol):
    """Traces exchanges with a span for each."""

    def begin(self, arrival: Arrival) -> Arrival:
        """Begin a span; return the arrival with the trace context for the upstream."""

    def end(self, record: ExchangeRecord, answer: AnswerRecord) -> None:
        """End the span of an exchange."""

    def close(self) -> None:
        """Send the remaining spans."""


class OpenTelemetry:
    """Creates a server span for each exchange.

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

    def begin(self, arrival: Arrival) -> Arrival:
        """Begin a span as the child of the client's span and the parent of the upstream's."""
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - optional

        client = {"traceparent": arrival.traceparent} if arrival.traceparent else {}
        span = self._tracer.start_span(
            _OPERATIONS.get(arrival.route, arrival.route),
            context=self._propagator.extract(client),
            kind=self._server,
            start_time=time.time_ns(),
        )
        carried: dict[str, str] = {}
        self._propagator.inject(carried, context=set_span_in_context(span))
        self._spans[arrival.request_id] = span
        traceparent = carried.get("traceparent", arrival.traceparent)
        return msgspec.structs.replace(arrival, traceparent=traceparent)

    def end(self, record: ExchangeRecord, answer: AnswerRecord) -> None:
        """Set attributes of the exchange, never its text, and end the span."""
        span = self._spans.pop(record.request_id, None)
        if span is None:
            return
        usage, first_ms = answer.usage, answer.time_to_first_token_ms
        attributes = {
            "gen_ai.operation.name": _OPERATIONS.get(record.route, record.route),
            "gen_ai.request.model": record.model,
            "gen_ai.response.model": answer.served_model,
            "gen_ai.response.finish_reasons": answer.finish_reason and (answer.finish_reason,),
            "gen_ai.usage.input_tokens": usage and usage.input_tokens,
            "gen_ai.usage.output_tokens": usage and usage.output_tokens,
            "gen_ai.request.temperature": record.sampling.temperature,
            "gen_ai.request.top_p": record.sampling.top_p,
            "gen_ai.request.max_tokens": record.sampling.max_tokens,
            "gen_ai.server.time_to_first_token": first_ms and first_ms / 1e3,
            "http.response.status_code": answer.status,
            "http.route": record.route,
            "server.address": answer.upstream,
            "error.type": answer.error and answer.error.value,
            "tidegauge.request_id": record.request_id,
            "tidegauge.customer": record.customer,
            "tidegauge.version": record.version,
        }
        for name, value in attributes.items():
            if value is not None:
                span.set_attribute(name, value)
        span.end(time.time_ns())

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()


def open_telemetry() -> Tracing:
    """Return tracing configured by OpenTelemetry's variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` …).

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
