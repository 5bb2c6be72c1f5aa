"""What a command loads: production commands load nothing of the demo."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tidegauge.cli.commands import SUBCOMMANDS

_LOADED = (
    "import importlib, json, sys; importlib.import_module({!r}); print(json.dumps([*sys.modules]))"
)


def loaded_by(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(module)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "module",
    ["tidegauge.cli.up", "tidegauge.cli.main", "tidegauge.cli.doctor", SUBCOMMANDS["topics"][0]],
)
def test_a_command_loads_nothing_of_the_demo(module: str) -> None:
    loaded = loaded_by(module)
    assert module in loaded
    assert not [name for name in loaded if name.startswith("tidegauge.demo")]


def test_up_loads_no_service_and_none_of_their_libraries() -> None:
    loaded = loaded_by("tidegauge.cli.up")
    heavy = ("tidegauge.gateway", "tidegauge.workers", "tidegauge.monitor", "numpy", "torch")
    assert not [name for name in loaded if name.startswith(heavy)]


@pytest.mark.parametrize("module", ["tidegauge.monitor.main", "tidegauge.workers.drift.main"])
def test_a_service_is_back_soon_since_it_loads_no_statistics_library_whole(module: str) -> None:
    assert "scipy.stats" not in loaded_by(module)
