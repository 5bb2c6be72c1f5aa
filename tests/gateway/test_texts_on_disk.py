"""All that a gateway writes, searched for the words of clients, upstreams and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import Running
from tests.gateway.scripted import Connection, Received, ScriptedUpstream, chat_completion
from tests.gateway.test_request_log import ship

CANARY = "quetzalcoatlus"
TEXT = f"my {CANARY} number"
CALL = {"id": TEXT, "function": {"name": "find", "arguments": json.dumps({"x": TEXT})}}
ASKED: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": TEXT},
        {"role": "user", "content": [{"type": "text", "text": TEXT}], "name": CANARY},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": TEXT, "tool_call_id": TEXT},
        {"role": "user", "content": TEXT},
    ],
    "user": TEXT,
    "stop": [TEXT],
    "metadata": {"context": TEXT, CANARY: TEXT},
    "tools": [{"type": "function", "function": {"name": "find", "description": TEXT}}],
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": CANARY, "schema": {"const": TEXT}},
    },
}
ANSWERS: tuple[tuple[int, object], ...] = (
    (200, chat_completion(TEXT)),
    (200, {**chat_completion(TEXT), "choices": [{"message": {"tool_calls": [CALL]}}]}),
    (200, {"error": {"message": TEXT, "code": 500, "param": TEXT}}),
    (200, {"choices": TEXT, CANARY: TEXT}),
    (400, {"error": {"message": TEXT, "type": TEXT}}),
    (503, TEXT),
)


def holding(folder: Path) -> set[str]:
    """Return the files under a folder that hold the canary, and the names that do."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in paths if CANARY in str(path)]
    return {path.name for path in paths if CANARY.encode() in path.read_bytes()}


async def test_texts_are_in_the_outbox_alone(
    gateway: Running, upstream: ScriptedUpstream, capfd: pytest.CaptureFixture[str]
) -> None:
    for status, answer in ANSWERS:

        async def script(
            _request: Received,
            connection: Connection,
            *,
            status: int = status,
            answer: object = answer,
        ) -> None:
            await connection.answer(answer, status)

        upstream.script = script
        await gateway.chat(**ASKED)
    upstream.script = script
    client, headers = gateway.client, {"x-session-id": CANARY, "user-agent": CANARY}
    # Of what is refused for its path, the path is told.
    for path in (f"/v1/chat/completions?q={CANARY}", f"/v1/nothing?q={CANARY}"):
        await client.post(path, json={"model": CANARY, **ASKED}, headers=headers)
    odd = json.dumps({"model": "served", "messages": TEXT, CANARY: TEXT})
    for body in (odd, odd[:-1], f'{{"{CANARY}": 1, "model": "served", "model": "{CANARY}"}}'):
        await client.post("/v1/chat/completions", content=body, headers=headers)
    await client.get(f"/v1/models/{CANARY}", headers={"authorization": f"Bearer {CANARY}"})
    lines = gateway.log()
    ship(gateway, gateway.directory / "requests.jsonl")
    assert len(lines) >= len(ANSWERS)
    found = holding(gateway.directory)
    assert found
    assert all(name.endswith(".log") or name == "tail" for name in found), found
    assert CANARY not in "".join(capfd.readouterr())
    assert CANARY not in (await gateway.admin.get("/metrics")).text
