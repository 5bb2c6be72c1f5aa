"""OpenTelemetry spans of exchanges, and the trace context on its way upstream."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import ScriptedUpstream

from tidegauge.gateway import runtime
from tidegauge.gateway.tracing import OpenTelemetry

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(runtime, "open_telemetry", lambda: OpenTelemetry(provider))
    return exporter


@pytest.fixture
async def traced(
    start_gateway: StartGateway, upstream: ScriptedUpstream, exporter: InMemorySpanExporter
) -> Running:
    assert exporter is not None
    running = await start_gateway(upstream_url=upstream.url, traces=True)
    await eventually(lambda: running.app.runtime.ready)
    upstream.requests.clear()
    return running


async def test_a_span_stands_between_client_and_upstream(
    traced: Running, upstream: ScriptedUpstream, exporter: InMemorySpanExporter
) -> None:
    traced.client.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
    await traced.chat("secret words", temperature=0.5)
    (span,) = exporter.get_finished_spans()
    assert span.kind == SpanKind.SERVER
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    context = span.get_span_context()
    assert context is not None
    own = f"{context.span_id:016x}"
    assert upstream.requests[0].headers["traceparent"] == f"00-{TRACE}-{own}-01"
    facts = dict(span.attributes or {})
    assert facts["gen_ai.operation.name"] == "chat"
    assert facts["gen_ai.request.model"] == facts["gen_ai.response.model"] == "served"
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (7, 3)
    assert facts["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts["gen_ai.request.temperature"] == 0.5
    assert facts["tidegauge.request_id"] == traced.answered[0].request_id
    assert traced.answered[0].trace_id == TRACE
    assert not any("secret" in str(value) for value in facts.values())


async def test_without_a_client_trace_one_begins_here(
    traced: Running, exporter: InMemorySpanExporter
) -> None:
    await traced.client.post("/v1/chat/completions", content=b"{")
    await traced.chat(stream=True)
    refused, streamed = exporter.get_finished_spans()
    assert dict(refused.attributes or {})["error.type"] == "invalid_request"
    facts = dict(streamed.attributes or {})
    assert isinstance(facts["gen_ai.server.time_to_first_token"], float)
    context = streamed.get_span_context()
    assert context is not None
    assert traced.answered[1].trace_id == f"{context.trace_id:032x}"
