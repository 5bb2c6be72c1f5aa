"""Write the table of settings, and the list of known variables, from the settings.

python infra/settings_table.py docs/SETTINGS.md            rewrites both in place
python infra/settings_table.py --check docs/SETTINGS.md    fails if one is not up to date
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from document_part import with_part
from tidegauge.capture.settings import CaptureSettings, KafkaAccess, LiteLLMSettings
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import Settings
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.workers.drift.settings import DriftSettings
from tidegauge.workers.judge.settings import JudgeSettings
from tidegauge.workers.vitals.settings import VitalsSettings

SERVICES: tuple[tuple[str, type[Settings]], ...] = (
    ("all", KafkaSettings),
    ("gateway", GatewaySettings),
    ("drift worker", DriftSettings),
    ("vitals worker", VitalsSettings),
    ("judge worker", JudgeSettings),
    ("monitor", MonitorSettings),
    ("monitor, baselines", BaselineSettings),
)

ELSEWHERE = (
    "TIDEGAUGE_BENCH_TEXTS",  # make bench-embed
    "TIDEGAUGE_DATA_DIR",  # tests and benchmarks on data sets
    "TIDEGAUGE_LITELLM_PYTHON",  # tests with a LiteLLM of their own
    "TIDEGAUGE_LOG_FORMAT",  # runtime/telemetry.py
    "TIDEGAUGE_LOG_LEVEL",  # the same
    "TIDEGAUGE_TEST_STREAMS",  # tests of the gateway with many streams
    "TIDEGAUGE_TORCH_INDEX",  # make install and the demo
)
"""Variables that no class of settings reads."""

VARIABLES = Path(__file__).parents[1] / "services/tidegauge/runtime/variables.txt"


def _shown(default: Any) -> str:  # noqa: ANN401 - any setting's default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default == "":
        return ""
    if isinstance(default, tuple | dict):
        return f"`{msgspec.json.encode(default).decode()}`"
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text.replace(str(Path.home()), '~')}`"


def _pydantic_rows() -> Iterator[tuple[str, str, str, str]]:
    seen: dict[str, list[str]] = {}
    rows: dict[str, tuple[str, str]] = {}
    for service, settings in SERVICES:
        for name, field in settings.model_fields.items():
            variable = settings.variable(name)
            seen.setdefault(variable, []).append(service)
            rows.setdefault(
                variable,
                (_shown(field.get_default(call_default_factory=True)), field.description or ""),
            )
    for variable, (default, description) in rows.items():
        yield variable, ", ".join(seen[variable]), default, description


def _capture_rows() -> Iterator[tuple[str, str, str, str]]:
    for prefix, service, settings in (
        ("TIDEGAUGE_CAPTURE_", "producers", CaptureSettings),
        ("TIDEGAUGE_LITELLM_", "LiteLLM's callback", LiteLLMSettings),
    ):
        described = dict(
            re.findall(
                r"^ {4}(\w+): (.*(?:\n {8}.*)*)",
                inspect.cleandoc(settings.__doc__ or ""),
                re.MULTILINE,
            )
        )
        for field in msgspec.structs.fields(settings):
            if field.name != "kafka":
                text = " ".join(described[field.name].split()).replace("``", "`")
                yield f"{prefix}{field.name.upper()}", service, _shown(field.default), text


def table() -> str:
    """Return the table in Markdown."""
    lines = ["| Variable | Read by | Default | Meaning |", "|---|---|---|---|"]
    for variable, service, default, description in (*_pydantic_rows(), *_capture_rows()):
        lines.append(f"| `{variable}` | {service} | {default} | {description.replace('|', '/')} |")
    return "\n".join(lines)


def variables() -> str:
    """Return the names of all variables that something reads, a line each."""
    names = {settings.variable(name) for _, settings in SERVICES for name in settings.model_fields}
    for prefix, kind in (
        ("TIDEGAUGE_CAPTURE_", CaptureSettings),
        ("TIDEGAUGE_KAFKA_", KafkaAccess),
        ("TIDEGAUGE_LITELLM_", LiteLLMSettings),
    ):
        names |= {f"{prefix}{field.name.upper()}" for field in msgspec.structs.fields(kind)}
    names -= {"TIDEGAUGE_CAPTURE_KAFKA", "TIDEGAUGE_KAFKA_BOOTSTRAP_SERVERS"}
    return "".join(f"{name}\n" for name in sorted(names.union(ELSEWHERE)))


def main(arguments: list[str]) -> int:
    """Rewrite or check the files; return the exit status."""
    path = Path(arguments[-1])
    changes: list[str] = []
    for file, new in (
        (path, with_part(path, "settings", table())),
        (VARIABLES, variables()),
    ):
        if "--check" not in arguments:
            file.write_text(new, encoding="utf-8")
            continue
        old = file.read_text(encoding="utf-8")
        changes += difflib.unified_diff(old.splitlines(), new.splitlines(), file.name, "settings")
    print("\n".join(changes), end="\n" if changes else "")
    return bool(changes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
