"""A server that ends while it starts tells why; the real one serves both names."""

from __future__ import annotations

import json
import stat
import urllib.request
from pathlib import Path

import pytest

from tidegauge.demo.errors import VllmServerError
from tidegauge.demo.vllm_environment import ensure_environment
from tidegauge.demo.vllm_server import SERVED_NAMES, VllmServer, ensure_model
from tidegauge.runtime.processes.deployment import free_port


def server(folder: Path, script: str) -> VllmServer:
    python = folder / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return VllmServer(folder, free_port(), environment=folder / "env", log_file=folder / "log")


def test_a_server_that_ends_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broken = server(tmp_path, "echo 'ValueError: no such dtype'; exit 3")
    broken.start()
    with pytest.raises(VllmServerError, match=r"ended while it was starting(.|\n)*no such dtype"):
        broken.wait_ready(timeout_seconds=20)
    broken.stop()


def test_a_server_that_is_late_is_given_up(tmp_path: Path) -> None:
    late = server(tmp_path, "echo 'loading weights'; exec sleep 600")
    late.start()
    with pytest.raises(VllmServerError, match=r"not ready after 600 ms(.|\n)*loading weights"):
        late.wait_ready(timeout_seconds=0.6)
    late.stop()
    assert not late.running
    late.stop()


def test_starting_twice_is_refused(tmp_path: Path) -> None:
    sleeping = server(tmp_path, "exec sleep 600")
    sleeping.start()
    with pytest.raises(VllmServerError, match="started already"):
        sleeping.start()
    sleeping.stop()


def test_a_missing_environment_is_said(tmp_path: Path) -> None:
    with pytest.raises(VllmServerError, match="ensure_environment"):
        VllmServer(tmp_path, 1, environment=tmp_path / "none").start()


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_one_process_answers_to_both_names() -> None:
    ensure_environment(print)
    with VllmServer(ensure_model(print), free_port()) as running:
        with urllib.request.urlopen(  # noqa: S310 - our own server
            f"{running.url}/v1/models", timeout=10
        ) as answer:
            names = {model["id"] for model in json.load(answer)["data"]}
        assert names == set(SERVED_NAMES)
    assert not running.running
