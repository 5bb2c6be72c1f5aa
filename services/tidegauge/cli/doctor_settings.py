"""What ``tidegauge doctor`` says of the settings, and of the files and ports that they name."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tidegauge.capture.settings import CaptureSettings
from tidegauge.cli.check import Check
from tidegauge.cli.doctor_machine import port_check
from tidegauge.reports.formatting import count
from tidegauge.runtime.environment import SettingsError, refuse_unknown, without_unknown
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import Settings, load
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["settings_checks", "storage_checks"]

_SERVICES: Mapping[str, tuple[str, str]] = {
    "gateway": ("tidegauge.gateway.settings", "GatewaySettings"),
    "drift worker": ("tidegauge.workers.drift.settings", "DriftSettings"),
    "vitals worker": ("tidegauge.workers.vitals.settings", "VitalsSettings"),
    "judge worker": ("tidegauge.workers.judge.settings", "JudgeSettings"),
    "monitor": ("tidegauge.monitor.settings", "MonitorSettings"),
}
"""Service -> the module and the name of its settings' class."""

_OWN = ("KAFKA_BOOTSTRAP_SERVERS", "TIDEGAUGE_UPSTREAM_URL", "TIDEGAUGE_GATEWAY_CONFIG")
"""Variables of which one at least is set where more than the demonstration is to run."""


def settings_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check every setting, the files and folders that settings name, and the services' ports.

    Args:
        environment: Variables.
    """
    problems = tuple(dict.fromkeys(_problems(environment)))
    for line in problems:
        yield Check(what="settings", level="bad", found=line)
    if not problems:
        yield Check(what="settings", level="ok", found="every variable is known and has a value")
    known = without_unknown(environment)
    for service, kind in _kinds():
        try:
            settings: Any = load(kind, known)
        except SettingsError:
            continue  # told above
        yield port_check(service, settings.host, settings.port, kind.variable("port"))
        if service == "gateway" and any(known.get(name) for name in _OWN):
            yield from _gateway(settings)
    try:
        capture = CaptureSettings.from_environment(known)
    except SettingsError:
        return
    yield from storage_checks(capture)


def _problems(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that a service cannot use."""
    known = without_unknown(environment)
    yield from _refusal(refuse_unknown, environment)
    kinds: list[type[Settings]] = [KafkaSettings, *(kind for _, kind in _kinds())]
    for kind in kinds:
        yield from _refusal(partial(load, kind), known)
    yield from _refusal(CaptureSettings.from_environment, known)


def _refusal(
    read: Callable[[Mapping[str, str]], object], environment: Mapping[str, str]
) -> list[str]:
    try:
        read(environment)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def _kinds() -> Iterator[tuple[str, type[Settings]]]:
    for service, (module, name) in _SERVICES.items():
        try:
            yield service, getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:
            continue  # its extra is reported as missing


def _gateway(settings: Any) -> Iterator[Check]:  # noqa: ANN401 - of an extra
    try:
        settings.check()
    except TidegaugeError as error:
        yield Check(what="gateway", level="bad", found=str(error))
        return
    keys = settings.keys_file
    if keys is not None and not keys.exists():
        yield Check(
            what="client keys",
            level="bad",
            found=f"TIDEGAUGE_GATEWAY_KEYS_FILE is {keys}: there is no such file, "
            "and nobody may ask",
            remedy="make the first key with 'tidegauge keys create NAME', or mend the path",
        )
        return
    try:
        from tidegauge.gateway.policy.keys import load as load_keys  # noqa: PLC0415 - an extra
        from tidegauge.gateway.runtime import check_files  # noqa: PLC0415 - an extra

        check_files(settings)
        number = len(load_keys(keys)) if keys is not None else 0
    except ModuleNotFoundError:
        return  # reported with the extras
    except TidegaugeError as error:
        yield Check(what="gateway", level="bad", found=str(error))
        return
    if keys is None:
        yield Check(what="client keys", level="ok", found="none: this machine may ask without one")
    elif not number:
        yield Check(
            what="client keys",
            level="bad",
            found=f"{keys} has no key: nobody may ask",
            remedy="make one with 'tidegauge keys create NAME'",
        )
    else:
        yield Check(what="client keys", level="ok", found=f"{count(number)} in {keys}")


def storage_checks(capture: CaptureSettings) -> Iterator[Check]:
    """Check that the outbox can be written, and that its quota fits the disk."""
    folder = capture.directory.absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Check(
            what="outbox",
            level="bad",
            found=f"{folder} cannot be written: {error.strerror or error}",
            remedy="set TIDEGAUGE_CAPTURE_DIRECTORY to a folder that the gateway's user may write",
        )
        return
    free = shutil.disk_usage(there).free
    quota = capture.quota_bytes
    remedy = "free space, or lower TIDEGAUGE_CAPTURE_QUOTA_BYTES"
    found = f"{folder}: {_mebibytes(free)} free, its quota is {_mebibytes(quota)}"
    if free < capture.segment_bytes:
        yield Check(what="outbox", level="bad", found=found, remedy=remedy)
    elif free < quota - _used(capture.directory):
        harm = "; an outage fills the disk before the quota ends it"
        yield Check(what="outbox", level="warning", found=found + harm, remedy=remedy)
    else:
        yield Check(what="outbox", level="ok", found=found)


def _used(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except OSError:
        return 0


def _mebibytes(size: int) -> str:
    return f"{count(size >> 20)} MiB"
