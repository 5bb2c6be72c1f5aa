"""The request log alone says what failed, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.gateway.conftest import Running, StartGateway
from tests.gateway.scripted import Connection, Received, Script, ScriptedUpstream, chat_completion

from tidegauge.capture.batch import BatchBuilder
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.runs import NOWHERE, list_runs
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway import checking_shipper

OBJECT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def answering(body: object) -> Script:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(body)

    return script


def ship(running: Running, log: Path) -> None:
    """Expand what is in the outbox as the shipper's process does."""
    (run,) = list_runs(running.directory / "outbox")
    entries = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=False)
    with log.open("ab", buffering=0) as file:
        formats = checking_shipper.expand_formats(CaptureSettings(), file)
        BatchBuilder(run.producer_id, formats, 1 << 30).build(entries)


async def test_an_error_is_told_with_its_outcome_and_upstream(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering({"error": {"message": "secret words", "code": "overloaded"}})
    await gateway.chat()
    (line,) = gateway.log()
    assert (line["status"], line["outcome"], line["error"]) == (200, "failed", "upstream_error")
    assert line["error_detail"] == "the upstream reported an error in its answer (overloaded)"
    assert (line["finish_reason"], line["attempts"]) == (None, 1)
    assert line["upstream"] == upstream.url.removeprefix("http://")
    assert "secret" not in json.dumps(line)


async def test_fields_that_could_not_be_read_are_named_and_counted(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering(chat_completion(usage={"prompt_tokens": -1}))
    await gateway.chat()
    (line,) = gateway.log()
    assert (line["outcome"], line["unread"]) == ("ok", ["usage.prompt_tokens"])
    text = (await gateway.admin.get("/metrics")).text
    assert 'tidegauge_gateway_unread_fields_total{field="usage.prompt_tokens"} 1.0' in text


async def test_a_check_that_the_gateway_made_is_in_the_line(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}], "failed_checks": {"empty": "error"}}}
    )
    upstream.script = answering(chat_completion(""))
    assert (await running.chat()).status_code == 502
    (line,) = running.log()
    assert (line["outcome"], line["checks"]["empty"]) == ("failed", "failed")


async def test_a_check_that_the_shipper_made_gets_a_line_of_its_own(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering(chat_completion("no JSON"))
    await gateway.chat(response_format=OBJECT)
    await gateway.chat()
    first, second = gateway.log()
    assert first["checks"] is second["checks"] is None
    ship(gateway, gateway.directory / "requests.jsonl")
    *_, line = gateway.log()
    assert len(gateway.log()) == 3
    assert (line["event"], line["request_id"]) == ("checks", first["request_id"])
    assert (line["checks"]["json_schema"], line["checks"]["empty"]) == ("failed", "passed")


async def test_a_log_that_cannot_be_written_loses_no_event(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering(chat_completion(""))
    await gateway.chat()
    ship(gateway, Path("/dev/full"))
    (event,) = gateway.answered
    assert event.checks["empty"] == "failed"


def test_the_log_is_the_gateways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEGAUGE_GATEWAY_REQUEST_LOG", str(tmp_path / "log.jsonl"))
    log = checking_shipper._request_log(CaptureSettings())
    assert log is not None
    with log:
        log.write(b"{}\n")
    assert (tmp_path / "log.jsonl").read_bytes() == b"{}\n"
    monkeypatch.setenv("TIDEGAUGE_GATEWAY_REQUEST_LOG", str(tmp_path))
    assert checking_shipper._request_log(CaptureSettings()) is None
    monkeypatch.delenv("TIDEGAUGE_GATEWAY_REQUEST_LOG")
    assert checking_shipper._request_log(CaptureSettings()) is sys.stdout.buffer
    assert checking_shipper._request_log(CaptureSettings(producer="litellm")) is None
