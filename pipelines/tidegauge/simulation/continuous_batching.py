"""A server with continuous batching, step by step, and the true cost of each request.

The server works in steps. A step generates one token for each request that is decoding, and spends
what is left of its token budget on prompts, in order of arrival (chunked prefill). A step takes as
long as its arithmetic or its memory traffic, whichever takes longer (the roofline of Williams,
Waterman and Patterson, 2009), and a fixed overhead. The true cost of a request is its part of each
step's time, in proportion to the tokens that were computed for it in the step.

Steps that only decode are advanced together, up to the next arrival or completion: the memory
traffic grows by the same number of bytes in each, so their times are summed in closed form.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batched", "Hardware", "run_batches"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A model on an accelerator; by default 8 billion parameters in 16 bits on an H100.

    Attributes:
        flops: Floating-point operations per second that are reached.
        bandwidth: Bytes per second that are reached.
        parameters: Parameters of the model.
        parameter_bytes: Bytes of a parameter.
        layers: Layers of the model.
        width: Width of a layer's queries, over all heads.
        key_value_bytes: Bytes of the keys and values of one token, over all layers.
        overhead_seconds: Time of a step that does not depend on its tokens.
        step_tokens: Most tokens of a step.
        batch: Most requests that are served together.
    """

    flops: float = 400e12
    bandwidth: float = 2.3e12
    parameters: float = 8e9
    parameter_bytes: float = 2.0
    layers: int = 32
    width: int = 4_096
    key_value_bytes: float = 131_072.0
    overhead_seconds: float = 0.003
    step_tokens: int = 2_048
    batch: int = 128

    def step_seconds(self, tokens: float, pairs: float, context: float) -> float:
        """Return the time of a step.

        Args:
            tokens: Tokens that are computed.
            pairs: Pairs of a computed token and a token that it attends to.
            context: Tokens whose keys and values are read.
        """
        arithmetic = 2 * self.parameters * tokens + 4 * self.layers * self.width * pairs
        traffic = self.parameters * self.parameter_bytes + self.key_value_bytes * context
        return self.overhead_seconds + max(arithmetic / self.flops, traffic / self.bandwidth)


@dataclass(frozen=True, slots=True)
class Batched:
    """What became of n requests, each of shape (n,).

    Attributes:
        first_token: When the first token was there, in seconds.
        end: When the last token was there, in seconds.
        busy_seconds: The request's true part of the server's busy time.
    """

    first_token: Floats
    end: Floats
    busy_seconds: Floats


def run_batches(
    hardware: Hardware, times: Floats, prompt: Counts, cached: Counts, output: Counts
) -> Batched:
    """Simulate requests.

    Args:
        hardware: The server.
        times: Arrivals in seconds, ascending, shape (n,).
        prompt: Tokens of each prompt, shape (n,).
        cached: Those of them that the server has computed before, fewer than all, shape (n,).
        output: Tokens of each answer, at least one, shape (n,).
    """
    return _Server(hardware, times, prompt, cached, output).run()


class _Server:
    """The state of a simulation.

    A request that decodes pays ``1 / n`` of a step of n tokens, whichever request it is, so one
    running sum of these parts gives every request's cost of decoding.
    """

    def __init__(
        self, hardware: Hardware, times: Floats, prompt: Counts, cached: Counts, output: Counts
    ) -> None:
        self._hardware = hardware
        self._times = times.tolist()
        self._prompt, self._cached = prompt.tolist(), cached.tolist()
        self._output = output.tolist()
        count = len(self._times)
        self._first, self._end = [0.0] * count, [0.0] * count
        self._cost = [0.0] * count
        self._now = 0.0
        self._arriving = 0
        self._waiting: deque[int] = deque()
        self._computed = 0  # tokens of the first waiting prompt that are there, cached ones too
        self._steps = 0
        self._part = 0.0
        self._context = 0.0
        self._decoding: list[tuple[int, int]] = []

    def run(self) -> Batched:
        while self._arriving < len(self._times) or self._waiting or self._decoding:
            self._admit()
            if self._waiting and len(self._decoding) < self._hardware.batch:
                self._mixed_step()
            elif self._decoding:
                self._decode()
            else:
                self._now = self._times[self._arriving]
        return Batched(np.array(self._first), np.array(self._end), np.array(self._cost))

    def _admit(self) -> None:
        while self._arriving < len(self._times) and self._times[self._arriving] <= self._now:
            self._waiting.append(self._arriving)
            self._arriving += 1

    def _mixed_step(self) -> None:
        """Advance one step with tokens of prompts."""
        decoding = len(self._decoding)
        room = self._hardware.step_tokens - decoding
        chunks: list[tuple[int, int, bool]] = []
        pairs, context = self._context, self._context
        while self._waiting and room > 0 and decoding + len(chunks) < self._hardware.batch:
            request = self._waiting[0]
            start = max(self._computed, self._cached[request])
            taken = min(room, self._prompt[request] - start)
            room -= taken
            pairs += taken * (start + taken / 2)
            context += start + taken
            done = start + taken == self._prompt[request]
            chunks.append((request, taken, done))
            self._computed = 0 if done else start + taken
            if not done:
                break
            self._waiting.popleft()
        tokens = decoding + sum(taken for _, taken, _ in chunks)
        seconds = self._hardware.step_seconds(tokens, pairs, context)
        self._advance(1, seconds, seconds / tokens)
        for request, taken, done in chunks:
            self._cost[request] += seconds * taken / tokens
            if done:
                self._begin_decoding(request)

    def _begin_decoding(self, request: int) -> None:
        self._first[request] = self._now
        if self._output[request] <= 1:
            self._end[request] = self._now
            return
        heapq.heappush(self._decoding, (self._steps + self._output[request] - 1, request))
        self._context += self._prompt[request] + 1
        self._cost[request] -= self._part

    def _decode(self) -> None:
        """Advance steps that only decode, up to the next arrival or completion."""
        decoding = len(self._decoding)
        most = self._decoding[0][0] - self._steps
        first = self._hardware.step_seconds(decoding, self._context, self._context)
        last_context = self._context + decoding * (most - 1)
        last = self._hardware.step_seconds(decoding, last_context, last_context)
        steps = most
        if self._arriving < len(self._times) and len(self._decoding) < self._hardware.batch:
            left = self._times[self._arriving] - self._now
            steps = min(most, max(1, int(left / first)))
            last = first + (last - first) * (steps - 1) / max(most - 1, 1)
        seconds = steps * (first + last) / 2
        self._advance(steps, seconds, seconds / decoding)

    def _advance(self, steps: int, seconds: float, part: float) -> None:
        self._now += seconds
        self._steps += steps
        self._part += part
        self._context += steps * len(self._decoding)
        while self._decoding and self._decoding[0][0] <= self._steps:
            _, request = heapq.heappop(self._decoding)
            self._end[request] = self._now
            self._cost[request] += self._part
            self._context -= self._prompt[request] + self._output[request]
