"""What clients do beside plain requests: encodings, slashes, other methods, other routes."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import zlib
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Running, StartGateway
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion

from tidegauge.gateway.multipart import read_field, replace_fields
from tidegauge.gateway.policy import keys
from tidegauge.schemas.exchange import ErrorKind

BODY: Final = b'{"model":"served","messages":[{"role":"user","content":"Hi"}]}'
ORIGIN: Final = "https://chat.example"


@pytest.fixture(params=[True, False], ids=["wire", "asgi"])
def wire(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def _raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(data) + encoder.flush()


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", _raw_deflate(BODY)),
        ("zstd", zstandard.compress(BODY)),
        ("identity", BODY),
        ("gzip", gzip.compress(b"\xef\xbb\xbf" + BODY, mtime=0)),
        ("identity", b"\xef\xbb\xbf" + BODY),
    ],
)
async def test_encoded_bodies_are_decoded(
    gateway: Running, upstream: ScriptedUpstream, encoding: str, content: bytes
) -> None:
    headers = {"content-encoding": encoding}
    response = await gateway.client.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 200
    assert upstream.requests[0].body == BODY
    assert "content-encoding" not in upstream.requests[0].headers


@pytest.mark.parametrize(
    ("encoding", "content", "status", "code"),
    [
        ("zstd", BODY, 400, "invalid_content_encoding"),
        ("zstd", zstandard.compress(BODY)[:-1], 400, "invalid_content_encoding"),
        ("zstd", zstandard.compress(BODY) * 2, 400, "invalid_content_encoding"),
        ("zstd", zstandard.compress(BODY).ljust(2048), 400, "invalid_content_encoding"),
        ("zstd", zstandard.compress(b" " * (64 << 20)), 413, "request_too_large"),
        ("br", BODY, 415, "unsupported_content_encoding"),
        ("gzip, deflate", BODY, 415, "unsupported_content_encoding"),
        ("gzip", BODY, 400, "invalid_content_encoding"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-9], 400, "invalid_content_encoding"),
        ("gzip", gzip.compress(BODY, mtime=0) * 2, 400, "invalid_content_encoding"),
        ("deflate", b"", 400, "invalid_content_encoding"),
        ("gzip", gzip.compress(b" " * (64 << 20), mtime=0), 413, "request_too_large"),
    ],
)
async def test_bodies_that_cannot_be_decoded(
    gateway: Running, encoding: str, content: bytes, status: int, code: str
) -> None:
    headers = {"content-encoding": encoding}
    response = await gateway.client.post("/v1/chat/completions", content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    if status == 415:
        assert encoding in response.json()["error"]["message"]
        assert response.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert gateway.answered[0].status == status


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/v1/chat/completions?api-version=1"])
async def test_slashes_and_queries(gateway: Running, upstream: ScriptedUpstream, path: str) -> None:
    response = await gateway.client.post(path, content=BODY)
    assert response.status_code == 200
    assert upstream.requests[0].path == "/v1/chat/completions"
    assert gateway.answered[0].segment.route == "/v1/chat/completions"
    assert (await gateway.client.get("/v1/models/")).json()["data"][0]["id"] == "served"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models"])
async def test_head(gateway: Running, path: str) -> None:
    response = await gateway.client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


async def _preflight(running: Running, origin: str = ORIGIN) -> Any:  # noqa: ANN401 - a response
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-stainless-os",
    }
    return await running.client.options("/v1/chat/completions", headers=headers)


async def test_browsers_may_not_call_unless_a_setting_lets_them(gateway: Running) -> None:
    response = await _preflight(gateway)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("stream", [False, True])
async def test_browsers_of_an_allowed_origin_may_call(
    start_gateway: StartGateway, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, cors_origins=(ORIGIN,))
    response = await _preflight(running)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "x-stainless-os" in response.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in (await _preflight(running, "https://evil")).headers
    body = {"model": "served", "messages": [], "stream": stream}
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil", None)):
        response = await running.client.post(
            "/v1/chat/completions", json=body, headers={"origin": origin}
        )
        assert response.headers.get("access-control-allow-origin") == allowed
    listed = await running.client.get("/v1/models", headers={"origin": ORIGIN})
    assert listed.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/responses/resp_1"), ("POST", "/v1/nothing"), ("DELETE", "/v1/files/f")],
)
async def test_routes_that_are_not_served_are_counted(
    gateway: Running, method: str, path: str
) -> None:
    response = await gateway.client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert "does not serve" in response.json()["error"]["message"]
    text = (await gateway.admin.get("/metrics")).text
    assert 'tidegauge_gateway_refused_total{reason="route"} 1.0' in text


async def test_metrics_and_documentation_are_for_operators(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, admin_key="adm")
    for path in ("/metrics", "/docs", "/openapi.json", "/redoc", "/metrics/"):
        assert (await running.admin.get(path)).status_code == 200
        assert (await running.client.get(path)).status_code == 401
        wrong = {"authorization": "Bearer wrong"}
        assert (await running.client.get(path, headers=wrong)).status_code == 401
        right = {"authorization": "Bearer adm"}
        assert (await running.client.get(path, headers=right)).status_code == 200
    assert running.app.runtime.refusals["admin_route"] == 10


async def test_other_apis_are_forwarded_with_their_usage(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer({"results": [{"index": 0}], "usage": {"total_tokens": 9}})

    upstream.script = script
    body = {"model": "served", "query": "Which?", "documents": ["a", "b"]}
    paths = ["/v1/rerank", "/v1/score", "/tokenize"]
    for path in paths:
        response = await gateway.client.post(path, json=body)
        assert (response.status_code, response.json()["results"]) == (200, [{"index": 0}])
    assert [request.path for request in upstream.requests] == [
        "/v1/rerank",
        "/v1/score",
        "/tokenize",
    ]
    assert [request.json for request in upstream.requests] == [body] * 3
    for answered in gateway.answered:
        assert answered.usage is not None
        assert (answered.usage.input_tokens, answered.usage.output_tokens) == (9, 0)
        assert (answered.status, answered.error, answered.checks) == (200, None, {})
    assert gateway.answered[0].messages[0].content == "Which?"
    text = (await gateway.admin.get("/metrics")).text
    sent = len(upstream.requests[0].body)
    got = len(response.content)
    for direction, number in (("request", sent), ("answer", got)):
        labels = f'direction="{direction}",route="/v1/rerank"'
        assert f"tidegauge_gateway_bytes_total{{{labels}}} {number}.0" in text


async def test_the_only_model_is_meant_where_a_request_names_none(
    gateway: Running, upstream: ScriptedUpstream, start_gateway: StartGateway
) -> None:
    response = await gateway.client.post("/tokenize", json={"prompt": "Hi"})
    assert response.status_code == 200
    assert upstream.requests[0].json == {"prompt": "Hi"}
    assert gateway.answered[0].segment.model == "served"
    several = await start_gateway({name: {"upstreams": [{"url": upstream.url}]} for name in "ab"})
    response = await several.client.post("/tokenize", json={"prompt": "Hi"})
    assert response.status_code == 404
    assert "names no model" in response.json()["error"]["message"]


async def test_an_error_of_another_api_is_one(gateway: Running, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer({"error": {"message": "no", "code": "overloaded"}})

    upstream.script = script
    await gateway.client.post("/tokenize", json={"model": "served", "prompt": "Hi"})
    assert gateway.answered[0].error == ErrorKind.UPSTREAM_ERROR


@pytest.mark.parametrize("answer", [b'{"text": "Hello", "usage": {"total_tokens": 4}}', b"Hello"])
async def test_a_transcription_with_the_upstreams_name_of_the_model(
    start_gateway: StartGateway, upstream: ScriptedUpstream, answer: bytes
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(answer, headers={"content-type": "text/plain"})

    upstream.script = script
    models = {"whisper": {"upstreams": [{"url": upstream.url, "model": "inner"}]}}
    running = await start_gateway(models)
    sound = bytes(range(256)) * 200 + b"[" * 60_000
    response = await running.client.post(
        "/v1/audio/transcriptions",
        data={"model": "whisper", "language": "de"},
        files={"file": ("a.wav", sound, "audio/wav")},
    )
    assert (response.status_code, response.content) == (200, answer)
    (request,) = upstream.requests
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert read_field(request.body, "model") == "inner"
    assert read_field(request.body, "language") == "de"
    assert sound in request.body
    (answered,) = running.answered
    assert (answered.segment.model, answered.error) == ("whisper", None)


@pytest.mark.parametrize("fields", [{}, {"language": "de"}, {"model": ["a", "b"]}])
async def test_a_form_without_one_model_is_refused(gateway: Running, fields: Any) -> None:  # noqa: ANN401
    response = await gateway.client.post(
        "/v1/audio/transcriptions", data=fields, files={"file": ("a.wav", b"x", "audio/wav")}
    )
    assert response.status_code == 400
    assert gateway.answered[0].error == ErrorKind.INVALID_REQUEST


@given(st.dictionaries(st.sampled_from("abcdef"), st.text(), min_size=1), st.binary(max_size=99))
def test_fields_are_replaced_and_files_kept(fields: dict[str, str], content: bytes) -> None:
    if b"\r\n--xyz" in content:
        return
    file = b'content-disposition: form-data; name="f"; filename="f"\r\n\r\n' + content
    body = b"--xyz\r\n%b\r\n--xyz--\r\n" % file
    for _ in range(2):
        body = replace_fields(body, fields)
        assert file in body
        assert {name: read_field(body, name) for name in fields if name != "f"} == {
            name: text for name, text in fields.items() if name != "f"
        }


async def test_a_limited_client_reads_its_own_limits_only(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        limits = {"x-ratelimit-limit-requests": "999", "x-ratelimit-limit-tokens": "998"}
        await connection.answer(chat_completion(), headers=limits)

    upstream.script = script
    file = tmp_path / "keys.json"
    limited = keys.Customer(name="acme", key_id="", requests_per_minute=5)
    key, record = keys.create(limited, created="now")
    keys.save(file, [record])
    models = {"served": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, keys_file=file)
    headers = {"api-key": key}
    response = await running.client.post("/v1/chat/completions", content=BODY, headers=headers)
    assert response.headers.get_list("x-ratelimit-limit-requests") == ["5"]
    assert "x-ratelimit-limit-tokens" not in response.headers


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--http1.0", "-d", BODY[:-1] + b',"stream":true}'), b"data: [DONE]\n\n200"),
        (("--http1.0", "-d", BODY), b"200"),
        (("-H", "content-encoding: gzip", "--data-binary", "@body.gz"), b"200"),
        (("-H", "transfer-encoding: chunked", "-d", BODY), b"200"),
        (("-H", "expect: 100-continue", "-d", BODY), b"200"),
        (("-I",), b"405"),
        (("-X", "OPTIONS"), b"200"),
    ],
)
async def test_curl(
    gateway: Running, tmp_path: Path, arguments: tuple[str | bytes, ...], expected: bytes
) -> None:
    (tmp_path / "body.gz").write_bytes(gzip.compress(BODY, mtime=0))
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-N", "--max-time", "20", "-w", "%{http_code}"),
        *arguments,
        f"{gateway.url}/v1/chat/completions",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    assert output.endswith(expected)


async def test_half_an_emoji_in_a_prompt(gateway: Running, upstream: ScriptedUpstream) -> None:
    body = BODY.replace(b"Hi", b"\\ud83d")
    response = await gateway.client.post("/v1/chat/completions", content=body)
    assert response.status_code == 200
    assert json.loads(upstream.requests[0].body) == json.loads(body)
