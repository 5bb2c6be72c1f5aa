"""Upstreams that break the framing, never end, refuse fields or die: no client gets their bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any, Final

import pytest
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import (
    Connection,
    Received,
    Script,
    ScriptedUpstream,
    chat_chunk,
    chat_completion,
    speak,
)

from tidegauge.gateway.http.addresses import Address, Timeouts
from tidegauge.gateway.http.pool import Pool
from tidegauge.gateway.proxy.relay import FrameSplitter
from tidegauge.schemas.exchange import ErrorKind

REQUEST: Final = b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n"


def reply(body: object, headers: str = "") -> bytes:
    text = json.dumps(body).encode()
    lines = f"content-type: application/json\r\ncontent-length: {len(text)}\r\n{headers}\r\n"
    return b"HTTP/1.1 200 OK\r\n" + lines.encode() + text


def raw(data: bytes, *, times: int = 1) -> Script:
    """Return a script that answers its first requests with raw bytes, then as usual."""
    left = [data] * times

    async def script(request: Received, connection: Connection) -> None:
        if left:
            connection.writer.write(left.pop())
        else:
            await speak(request, connection)

    return script


def models(*urls: str, **fields: object) -> dict[str, Any]:
    """Return a configuration in which the first upstream is always drawn."""
    weights = [1e9, *[1e-9] * (len(urls) - 1)]
    entries = [{"url": url, "weight": w, **fields} for url, w in zip(urls, weights, strict=True)]
    return {"served": {"upstreams": entries}}


EVIL: Final = reply(chat_completion("another client's answer"))


@pytest.mark.parametrize("surplus", [EVIL, EVIL[:-40], EVIL[:20], b"\r\n", b"x", b"\x00" * 9])
async def test_what_follows_an_answer_is_nobodys(
    gateway: Running, upstream: ScriptedUpstream, surplus: bytes
) -> None:
    upstream.script = raw(reply(chat_completion("first")) + surplus)
    texts = [(await gateway.chat()).json()["choices"][0]["message"]["content"] for _ in range(3)]
    assert texts == ["first", "Hello.", "Hello."]
    assert [event.attempts for event in gateway.answered] == [1, 1, 1]


async def test_the_rest_of_a_surplus_does_not_reach_the_next_client(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        connection.writer.write(reply(chat_completion("first")) + EVIL[:-40])
        await connection.closed.wait()
        connection.writer.write(EVIL[-40:])

    upstream.script = script
    assert (await gateway.chat()).json()["choices"][0]["message"]["content"] == "first"
    upstream.script = speak
    answers = await asyncio.gather(*(gateway.chat() for _ in range(4)))
    assert {a.json()["choices"][0]["message"]["content"] for a in answers} == {"Hello."}


async def test_a_kept_connection_with_unread_bytes_is_not_used(unused_pool: Pool) -> None:
    """The bytes are in the kernel's buffer, and the event loop has not seen them."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = Address.parse(f"http://127.0.0.1:{listener.getsockname()[1]}")
        pool = Pool(address, unused_pool.timeouts)
        asking = asyncio.create_task(pool.request(REQUEST, b"{}"))
        server, _ = await asyncio.to_thread(listener.accept)
        with closing(server):
            server.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            connection = await asking
            assert await connection.read(9) == b"ok"
            connection.close()
            server.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            asking = asyncio.create_task(pool.request(REQUEST, b"{}"))
            other, _ = await asyncio.to_thread(listener.accept)
            with closing(other):
                other.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
                connection = await asking
                assert await connection.read(9) == b"good"
        pool.close()


@pytest.fixture
async def unused_pool() -> AsyncIterator[Pool]:
    pool = Pool(Address.parse("http://127.0.0.1:9"), Timeouts(connect=5, first_byte=5))
    yield pool
    pool.close()


