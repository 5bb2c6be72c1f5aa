"""A seeded plan of requests, and the client that sends them to the gateway."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Literal

import aiohttp
import msgspec

from tidegauge.demo.prompts import Prompt

__all__ = ["Ask", "Client", "DemoCustomer", "Flaw", "plan"]

Flaw = Literal["none", "unknown_model", "wrong_key"]
"""What is wrong with a request; some clients always get something wrong."""

_CHAT_SHARE = 0.25
_STREAMED_SHARE = 0.4
_FLAWED_SHARE = 0.04


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """A customer with its key and its share of the traffic."""

    name: str
    key: str
    share: float


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to send.

    Attributes:
        prompt: Text of the request.
        customer: Who asks.
        route: ``/chat`` or ``/v1/chat/completions``.
        stream: Whether the request asks for a stream.
        flaw: What is wrong with the request.
    """

    prompt: Prompt
    customer: DemoCustomer
    route: Literal["/chat", "/v1/chat/completions"]
    stream: bool
    flaw: Flaw


def plan(
    prompts: Sequence[Prompt], customers: Sequence[DemoCustomer], *, count: int, seed: int
) -> tuple[Ask, ...]:
    """Plan requests: the prompts in order, from the start again when they run out.

    Customer, route and streaming are drawn by their shares; the same arguments give the
    same plan.
    """
    draw = random.Random(seed)  # noqa: S311 - a draw to repeat, not a secret
    shares = [customer.share for customer in customers]
    flaws: tuple[Flaw, ...] = ("unknown_model", "wrong_key")
    asks: list[Ask] = []
    for prompt in islice(cycle(prompts), count):
        chat = draw.random() < _CHAT_SHARE
        streamed = draw.random() < _STREAMED_SHARE
        flawed = draw.random() < _FLAWED_SHARE
        (customer,) = draw.choices(customers, shares)
        asks.append(
            Ask(
                prompt=prompt,
                customer=customer,
                route="/chat" if chat else "/v1/chat/completions",
                stream=streamed and not chat,
                flaw=draw.choice(flaws) if flawed and not chat else "none",
            )
        )
    return tuple(asks)


@dataclass(slots=True)
class Client:
    """Sends planned requests at a steady rate, some of them at the same time.

    Attributes:
        address: The gateway's, such as ``http://127.0.0.1:8080``.
        model: The model to ask for.
        per_second: Requests begun in a second, at most.
        at_once: Requests under way, at most.
        statuses: HTTP status -> answers so far; 0 for none.
    """

    address: str
    model: str
    per_second: float
    at_once: int
    statuses: Counter[int] = field(default_factory=Counter)

    async def send(
        self,
        asks: Sequence[Ask],
        *,
        done: Callable[[], None] = lambda: None,
        enough: Callable[[], bool] = lambda: False,
    ) -> int:
        """Send requests until all are answered, or until it is enough.

        Args:
            asks: What to send, in order.
            done: Called after each answer.
            enough: Looked at before each request; the rest is left unsent once it is true.

        Returns:
            How many were sent.
        """
        slots = asyncio.Semaphore(self.at_once)
        sent = 0
        timeout = aiohttp.ClientTimeout(total=180)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            loop = asyncio.get_running_loop()
            due = loop.time()
            for ask in asks:
                await slots.acquire()
                await asyncio.sleep(due - loop.time())
                if enough():
                    slots.release()
                    break
                due = max(due + 1 / self.per_second, loop.time())
                task = group.create_task(self._send_one(session, ask))
                task.add_done_callback(lambda _: slots.release())
                task.add_done_callback(lambda _: done())
                sent += 1
        return sent

    async def _send_one(self, session: aiohttp.ClientSession, ask: Ask) -> None:
        path, body, headers = request_of(ask, self.model)
        try:
            async with session.post(
                self.address + path, data=msgspec.json.encode(body), headers=headers
            ) as response:
                await response.read()
                self.statuses[response.status] += 1
        except (aiohttp.ClientError, TimeoutError):
            self.statuses[0] += 1


def request_of(ask: Ask, model: str) -> tuple[str, Mapping[str, object], Mapping[str, str]]:
    """Return a request's path, JSON body and headers."""
    key = "tg-no-such-key" if ask.flaw == "wrong_key" else ask.customer.key
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    if ask.route == "/chat":
        return ask.route, {"message": ask.prompt.text}, headers
    body = {
        "model": "no-such-model" if ask.flaw == "unknown_model" else model,
        "messages": [{"role": "user", "content": ask.prompt.text}],
        "stream": ask.stream,
    }
    return ask.route, body, headers
