"""A server that ends while it starts tells why; what a server computes with."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tidegauge.demo.errors import VllmServerError
from tidegauge.demo.vllm_server import VllmServer, number_format
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


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fma avx512f avx512_bf16 amx_tile", "bfloat16"),
        ("fma amx_bf16", "bfloat16"),
        ("fma avx2 avx512f avx512_vnni", "float32"),
    ],
)
def test_bfloat16_needs_a_processor_that_multiplies_it(
    tmp_path: Path, flags: str, expected: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert number_format(tmp_path / "cpuinfo") == expected


def test_an_unknown_processor_computes_with_float32(tmp_path: Path) -> None:
    assert number_format(tmp_path / "absent") == "float32"
