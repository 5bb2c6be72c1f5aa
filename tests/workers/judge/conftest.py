"""A judge's server that is scripted: it speaks vLLM's API over a real socket."""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tidegauge.quality.golden_texts import TEXTS
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import Message, ResponseEvent
from tidegauge.streaming.extractor import Origin
from tidegauge.streaming.processor import Partition

KNOWN = {text.prompt: text.good for text in TEXTS}
"""What the scripted model has learnt."""

SEGMENT = Segment(model="assistant", version="v1", route="/chat")


def response(number: int = 1, **changes: Any) -> ResponseEvent:  # noqa: ANN401 - any field
    fields: dict[str, Any] = {
        "request_id": f"request-{number}",
        "producer_id": "gateway-1",
        "sequence": number,
        "time_ms": 1_000_000 + number,
        "segment": SEGMENT,
        "customer": "acme",
        "status": 200,
        "latency_ms": 12.0,
        "messages": (Message(role="user", content=f"What is {number}?"),),
        "output": f"It is the number {number}, of course.",
        "output_characters": 30,
    }
    return ResponseEvent(**{**fields, **changes})


def origin(offset: int) -> Origin:
    return Origin("judge/responses.v1-0", Partition("responses.v1", 0), offset)


@dataclass
class ScriptedServer:
    """Answers as vLLM does; each behaviour can be changed while it runs.

    Attributes:
        url: Where it listens.
        waiting: Requests in its queue, as its metrics say.
        cache_usage: Share of its cache that is in use, as its metrics say.
        started: When its process was started, Unix seconds, as its metrics say.
        first_tokens: Number of first tokens and seconds until them, as a gateway's metrics say.
        grade: Next tokens and their log-probabilities, for a rubric.
        reply: What it writes when it may reason.
        model: The model that it says has answered, if it says so.
        scores_labels: Whether it has the API that scores labels.
        pooling: Path of a pooling API -> what it replies.
        roots: Name of a model -> what it stands for, as its list of models says.
        broken: Called with each chat body; a response it returns is sent instead.
        asked: Bodies of the chat calls, in order.
        open: Chat calls that are open now.
        busiest: Most chat calls that were open at a time.
    """

    url: str = ""
    waiting: int = 0
    cache_usage: float = 0.0
    started: float = 1.0
    first_tokens: tuple[int, float] = (0, 0.0)
    grade: dict[str, float] = field(default_factory=lambda: {"4": -0.05, "5": -3.1})
    reply: str = "It is fine.\nGrade: 4"
    model: str | None = None
    roots: dict[str, str] = field(default_factory=dict)
    scores_labels: bool = True
    pooling: Mapping[str, object] = field(default_factory=dict)
    broken: Callable[[dict[str, Any]], web.Response | None] = lambda _: None
    asked: list[dict[str, Any]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    open: int = 0
    busiest: int = 0

    def __post_init__(self) -> None:
        self.hold.set()

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.open += 1
        self.busiest = max(self.busiest, self.open)
        try:
            await asyncio.to_thread(self.hold.wait, 30)
            if (broken := self.broken(body)) is not None:
                return broken
            named = {} if self.model is None else {"model": self.model}
            return web.json_response({**self._reply(body), **named})
        finally:
            self.open -= 1

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        if "prompt_logprobs" in body:
            return {"choices": [], "prompt_logprobs": read(body["messages"])}
        usage = {"total_tokens": 100}
        if body.get("logprobs"):
            top = [{"token": token, "logprob": p} for token, p in self.grade.items()]
            choice = {"logprobs": {"content": [{"top_logprobs": top}]}}
            return {"choices": [choice], "usage": usage}
        return {"choices": [{"message": {"content": self.reply}}], "usage": usage}

    async def pool(self, request: web.Request) -> web.Response:
        self.asked.append({**await request.json(), "path": request.path})
        reply = self.pooling.get(request.path)
        return web.Response(status=404) if reply is None else web.json_response(reply)

    async def tokenize(self, request: web.Request) -> web.Response:
        """Tokens are characters, but a blank belongs to the character after it."""
        messages = (await request.json())["messages"]
        text = "".join(f"<{each['role']}>{each['content']}" for each in messages)
        found = re.findall(r" ?.", text, re.DOTALL)
        return web.json_response({"tokens": [zlib.crc32(each.encode()) % 50_000 for each in found]})

    async def score_labels(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append({**body, "path": request.path})
        if not self.scores_labels:
            return web.Response(status=404)
        by_number = {
            zlib.crc32(f" {label}".encode()) % 50_000: p for label, p in self.grade.items()
        }
        found = by_number.get(body["label_token_ids"][0])
        score = 0.0 if found is None else math.exp(found)
        return web.json_response({"model": body["model"], "data": [{"index": 0, "score": score}]})

    async def models(self, _: web.Request) -> web.Response:
        listed = [{"id": name, "root": root} for name, root in self.roots.items()]
        return web.json_response({"data": listed})

    async def metrics(self, _: web.Request) -> web.Response:
        gauge = 'vllm:num_requests_waiting{engine="0",model_name="m"}'
        cache = f'vllm:kv_cache_usage_perc{{engine="0"}} {self.cache_usage}'
        count, seconds = self.first_tokens
        name = "tidegauge_gateway_time_to_first_token_seconds"
        first = f'{name}_count{{model="a"}} {count}\n{name}_sum{{model="a"}} {seconds}'
        by_reason = 'vllm:num_requests_waiting_by_reason{reason="capacity"}'
        return web.Response(
            text=f"# HELP x\n{gauge} {self.waiting}.0\n{by_reason} 99.0\n{cache}\n{first}\n"
            f"process_start_time_seconds {self.started:.6e}\n"
        )


def tokens(messages: list[dict[str, str]]) -> list[str]:
    """Split a conversation as this server's tokenizer does: marks and words."""
    found: list[str] = []
    for message in messages:
        found += [f"<{message['role']}>", *message["content"].split()]
    return found


def read(messages: list[dict[str, str]]) -> list[dict[str, dict[str, float]] | None]:
    """Return likelihoods: plain words are likely, more so where they belong to the prompt."""
    prompt = messages[-2]["content"]
    said = {word.strip("?.,") for word in f"{prompt} {KNOWN.get(prompt, '')}".split()}
    places: list[dict[str, dict[str, float]] | None] = []
    for token in tokens(messages):
        known = -0.5 if token.strip("?.,") in said else -1.0 - (zlib.crc32(token.encode()) % 7) / 10
        odd = any(
            not character.isascii() or character in "()[]{}+;0123456789#!_-" for character in token
        )
        number = str(zlib.crc32(token.encode()))
        places.append({number: {"logprob": -9.0 if odd else known}})
    places[0] = None
    return places


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stopped = asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", scripted.chat)
        for path in ("/classify", "/score", "/pooling"):
            application.router.add_post(path, scripted.pool)
        application.router.add_post("/tokenize", scripted.tokenize)
        application.router.add_post("/generative_scoring", scripted.score_labels)
        application.router.add_get("/v1/models", scripted.models)
        application.router.add_get("/metrics", scripted.metrics)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        scripted.url = "http://{}:{}".format(*runner.addresses[0][:2])
        started.set()
        await stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    yield scripted
    scripted.hold.set()
    loop.call_soon_threadsafe(stopped.set)
    thread.join(10)
    loop.close()


def not_json(_: dict[str, Any]) -> web.Response:
    return web.Response(text="<html>busy</html>", content_type="text/html")


def nan(_: dict[str, Any]) -> web.Response:
    """What vLLM's server writes for a broken model: NaN, which JSON does not have."""
    text = json.dumps({"choices": [], "prompt_logprobs": [None, {"1": {"logprob": float("nan")}}]})
    return web.Response(text=text, content_type="application/json")
