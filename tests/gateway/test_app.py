"""The other routes, the settings, and changes while the gateway runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion

from tidegauge.gateway import reachability
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.gateway.policy import keys
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.runtime.environment import SettingsError
from tidegauge.schemas import encode
from tidegauge.schemas.exchange import ErrorKind, Message


async def test_plain_chat(gateway: Running, upstream: ScriptedUpstream) -> None:
    response = await gateway.client.post(
        "/chat", json={"message": "Hi <b>", "system_prompt": "Be brief."}
    )
    assert response.status_code == 200
    content = response.json()
    assert content.keys() == {"response", "model", "latency_ms"}
    assert (content["response"], content["model"]) == ("Hello.", "served")
    assert upstream.requests[0].json == {
        "model": "served",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi <b>"},
        ],
    }
    (answered,) = gateway.answered
    assert answered.segment.route == "/chat"
    assert answered.messages[1] == Message(role="user", content="Hi <b>")
    assert gateway.log()[0]["route"] == "/chat"
    assert content["latency_ms"] == pytest.approx(answered.latency_ms)


@pytest.mark.parametrize("body", [b"{", b'{"message": 3}', b"{}", b'{"system_prompt": "x"}'])
async def test_plain_chat_refuses_what_is_malformed(gateway: Running, body: bytes) -> None:
    response = await gateway.client.post("/chat", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["x-request-id"] == gateway.answered[0].request_id
    assert gateway.answered[0].error == ErrorKind.INVALID_REQUEST


async def test_models_and_health(gateway: Running) -> None:
    listed = (await gateway.client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["served"]
    assert (await gateway.client.get("/v1/models/served")).json()["id"] == "served"
    assert (await gateway.client.get("/v1/models/x/y")).json()["error"]["code"] == "model_not_found"
    assert (await gateway.client.get("/healthz")).json() == {"alive": True}
    assert (await gateway.client.get("/readyz")).status_code == 200


async def test_metrics(gateway: Running) -> None:
    await gateway.chat()
    await gateway.chat(stream=True)
    await gateway.client.post("/v1/chat/completions", content=b"{")
    text = (await gateway.admin.get("/metrics")).text
    assert (
        'tidegauge_gateway_requests_total{model="served",outcome="ok",'
        'route="/v1/chat/completions",status="200",version="v1"} 2.0' in text
    )
    assert 'tidegauge_gateway_errors_total{kind="invalid_request"} 1.0' in text
    assert 'tidegauge_gateway_tokens_total{customer="anonymous",direction="input"' in text
    assert "tidegauge_gateway_in_flight_requests 0.0" in text


async def test_the_openapi_document_names_every_route(gateway: Running) -> None:
    document = (await gateway.admin.get("/openapi.json")).json()
    assert {
        "/chat",
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/responses",
    } <= document["paths"].keys()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["required"] == [
        "model",
        "messages",
    ]


async def test_not_ready_until_the_upstream_is_there(
    start_gateway: StartGateway,
) -> None:
    late = ScriptedUpstream()
    async with late:
        pass
    running = await start_gateway(upstream_url=late.url)
    assert (await running.client.get("/readyz")).status_code == 503
    assert (await running.client.get("/healthz")).status_code == 200
    async with late:
        await eventually(lambda: running.app.runtime.ready)
        assert (await running.chat()).status_code == 200


async def test_readiness_follows_the_upstreams(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability, "_KEPT_SECONDS", 0.0)
    upstream = ScriptedUpstream()
    async with upstream:
        running = await start_gateway(upstream_url=upstream.url)
        await eventually(lambda: running.app.runtime.ready)
        assert (await running.client.get("/readyz")).json()["upstream_reachable"]
    outage = await running.client.get("/readyz")
    assert outage.status_code == 503
    assert outage.json() == {"ready": False, "models": 1, "upstream_reachable": False}
    assert (await running.client.get("/healthz")).status_code == 200
    async with upstream:
        assert (await running.client.get("/readyz")).status_code == 200


def _versions(url: str, *, old: float, new: float) -> dict[str, Any]:
    upstreams = [
        {"url": url, "weight": old, "version": "v1"},
        {"url": url, "weight": new, "version": "v2", "overrides": {"temperature": 1.6}},
    ]
    return {"served": {"upstreams": upstreams}}


async def test_a_reload_swaps_a_models_version(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    running = await start_gateway(_versions(upstream.url, old=1, new=0), admin_key="adm")
    await running.chat(temperature=0.2)
    config = tmp_path / "models.yaml"
    config.write_text(json.dumps({"models": _versions(upstream.url, old=0, new=1)}))
    refused = await running.client.post("/admin/reload", headers={"authorization": "Bearer x"})
    assert refused.status_code == 401
    admin = {"authorization": "Bearer adm"}
    reloaded = await running.client.post("/admin/reload", headers=admin)
    assert (reloaded.status_code, reloaded.json()) == (200, {"models": 1})
    await running.chat(temperature=0.2)
    old, new = running.answered
    assert (old.segment.version, old.sampling.temperature) == ("v1", 0.2)
    assert (new.segment.version, new.sampling.temperature) == ("v2", 1.6)
    assert [request.json["temperature"] for request in upstream.requests] == [0.2, 1.6]
    assert upstream.connections == 1


async def test_a_wrong_file_changes_nothing(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    running = await start_gateway(_versions(upstream.url, old=1, new=0), admin_key="adm")
    (tmp_path / "models.yaml").write_text("models: {served: {upstreams: [{url: nowhere}]}}")
    admin = {"authorization": "Bearer adm"}
    response = await running.client.post("/admin/reload", headers=admin)
    assert response.status_code == 422
    assert "nowhere" in response.json()["error"]["message"]
    assert (await running.chat()).status_code == 200
    running.app.runtime.reload_or_complain()
    assert (await running.chat()).status_code == 200


async def test_no_admin_key_no_admin_route(gateway: Running) -> None:
    assert (await gateway.client.post("/admin/reload")).status_code == 404


async def test_a_reload_does_not_cut_answers_under_way(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        asked.set()
        await go_on.wait()
        await connection.answer(chat_completion())

    upstream.script = script
    running = await start_gateway(_versions(upstream.url, old=1, new=0))
    task = asyncio.create_task(running.chat())
    await asked.wait()
    other = {"other": {"upstreams": [{"url": "http://127.0.0.1:9"}]}}
    (tmp_path / "models.yaml").write_text(json.dumps({"models": other}))
    running.app.runtime.reload()
    go_on.set()
    assert (await task).status_code == 200
    assert (await running.chat()).status_code == 404


async def test_the_upstreams_name_and_key(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "s3cret")
    entry = {"url": f"{upstream.url}/base/v1", "model": "inner", "api_key_env": "UPSTREAM_KEY"}
    running = await start_gateway({"served": {"upstreams": [entry]}})
    await running.client.post(
        "/v1/chat/completions",
        json={"model": "served", "messages": []},
        headers={"authorization": "Bearer of-the-client"},
    )
    (request,) = upstream.requests
    assert request.path == "/base/v1/chat/completions"
    assert request.json["model"] == "inner"
    assert request.headers["authorization"] == "Bearer s3cret"


async def test_the_cost_of_a_request_is_that_of_its_tokens(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    models = {
        "tokens": {"upstreams": [{"url": upstream.url, "price": {"input": 10, "output": 100}}]},
        "gpu": {"upstreams": [{"url": upstream.url, "gpu_usd_per_hour": 3.6}]},
    }
    running = await start_gateway(models)
    await running.chat(model="tokens")
    await running.chat(model="gpu")
    tokens, gpu = running.answered
    assert tokens.cost_usd == pytest.approx((7 * 10 + 3 * 100) / 1e6)
    assert gpu.cost_usd is None


async def test_limits_of_a_key(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    customer = keys.Customer(
        name="acme", key_id="", requests_per_minute=2, models=("served",), capture="none"
    )
    key, record = keys.create(customer, created="now")
    keys.save(file, [record])
    models = {
        "served": {"upstreams": [{"url": upstream.url}]},
        "other": {"upstreams": [{"url": upstream.url}]},
    }
    running = await start_gateway(models, keys_file=file)
    running.client.headers["authorization"] = f"Bearer {key}"
    assert [m["id"] for m in (await running.client.get("/v1/models")).json()["data"]] == ["served"]
    assert (await running.chat(model="other")).status_code == 404
    first = await running.chat("private")
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    await running.chat()
    refused = await running.chat()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert [event.error for event in running.answered] == [
        ErrorKind.UNKNOWN_MODEL,
        None,
        None,
        ErrorKind.RATE_LIMITED,
    ]
    assert running.answered[1].messages == ()
    assert running.answered[1].output is None
    assert running.answered[1].prompt_characters == 7
    assert running.asked[0].capture == "none"
    assert {event.key_id for event in running.answered} == {record.id}
    assert {event.key_id for event in running.asked} == {record.id}
    assert not any(key.encode() in encode(event) for event in running.answered)


async def test_sessions_traces_and_embeddings(gateway: Running, upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer({"data": [], "model": "e", "usage": {"prompt_tokens": 4}})

    upstream.script = script
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await gateway.client.post(
        "/v1/embeddings",
        json={"model": "served", "input": ["one", "two"]},
        headers={"x-session-id": "s-1", "traceparent": trace},
    )
    (answered,) = gateway.answered
    assert answered.session == "s-1"
    assert answered.trace_id == trace.split("-")[1]
    assert upstream.requests[0].headers["traceparent"] == trace
    assert [message.content for message in answered.messages] == ["one", "two"]
    assert answered.usage is not None
    assert (answered.usage.input_tokens, answered.output, answered.checks) == (4, None, {})


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"anonymous": True}, "TIDEGAUGE_UPSTREAM_URL"),
        ({"upstream_url": "http://x"}, "tidegauge keys create"),
        ({"upstream_url": "http://x", "anonymous": True, "host": "0.0.0.0"}, "loopback"),  # noqa: S104
    ],
)
def test_settings_that_contradict_each_other(values: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        GatewaySettings(**values).check()


async def test_a_file_of_models_comes_before_one_upstream(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    models = {"named": {"upstreams": [{"url": upstream.url}]}}
    running = await start_gateway(models, upstream_url="http://127.0.0.1:9")
    assert (await running.chat(model="named")).status_code == 200


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_UPSTREAM_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("TIDEGAUGE_GATEWAY_ANONYMOUS", "true")
    monkeypatch.setenv("TIDEGAUGE_GATEWAY_PORT", "8123")
    monkeypatch.setenv("UPSTREAM_URL", "http://elsewhere")
    settings = GatewaySettings.from_environment()
    assert (settings.port, settings.host) == (8123, "127.0.0.1")
    assert settings.upstream_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("TIDEGAUGE_GATEWAY_PORT", "many")
    with pytest.raises(SettingsError, match="TIDEGAUGE_GATEWAY_PORT"):
        GatewaySettings.from_environment()
