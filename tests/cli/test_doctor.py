from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping

import msgspec
import pytest

from tidegauge.cli.check import Check, Level, worst
from tidegauge.cli.doctor import doctor
from tidegauge.cli.doctor_machine import machine_checks
from tidegauge.runtime.environment import SettingsError


def one(level: Level) -> Check:
    return Check(what="part", level=level, found=f"it is {level}", remedy="mend it")


@pytest.mark.parametrize(
    ("levels", "status"),
    [((), 0), (("ok", "absent"), 0), (("ok", "warning"), 1), (("warning", "bad", "ok"), 2)],
)
def test_the_status_is_that_of_the_worst(levels: tuple[Level, ...], status: int) -> None:
    assert worst(map(one, levels)) == status


def test_every_check_is_printed_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [one("ok"), one("warning")]
    assert doctor({}, as_json=False, parts={"part": lambda _: checks}) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "WARN part                       it is warning",
        "                                -> mend it",
    ]
    assert doctor({}, as_json=True, parts={"part": lambda _: checks}) == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=list[Check]) == checks


def test_a_part_that_cannot_be_looked_at_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(_environment: Mapping[str, str]) -> Iterator[Check]:
        yield one("ok")
        raise SettingsError("TIDEGAUGE_KAFKA_… cannot be used")

    parts = {"kafka": fails, "other": lambda _: [one("absent")]}
    assert doctor({}, as_json=True, parts=parts) == 2
    found = msgspec.json.decode(capsys.readouterr().out, type=list[Check])
    assert [(check.what, check.level) for check in found] == [
        ("part", "ok"),
        ("kafka", "bad"),
        ("part", "absent"),
    ]


def test_without_an_embedded_part_its_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    found = {
        check.what: check for check in machine_checks({"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"})
    }
    assert "broker" not in found
    assert found["judge"].level == "bad"
    assert "set TIDEGAUGE_JUDGE_URL" in found["judge"].remedy


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