async def test_trailers_are_no_headers(gateway: Running, upstream: ScriptedUpstream) -> None:
    body = json.dumps(chat_completion("first")).encode()
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    trailers = b"content-encoding: gzip\r\nx-late: 1\r\ncontent-type: text/event-stream\r\n"
    upstream.script = raw(head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers))
    response = await gateway.chat()
    assert response.json()["choices"][0]["message"]["content"] == "first"
    assert {"content-encoding", "x-late"}.isdisjoint(response.headers)
    assert gateway.answered[0].output == "first"


async def test_interim_answers_leave_nothing_behind(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    interim = (
        b"HTTP/1.1 103 Early Hints\r\ncontent-type: text/event-stream\r\nx-early: 1\r\n\r\n"
        b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n"
    )
    upstream.script = raw(interim + reply(chat_completion("first")))
    response = await gateway.chat()
    assert response.json()["choices"][0]["message"]["content"] == "first"
    assert "x-early" not in response.headers


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 600 Odd\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-endless: 1\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\nx-endless: " + b"1" * 1_000_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x-end: 1\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 1_000_000,
    ],
    ids=["600", "099", "101", "headers", "header", "interim", "trailers", "extension"],
)
async def test_what_is_no_answer_is_the_upstreams_fault(
    gateway: Running, upstream: ScriptedUpstream, answer: bytes
) -> None:
    upstream.script = raw(answer)
    response = await gateway.chat()
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    assert gateway.answered[0].error == ErrorKind.UPSTREAM_ERROR
    assert (await gateway.chat()).status_code == 200


