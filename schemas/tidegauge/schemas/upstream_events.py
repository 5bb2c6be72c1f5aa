"""Events about upstreams: the work of each minute's exchanges, and samples of their metrics."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "MINUTE_MS",
    "SLOT_MS",
    "CostLine",
    "GpuReading",
    "UpstreamMinute",
    "UpstreamSample",
    "UpstreamWork",
    "WorkAmounts",
    "WorkRow",
]

MINUTE_MS: Final = 60_000

SLOT_MS: Final = 50
"""How often it is looked whether an upstream was busy, from the start of each minute."""

CostLine = Literal["served", "failed", "retry", "shadow", "judge"]
"""Why an exchange was paid for.

- ``served``: the client got its answer.
- ``failed``: it did not, or left before the answer was complete.
- ``retry``: the request had been sent before, by the client or by the gateway.
- ``shadow``: a copy for a candidate.
- ``judge``: a judge asked, to score answers.
"""


class WorkAmounts(msgspec.Struct, frozen=True, array_like=True):
    """What exchanges asked of an upstream; sums of whole numbers, merged by adding.

    Attributes:
        requests: Exchanges that began.
        openings: Those that opened a conversation.
        prompt_tokens: Tokens of prompts that the upstream computed.
        cached_tokens: Tokens of prompts that it had in its cache.
        output_tokens: Tokens that it generated, those of the reasoning included.
        reasoning_tokens: Generated tokens that are not part of an answer.
        prompt_pairs: Pairs of a computed token of a prompt and a token that it attends to.
        output_pairs: The same of generated tokens.
        decoding_ms: Time from the first token to the last, summed over the exchanges.
        nanousd: Price of the tokens, in billionths of a dollar.
        without_usage: Exchanges whose tokens are not known.
    """

    requests: int = 0
    openings: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_pairs: int = 0
    output_pairs: int = 0
    decoding_ms: int = 0
    nanousd: int = 0
    without_usage: int = 0


class WorkRow(msgspec.Struct, frozen=True, array_like=True):
    """The work of one key's exchanges in one segment.

    Attributes:
        segment: Key of the segment.
        customer: Whose exchanges they are.
        line: Why they are paid for.
        work: Their sum.
        key_id: Id of the client key that they were sent with; empty where it is not known.
    """

    segment: str
    customer: str
    line: CostLine
    work: WorkAmounts
    key_id: str = ""


class UpstreamMinute(msgspec.Struct, frozen=True, array_like=True):
    """What was asked of one upstream in a minute, as one worker saw one partition.

    Each bit of ``busy`` and ``decoding`` stands for the middle of a slot of ``SLOT_MS``, the least
    significant bit of the first byte for the minute's first one. Those of several workers are
    merged by OR, so an upstream that many gateways use is busy once.

    Attributes:
        upstream: Label of the upstream.
        start_ms: Start of the minute, Unix milliseconds.
        busy: Whether an exchange was in flight.
        decoding: Whether one had its first token and not yet its last.
        rows: The work.
    """

    upstream: str
    start_ms: int
    busy: bytes
    decoding: bytes
    rows: tuple[WorkRow, ...]


class UpstreamWork(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.upstream_work"
):
    """What the exchanges that a worker measured asked of their upstreams.

    Attributes:
        producer_id: ``group/topic-partition``, as in its sketches.
        sequence: Counts that producer's events from 1, its sketches and progress included.
        time_ms: Up to when the worker had closed windows.
        minutes: The work by upstream and minute; a minute may be in many events.
    """

    producer_id: str
    sequence: int
    time_ms: int
    minutes: tuple[UpstreamMinute, ...]
    schema_version: int = 1


class GpuReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a GPU says of itself; None where it was not asked or did not say.

    Attributes:
        gpu: Its index or UUID.
        engine_active: Share of time in which its engines worked, 0 to 1.
        tensor_active: Share of time in which its tensor cores worked.
        memory_active: Share of time in which its memory moved data.
        utilisation: Share of time in which a kernel ran.
        memory_used_bytes: Memory in use.
        power_watts: Power.
        energy_joules: Energy since the newest sample before that has it.
    """

    gpu: str
    engine_active: float | None = None
    tensor_active: float | None = None
    memory_active: float | None = None
    utilisation: float | None = None
    memory_used_bytes: float | None = None
    power_watts: float | None = None
    energy_joules: float | None = None


class UpstreamSample(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.upstream_sample"
):
    """What an upstream says of itself; None where it was not asked or did not say.

    Counts are those since the newest sample before that has counts; they are None in the first
    sample.

    Attributes:
        upstream: Label of the upstream.
        time_ms: When it was asked, Unix milliseconds.
        seconds: Time that its counts are of; 0 in the first.
        running: Requests that it works on.
        waiting: Requests in its queue.
        kv_use: Share of its key-value cache in use, 0 to 1.
        preemptions: Requests whose work was thrown away.
        prompt_tokens: Tokens of prompts, cached ones included.
        cached_tokens: Those from its cache.
        generated_tokens: Tokens generated.
        prefix_queries: Tokens looked up in the cache of prefixes.
        prefix_hits: Those found.
        finished: Reason -> requests that ended for it.
        gpus: Its GPUs.
        faults: What could not be read, a sentence each.
    """

    upstream: str
    time_ms: int
    seconds: float = 0.0
    running: float | None = None
    waiting: float | None = None
    kv_use: float | None = None
    preemptions: float | None = None
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    generated_tokens: float | None = None
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    finished: dict[str, float] = {}
    gpus: tuple[GpuReading, ...] = ()
    faults: tuple[str, ...] = ()
    schema_version: int = 1
