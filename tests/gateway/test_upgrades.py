"""Requests that offer another protocol are answered in HTTP/1.1, on both ways in."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from tests.gateway.conftest import Running
from tests.gateway.scripted import Connection, Received, ScriptedUpstream

BODY: Final = b'{"model": "served", "messages": [{"role": "user", "content": "Hi"}]}'
STREAM: Final = b'{"model": "served", "messages": [], "stream": true}'
H2C: Final = (
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n"
)
WEBSOCKET: Final = (
    b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
GET: Final = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK"


def post(body: bytes, headers: bytes = H2C) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n" % len(body)
    return head + headers + b"\r\n" + body


def chunked(body: bytes, headers: bytes = H2C) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n"
    return head + headers + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return an answer's status line and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, _, headers = head.lower().partition(b"\r\n")
    if b"transfer-encoding: chunked" in headers:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        length = headers.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
    return head[: len(status)], body


async def talk(running: Running, *pieces: bytes, answers: int = 1) -> list[tuple[bytes, bytes]]:
    """Send each piece once the gateway has had time to read the last one; return the answers."""
    port = int(running.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)
        async with asyncio.timeout(10):
            return [await read_answer(reader) for _ in range(answers)]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("before", [b"", GET], ids=["fast", "uvicorn"])
@pytest.mark.parametrize("form", [post, chunked])
async def test_an_offer_is_ignored_and_the_body_intact(
    gateway: Running, upstream: ScriptedUpstream, offer: bytes, before: bytes, form: object
) -> None:
    """A connection that begins with another route is served by uvicorn's protocol."""
    assert callable(form)
    request = form(BODY, offer)
    pieces = [piece for piece in (before, request) if piece]
    answers = await talk(gateway, *pieces, answers=len(pieces))
    assert [status for status, _ in answers] == [OK] * len(pieces)
    assert json.loads(answers[-1][1])["object"] == "chat.completion"
    (received,) = upstream.requests
    assert received.body == BODY


@pytest.mark.parametrize("before", [b"", GET], ids=["fast", "uvicorn"])
async def test_an_offer_with_a_stream(
    gateway: Running, upstream: ScriptedUpstream, before: bytes
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.begin_stream()
        await connection.event({"choices": [{"index": 0, "delta": {"content": "Hi"}}]})
        await connection.end_stream()

    upstream.script = script
    pieces = [piece for piece in (before, post(STREAM)) if piece]
    status, body = (await talk(gateway, *pieces, answers=len(pieces)))[-1]
    assert status == OK
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("before", [b"", GET], ids=["fast", "uvicorn"])
async def test_an_offer_byte_by_byte(
    gateway: Running, upstream: ScriptedUpstream, before: bytes
) -> None:
    request = post(BODY)
    pieces = [before, request[:60], *(request[n : n + 1] for n in range(60, len(request)))]
    answers = await talk(gateway, *filter(None, pieces), answers=2 if before else 1)
    assert answers[-1][0] == OK
    assert upstream.requests[0].body == BODY


async def test_every_request_of_a_connection_may_offer(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    request = post(BODY)
    answers = await talk(gateway, request, request, GET, request, answers=4)
    assert [status for status, _ in answers] == [OK] * 4
    assert [received.body for received in upstream.requests] == [BODY] * 3


async def test_requests_behind_an_offer_are_answered_in_their_order(gateway: Running) -> None:
    """uvicorn's protocol serves pipelines; it used to drop what followed an offer."""
    missing = GET.replace(b"healthz", b"missing")
    answers = await talk(gateway, GET + post(BODY) + missing + GET, answers=4)
    assert [status for status, _ in answers] == [OK, OK, b"HTTP/1.1 404 Not Found", OK]


@pytest.mark.parametrize("second", [post(BODY), post(STREAM), GET, b"\x00nonsense\r\n\r\n"])
async def test_the_first_of_a_pipeline_is_answered_first(
    gateway: Running, upstream: ScriptedUpstream, second: bytes
) -> None:
    ((status, body),) = await talk(gateway, post(BODY) + second)
    assert status == OK
    assert json.loads(body)["object"] == "chat.completion"
    assert upstream.requests[0].body == BODY


async def run(*command: str) -> str:
    """Run a client and return what it writes."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_curl(gateway: Running, body: bytes) -> None:
    if "HTTP2" not in await run("curl", "--version"):
        pytest.skip("curl is built without HTTP/2")
    url = f"{gateway.url}/v1/chat/completions"
    status = ("-w", "\n%{http_code} %{http_version}", "--data-binary", body.decode(), url)
    answer = await run("curl", "-sS", "--http2", "--max-time", "20", *status)
    assert answer.rpartition("\n")[2] == "200 1.1"


JAVA: Final = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int n = 1; n < arguments.length; n++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .POST(HttpRequest.BodyPublishers.ofString(arguments[n])).build();
            HttpResponse<String> answer =
                client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.version());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="there is no JDK")
async def test_the_jdk(gateway: Running, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    url = f"{gateway.url}/v1/chat/completions"
    said = await run("java", str(source), url, BODY.decode(), BODY.decode())
    assert said.splitlines() == ["200 HTTP_1_1"] * 2
    assert [received.body for received in upstream.requests] == [BODY] * 2
