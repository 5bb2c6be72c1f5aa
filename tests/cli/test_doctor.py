from __future__ import annotations

import platform
import socket
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tidegauge.cli.check import Check
from tidegauge.cli.doctor import checks, doctor


def untried(_environment: Mapping[str, str]) -> tuple[Check, ...]:
    return ()


def _found(environment: dict[str, str], wrong: str | None = None) -> dict[str, Check]:
    return {
        check.what: check for check in checks(environment, lambda _h, _p: wrong, untried, untried)
    }


def test_a_broker_that_does_not_answer_is_named_with_its_variable() -> None:
    check = _found({"KAFKA_BOOTSTRAP_SERVERS": "broker-1:9092"}, "Connection refused")["broker"]
    assert check.fine is False
    assert check.found == "broker-1:9092 does not answer: Connection refused"
    assert "KAFKA_BOOTSTRAP_SERVERS" in check.remedy


def test_one_of_several_brokers_is_enough() -> None:
    tried: list[tuple[str, int]] = []

    def reach(host: str, port: int) -> str | None:
        tried.append((host, port))
        return None if host == "b" else "no route"

    found = {
        c.what: c
        for c in checks({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2,c:3"}, reach, untried, untried)
    }
    assert found["broker"].fine
    assert tried == [("a", 1), ("b", 2)]


def test_a_url_has_a_default_port() -> None:
    tried: list[tuple[str, int]] = []

    def reach(host: str, port: int) -> str | None:
        tried.append((host, port))
        return None

    list(checks({"TIDEGAUGE_JUDGE_URL": "https://judge.example/v1"}, reach, untried, untried))
    assert tried == [("judge.example", 443)]


@pytest.mark.parametrize("address", ["http://", "http://host:port/", "http://[::1"])
def test_nonsense_for_an_address_is_said_to_be_that(address: str) -> None:
    check = _found({"TIDEGAUGE_UPSTREAM_URL": address})["model"]
    assert check.fine is False
    assert "is no address" in check.found


def test_without_an_embedded_part_its_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    found = _found({})
    assert found["broker"].fine is False
    assert "set KAFKA_BOOTSTRAP_SERVERS" in found["broker"].remedy
    assert "set TIDEGAUGE_JUDGE_URL" in found["judge"].remedy


def test_the_whole_is_fine_when_what_is_needed_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert doctor(
            {"KAFKA_BOOTSTRAP_SERVERS": address}, as_json=True, embedders=untried, kafka=untried
        )
    assert address in capsys.readouterr().out
    assert not doctor(
        {"KAFKA_BOOTSTRAP_SERVERS": address}, as_json=False, embedders=untried, kafka=untried
    )
    assert "BAD" in capsys.readouterr().out


def test_the_doctor_needs_no_library_that_it_looks_for() -> None:
    code = (
        "import sys, importlib.util\n"
        "looked_for = ('numpy', 'torch', 'sentence_transformers', 'fastapi', 'aiohttp')\n"
        "sys.modules.update(dict.fromkeys(looked_for))\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name in looked_for else find(name)\n"
        "from tidegauge.cli.doctor import doctor\n"
        "doctor({}, as_json=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no sentence-transformers" in done.stdout
