"""One process that captures (or sends to Kafka itself) at a given rate, and measures itself.

Prints one JSON object: wall time of each append, lag of the event loop, CPU time of this
process and of the shipper, resident memory on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from processes import cpu_seconds, resident_megabytes
from tidegauge.capture import CaptureSettings, KafkaAccess, Recorder
from tidegauge.schemas import cloud_event_headers, encode
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent, Usage
from tidegauge.schemas.segments import Segment

SEGMENT = Segment(model="assistant", version="v1", route="/v1/chat/completions")
PROMPT = "How do I renew the permit of a berth that I have rented since spring? " * 6
ANSWER = "The harbour office renews a permit within five days of your letter. " * 8
TICK_SECONDS = 0.001


class System(Protocol):
    """What takes the two events of an exchange."""

    def request(self, number: int) -> int:
        """Make a request's event and take it; return when it had been made."""

    def response(self, number: int) -> int:
        """Make a response's event and take it; return when it had been made."""

    def close(self) -> bool:
        """End; whether everything has arrived."""


def request_event(number: int, producer_id: str, sequence: int) -> RequestEvent:
    """Return an event as a gateway makes one, of about 700 bytes."""
    return RequestEvent(
        request_id=f"req-{number:012d}",
        producer_id=producer_id,
        sequence=sequence,
        time_ms=time.time_ns() // 1_000_000,
        segment=SEGMENT,
        customer="harbour-office",
        messages=(Message(role="user", content=PROMPT),),
        prompt_characters=len(PROMPT),
    )


def response_event(number: int, producer_id: str, sequence: int) -> ResponseEvent:
    """Return an event as a gateway makes one, of about 1.7 KB."""
    return ResponseEvent(
        request_id=f"req-{number:012d}",
        producer_id=producer_id,
        sequence=sequence,
        time_ms=time.time_ns() // 1_000_000,
        segment=SEGMENT,
        customer="harbour-office",
        status=200,
        latency_ms=812.5,
        messages=(Message(role="user", content=PROMPT),),
        output=ANSWER,
        output_characters=len(ANSWER),
        prompt_characters=len(PROMPT),
        finish_reason="stop",
        checks={"empty": "passed", "truncated": "passed"},
        time_to_first_token_ms=143.25,
        usage=Usage(input_tokens=110, output_tokens=96),
        cost_usd=0.00004,
        upstream="gpu-1",
    )


class Captured:
    """Our recorder."""

    def __init__(self, directory: Path, bootstrap_servers: str) -> None:
        kafka = KafkaAccess(bootstrap_servers=bootstrap_servers)
        self.recorder = Recorder(CaptureSettings(directory=directory, kafka=kafka))
        self.recorder.start()

    def request(self, number: int) -> int:
        """Append a request."""
        built = 0

        def build(producer_id: str, sequence: int) -> RequestEvent:
            nonlocal built
            event = request_event(number, producer_id, sequence)
            built = time.perf_counter_ns()
            return event

        self.recorder.record_request(build)
        return built

    def response(self, number: int) -> int:
        """Append a response."""
        built = 0

        def build(producer_id: str, sequence: int) -> ResponseEvent:
            nonlocal built
            event = response_event(number, producer_id, sequence)
            built = time.perf_counter_ns()
            return event

        self.recorder.record_response(build)
        return built

    def close(self) -> bool:
        """Drain."""
        return self.recorder.close(float(os.environ.get("DRAIN_SECONDS", "60")))


class Sent:
    """The same events, sent from the serving process by kafka-python."""

    def __init__(self, bootstrap_servers: str) -> None:
        from kafka import KafkaProducer  # noqa: PLC0415 - only the peer loads it

        self._sequence = 0
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            compression_type="lz4",
            linger_ms=20,
            batch_size=131_072,
        )
        for topic in ("requests.v1", "responses.v1"):
            self._producer.partitions_for(topic)

    def request(self, number: int) -> int:
        """Send a request."""
        self._sequence += 1
        event = request_event(number, "peer", self._sequence)
        built = time.perf_counter_ns()
        self._send("requests.v1", event)
        return built

    def response(self, number: int) -> int:
        """Send a response."""
        self._sequence += 1
        event = response_event(number, "peer", self._sequence)
        built = time.perf_counter_ns()
        self._send("responses.v1", event)
        return built

    def _send(self, topic: str, event: RequestEvent | ResponseEvent) -> None:
        self._producer.send(
            topic,
            key=event.request_id.encode(),
            value=encode(event),
            headers=cloud_event_headers(
                event_id=str(event.sequence),
                kind=type(event),
                source="peer",
                time_ms=event.time_ms,
            ),
            timestamp_ms=event.time_ms,
        )

    def close(self) -> bool:
        """Flush."""
        self._producer.flush(60)
        self._producer.close(5)
        return True


async def paced(system: System, requests: int, rate: float) -> tuple[array[int], array[int]]:
    """Serve at a rate; return each append's and each tick's lag in nanoseconds."""
    appends, lags = array("q"), array("q")
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.05
    done = 0
    while done < requests:
        due = begin + done / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        lags.append(int((loop.time() - due) * 1e9))
        for number in range(done, min(requests, done + max(1, round(rate * TICK_SECONDS)))):
            built = system.request(number)
            appends.append(time.perf_counter_ns() - built)
            built = system.response(number)
            appends.append(time.perf_counter_ns() - built)
            done += 1
    return appends, lags


def flat_out(system: System, requests: int, watch: Callable[[int], None]) -> None:
    """Serve as fast as it goes."""
    for number in range(requests):
        system.request(number)
        system.response(number)
        watch(number)


def quantile(numbers: array[int], q: float) -> float:
    """Return a quantile of numbers."""
    return float(sorted(numbers)[min(len(numbers) - 1, int(q * len(numbers)))])


def main() -> None:
    """Measure one system once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=["tidegauge", "kafka-python"], required=True)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s; 0 for flat out")
    chosen = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    system: System = (
        Captured(chosen.directory, chosen.bootstrap_servers)
        if chosen.system == "tidegauge"
        else Sent(chosen.bootstrap_servers)
    )
    result: dict[str, object] = {}
    memory: dict[int, float] = {}

    def watch(number: int) -> None:
        if (number + 1) % max(1, chosen.requests // 10) == 0:
            memory[number + 1] = resident_megabytes(os.getpid())

    before = time.process_time()
    if chosen.rate:
        appends, lags = asyncio.run(paced(system, chosen.requests, chosen.rate))
        result["append_us"] = {q: quantile(appends, q) / 1e3 for q in (0.5, 0.99)}
        result["lag_ms"] = quantile(lags, 0.99) / 1e6
    elif chosen.requests:
        flat_out(system, chosen.requests, watch)
    result["cpu_seconds"] = time.process_time() - before
    result["memory_mb"] = memory
    if isinstance(system, Captured) and not chosen.rate:
        pid = system.recorder.shipper_pid
        if pid is not None:
            result["shipper_memory_mb"] = resident_megabytes(pid)
            result["shipper_cpu_seconds"] = cpu_seconds(pid)
    result["arrived"] = system.close()
    result["cpu_seconds_with_close"] = time.process_time() - before
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result["children_cpu_seconds"] = used.ru_utime + used.ru_stime
    print(json.dumps(result))


if __name__ == "__main__":
    main()