async def test_comments_after_the_end_do_not_hold_the_connection(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegauge.gateway.proxy.relay._END_SECONDS", 0.1)
    ended = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hi", finish="stop"))
        await connection.event("[DONE]")
        try:
            while not connection.closed.is_set():
                await connection.chunk(b": still here\n\n")
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    upstream.script = script
    response = await gateway.chat(stream=True)
    assert "data: [DONE]\n\n" in response.text
    async with asyncio.timeout(10):
        await ended.wait()


async def test_an_end_after_the_end_keeps_the_connection(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hi", finish="stop"))
        await connection.event("[DONE]")
        await asyncio.sleep(0)
        connection.writer.write(b"0\r\n\r\n")

    upstream.script = script
    for _ in range(4):
        assert (await gateway.chat(stream=True)).text.endswith("[DONE]\n\n")
        await eventually(lambda: upstream.connections == 1)


async def test_a_request_that_kills_the_upstream_is_sent_twice_at_most(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    arrived = asyncio.Barrier(8)

    async def together(_request: Received, connection: Connection) -> None:
        await arrived.wait()
        await connection.answer(chat_completion())

    upstream.script = together
    await asyncio.gather(*(gateway.chat() for _ in range(8)))
    assert upstream.connections == 8

    async def die(_request: Received, connection: Connection) -> None:
        connection.die()

    upstream.script = die
    upstream.requests.clear()
    assert (await gateway.chat()).status_code == 502
    assert len(upstream.requests) == 2
    answered = gateway.answered[-1]
    assert (answered.attempts, answered.error) == (2, ErrorKind.UPSTREAM_INTERRUPTED)


async def test_an_answer_cut_off_is_not_asked_for_again(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    await gateway.chat()
    upstream.requests.clear()

    async def begin(_request: Received, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 2")
        await connection.writer.drain()
        connection.writer.close()

    upstream.script = begin
    assert (await gateway.chat()).status_code == 502
    assert len(upstream.requests) == 1


async def _refuses(request: Received, connection: Connection) -> None:
    if "stream_options" in request.json:
        await connection.answer({"error": {"message": "Unknown field: stream_options"}}, 400)
    else:
        await speak(request, connection)


async def test_stream_options_that_are_refused_are_left_out(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = _refuses
    for _ in range(2):
        assert "[DONE]" in (await gateway.chat(stream=True)).text
    assert ["stream_options" in request.json for request in upstream.requests] == [
        True,
        False,
        False,
    ]
    assert [event.attempts for event in gateway.answered] == [2, 1]
    assert all(event.usage is not None for event in gateway.answered)


async def test_other_refusals_and_the_clients_own_options_are_passed_on(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = _refuses
    response = await gateway.chat(stream=True, stream_options={"include_usage": True})
    assert (response.status_code, "stream_options" in response.text) == (400, True)

    async def refuse(_request: Received, connection: Connection) -> None:
        await connection.answer({"error": {"message": "no such tool"}}, 400)

    upstream.script = refuse
    response = await gateway.chat(stream=True)
    assert (response.status_code, "no such tool" in response.text) == (400, True)
    assert len(upstream.requests) == 2


async def test_stream_options_can_be_switched_off(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(models(upstream.url, stream_usage=False))
    await running.chat(stream=True)
    assert "stream_options" not in upstream.requests[0].json


@pytest.mark.parametrize("status", [429, 500, 502, 529])
@pytest.mark.parametrize("stream", [False, True])
async def test_another_upstream_answers_for_one_that_cannot(
    start_gateway: StartGateway, upstream: ScriptedUpstream, status: int, *, stream: bool
) -> None:
    async def fail(_request: Received, connection: Connection) -> None:
        await connection.answer({"error": {"message": "busy"}}, status, {"retry-after": "7"})

    async with ScriptedUpstream(fail) as failing:
        running = await start_gateway(models(failing.url, upstream.url))
        assert (await running.chat(stream=stream)).status_code == 200
        config = models(failing.url, upstream.url)
        config["served"]["retried_statuses"] = [503]
        running = await start_gateway(config)
        response = await running.chat(stream=stream)
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    assert sorted(event.attempts for event in running.answered) == [1, 2]


async def test_a_refusal_keeps_its_message(gateway: Running, upstream: ScriptedUpstream) -> None:
    async def refuse(_request: Received, connection: Connection) -> None:
        await connection.answer({"error": {"message": "flagged by moderation"}}, 403)

    upstream.script = refuse
    response = await gateway.chat()
    assert (response.status_code, "flagged" in response.text) == (403, True)


async def test_a_silent_stream_lives_and_its_client_gets_comments(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    heard = asyncio.Event()

    async def think(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("think"))
        await connection.chunk(b"data: {")  # half an event: the comments come before it
        await heard.wait()
        await connection.chunk(json.dumps(chat_chunk("ing", finish="stop"))[1:].encode() + b"\n\n")
        await connection.end_stream()

    upstream.script = think
    running = await start_gateway(models(upstream.url), keep_alive_seconds=0.05)
    body = {"model": "served", "messages": [], "stream": True}
    text = ""
    async with running.client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for part in response.aiter_text():
            text += part
            if text.count(": keep-alive\n\n") > 1:
                heard.set()
    events = [event for event in text.split("\n\n") if event.startswith("data: {")]
    assert [json.loads(e[6:])["choices"][0]["delta"]["content"] for e in events] == ["think", "ing"]
    assert running.answered[0].output == "thinking"


async def test_a_stream_without_end_is_ended(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegauge.gateway.proxy.relay._LONGEST_STREAM", 50_000)
    ended = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        try:
            while not connection.closed.is_set():
                await connection.event(chat_chunk("and so on "))
        finally:
            ended.set()

    upstream.script = script
    response = await gateway.chat(stream=True)
    assert "has no end" in response.text.split("\n\n")[-2]
    async with asyncio.timeout(10):
        await ended.wait()
    assert gateway.answered[0].error == ErrorKind.UPSTREAM_ERROR


async def test_a_stream_lives_that_is_silent_before_its_first_event(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    heard = asyncio.Event()

    async def think(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await heard.wait()
        await connection.event(chat_chunk("Hi", finish="stop"))
        await connection.end_stream()

    upstream.script = think
    running = await start_gateway(models(upstream.url), keep_alive_seconds=0.05)
    body = {"model": "served", "messages": [], "stream": True}
    text = ""
    async with running.client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for part in response.aiter_text():
            text += part
            if text.count(": keep-alive\n\n") > 1:
                heard.set()
    assert text.endswith("data: [DONE]\n\n")
    assert running.answered[0].output == "Hi"


END_OF_SILENCE: dict[str, tuple[int, object, str, str]] = {
    "a stream": (200, None, "data: [DONE]", "ok"),
    "an error": (500, {"error": {"message": "boom"}}, '"boom"', "failed"),
    "a refusal": (400, {"error": {"message": "no"}}, '"no"', "rejected"),
    "a whole answer": (200, chat_completion("Hi"), "data: [DONE]", "ok"),
    "nothing": (0, None, "upstream", "failed"),
}


@pytest.mark.parametrize("ending", END_OF_SILENCE)
async def test_a_client_hears_of_the_gateway_before_the_upstreams_head(
    start_gateway: StartGateway, upstream: ScriptedUpstream, ending: str
) -> None:
    status, body, last, outcome = END_OF_SILENCE[ending]
    heard = asyncio.Event()

    async def think(_request: Received, connection: Connection) -> None:
        await heard.wait()
        if not status:
            connection.die()
        elif body is not None:
            await connection.answer(body, status)
        else:
            await connection.begin_stream()
            await connection.event(chat_chunk("Hi", finish="stop"))
            await connection.end_stream()

    upstream.script = think
    running = await start_gateway(models(upstream.url), keep_alive_seconds=0.05)
    asked = {"model": "served", "messages": [], "stream": True}
    text = ""
    async with running.client.stream("POST", "/v1/chat/completions", json=asked) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-request-id"]
        async for part in response.aiter_text():
            text += part
            if text.count(": keep-alive\n\n") > 1:
                heard.set()
    assert response.status_code == 200
    assert text.endswith("\n\n")
    assert last in text.rstrip("\n").rpartition("\n\n")[2]
    (event,) = running.answered
    assert (event.status, event.outcome) == (200, outcome)
    assert event.output == ("Hi" if outcome == "ok" else None)


async def test_an_upstream_has_its_own_timeouts(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event(chat_chunk("Hel"))
        await connection.closed.wait()

    upstream.script = script
    running = await start_gateway(models(upstream.url, idle_seconds=0.2))
    assert "within 0.2 s" in (await running.chat(stream=True)).text


async def test_headers_that_speak_for_a_site_stay_behind(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    sent = {
        "Access-Control-Allow-Origin": "*",
        "Alt-Svc": "h3=:443",
        "Clear-Site-Data": "*",
        "Connection": "x-hop",
        "Link": "</x>; rel=preload",
        "Location": "http://elsewhere",
        "NEL": "{}",
        "Set-Cookie": "a=b",
        "Strict-Transport-Security": "max-age=1",
        "X-Accel-Redirect": "/secret",
        "X-Hop": "for the gateway alone",
        "X-Sendfile": "/secret",
    }
    kept = {"retry-after": "3", "openai-processing-ms": "4", "x-upstream": "5"}

    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(chat_completion(), 200, sent | kept)

    upstream.script = script
    headers = (await gateway.chat()).headers
    assert {name.lower() for name in sent}.isdisjoint(headers)
    assert {name: headers[name] for name in kept} == kept


def cut(size: int) -> Callable[[bytes], list[bytes]]:
    return lambda data: [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_found_however_they_are_cut(size: int) -> None:
    events = [b"data: a\n\n", b"data: b\r\n\r\n", b": c\r\r", b"event: d\ndata: e\n\n", b"\n\n"]
    splitter = FrameSplitter()
    found = [frame for part in cut(size)(b"".join(events)) for frame in splitter.feed(part)]
    assert b"".join(found) == b"".join(events)
    assert [frame for frame in found if frame.strip()] == events[:4]
    assert splitter.rest == b""


def test_a_long_event_in_small_pieces() -> None:
    event = b"data: " + b"x" * 4_000_000 + b"\n\n"
    splitter = FrameSplitter()
    assert [frame for part in cut(1400)(event) for frame in splitter.feed(part)] == [event]
