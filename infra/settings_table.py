"""Write README's table of settings from the settings themselves.

python infra/settings_table.py README.md            rewrites the table in place
python infra/settings_table.py --check README.md    fails if it is not up to date
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
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from readme_part import with_part

from tidegauge.capture.settings import CaptureSettings, LiteLLMSettings
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.workers.drift.settings import DriftSettings
from tidegauge.workers.judge.settings import JudgeSettings
from tidegauge.workers.vitals.settings import VitalsSettings

SERVICES: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("all", KafkaSettings),
    ("gateway", GatewaySettings),
    ("drift worker", DriftSettings),
    ("vitals worker", VitalsSettings),
    ("judge worker", JudgeSettings),
    ("monitor", MonitorSettings),
)


def _variable(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, AliasChoices):
        return next(str(choice) for choice in field.validation_alias.choices if choice != name)
    return f"{settings.model_config['env_prefix']}{name}".upper()


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
            variable = _variable(settings, name, field)
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


def main(arguments: list[str]) -> int:
    """Rewrite or check the file; return the exit status."""
    path = Path(arguments[-1])
    new = with_part(path, "settings", table())
    if "--check" not in arguments:
        path.write_text(new, encoding="utf-8")
        return 0
    old = path.read_text(encoding="utf-8")
    changes = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "README", "settings"))
    print("\n".join(changes), end="\n" if changes else "")
    return bool(changes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
