"""Schemathesis sends what the OpenAPI document allows, and what it does not: never a 500."""

from __future__ import annotations

import asyncio
import sys

from tests.gateway.conftest import Running

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


async def test_nothing_that_the_document_describes_makes_it_fail(gateway: Running) -> None:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{gateway.admin.base_url}/openapi.json",
        ),
        *("--checks", CHECKS, "--max-examples", "8", "--seed", "7", "--no-color"),
        *("--phases", "examples,coverage,fuzzing"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]
    counts = gateway.recorder.counts()
    assert counts.served > 50
    assert counts.served == counts.captured["responses.v1"]
    assert not any(event.error == "gateway_error" for event in gateway.answered)
