"""What ``tidegauge doctor`` says of an upgrade: what earlier releases left that this one reads.

Baselines in force, the states of the workers and of the monitor, and outboxes are each read as
the services would read them, so that whoever upgrades knows before anything is restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, get_args

from tidegauge.capture.frame import Damage, Incomplete, read_header
from tidegauge.capture.runs import Run, list_runs
from tidegauge.capture.settings import CaptureSettings
from tidegauge.cli.check import Check
from tidegauge.reports.formatting import count
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.diagnosis import diagnose
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import SketchKind
from tidegauge.schemas.topics import BASELINES, SKETCHES, STATE
from tidegauge.streaming.checkpoints import LatestSnapshots
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.state import read_state

__all__ = ["StateOwner", "baseline_checks", "outbox_checks", "state_checks", "upgrade_checks"]

_WORKERS: Final[Mapping[str, tuple[SketchKind, str, str]]] = {
    "drift worker": ("drift", "tidegauge.workers.drift.settings", "DriftSettings"),
    "vitals worker": ("vitals", "tidegauge.workers.vitals.settings", "VitalsSettings"),
    "judge worker": ("quality", "tidegauge.workers.judge.settings", "JudgeSettings"),
}
"""Service -> what it measures, and the module and the name of its settings' class."""

_HEADER_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class StateOwner:
    """A service with states in the log.

    Attributes:
        service: Its name.
        group: Its consumer group.
        variable: The setting of the group.
        restore: Reads the state of an owner, ``group/topic-partition``; raises if it cannot.
    """

    service: str
    group: str
    variable: str
    restore: Callable[[str, bytes], object]


def upgrade_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check that this release reads what earlier ones have left.

    Args:
        environment: Variables; without a broker that lets this client in, only outboxes are read.

    Raises:
        TidegaugeError: A setting cannot be used, or the broker stops answering.
    """
    yield from outbox_checks(CaptureSettings.from_environment(environment))
    if not environment.get("KAFKA_BOOTSTRAP_SERVERS"):
        return
    kafka = load(KafkaSettings, environment)
    if diagnose(kafka.client()) is not None:
        return  # told with Kafka's checks
    there = {state.topic.name for state in list_topics(kafka) if state.partitions}
    if BASELINES.name in there:
        yield from baseline_checks(kafka)
    if STATE.name in there:
        yield from state_checks(kafka, tuple(_owners(environment)))


def baseline_checks(kafka: KafkaSettings) -> Iterator[Check]:
    """Check that the baselines in force can be read.

    Raises:
        LogError: The broker does not answer.
    """
    try:
        from tidegauge.usecases.references import LogBaselines  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError:
        return  # reported with the extras
    documents = LogBaselines(kafka)
    for kind in get_args(BaselineKind):
        baseline_id = documents.active(kind)
        if baseline_id is None:
            continue
        try:
            documents.references(kind, baseline_id)
        except TidegaugeError as error:
            yield Check(
                what=f"baseline of {kind}",
                level="bad",
                found=f"in force, and cannot be carried over: {error}",
                remedy=f"tidegauge baseline build --kind {kind} --from -7d --activate",
            )
        else:
            yield Check(what=f"baseline of {kind}", level="ok", found=f"{baseline_id} is read")


def state_checks(kafka: KafkaSettings, owners: tuple[StateOwner, ...]) -> Iterator[Check]:
    """Check that each service can go on from its states.

    Args:
        kafka: How to reach Kafka.
        owners: The services.

    Raises:
        LogError: The broker does not answer.
    """
    snapshots = LatestSnapshots()
    for record in reader.read(kafka, STATE):
        snapshots.take(record.key, record.value)
    for owner in owners:
        mine = sorted(key for key in snapshots.owners() if key.startswith(f"{owner.group}/"))
        problems = [problem for key in mine if (problem := _problem(owner, key, snapshots))]
        if problems:
            yield Check(
                what=f"state of the {owner.service}",
                level="bad",
                found=f"cannot be carried over: {problems[0]}",
                remedy=f"go back to the release that wrote it, or begin afresh under another "
                f"group: export {owner.variable}={owner.group}-2",
            )
        elif mine:
            yield Check(
                what=f"state of the {owner.service}",
                level="ok",
                found=f"of {count(len(mine))} partitions is read",
            )


def _problem(owner: StateOwner, key: str, snapshots: LatestSnapshots) -> str:
    try:
        checkpoint = snapshots.checkpoint(key)
        if checkpoint is not None:
            owner.restore(key, checkpoint.state)
    except TidegaugeError as error:
        return str(error)
    return ""


def _owners(environment: Mapping[str, str]) -> Iterator[StateOwner]:
    """Yield the services that are installed."""
    for service, (kind, module, name) in _WORKERS.items():
        try:
            settings_class: Any = getattr(import_module(module), name)
        except ModuleNotFoundError:
            continue  # reported with the extras
        settings = load(settings_class, environment)
        yield StateOwner(
            service,
            settings.group,
            settings_class.variable("group"),
            partial(_restore, kind, settings.sketching()),
        )
    try:
        from tidegauge.monitor.settings import MonitorSettings  # noqa: PLC0415 - needs an extra
        from tidegauge.monitoring.monitor_processor import MonitorProcessor  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        return
    monitor = load(MonitorSettings, environment)

    def restore_monitor(owner: str, state: bytes) -> None:
        topic = owner.rpartition("/")[2].rpartition("-")[0]
        if state or topic == SKETCHES.name:
            MonitorProcessor(monitor.plan()).assign(Partition(topic, 0), state)

    yield StateOwner("monitor", monitor.group, MonitorSettings.variable("group"), restore_monitor)


def _restore(kind: SketchKind, sketching: SketchSettings, owner: str, state: bytes) -> object:
    window_ms, accuracy = sketching.window_ms, sketching.accuracy
    return read_state(state, owner=owner, kind=kind, window_ms=window_ms, accuracy=accuracy)


def outbox_checks(capture: CaptureSettings) -> Iterator[Check]:
    """Check that what gateways have captured and not shipped can be shipped by this release."""
    folder = capture.directory.absolute()
    if not folder.is_dir():
        return
    runs = list_runs(folder)
    refused = {run: found for run in runs if (found := _unreadable(run)) is not None}
    for run, (why, remedy) in refused.items():
        yield Check(
            what="outbox",
            level="bad",
            found=f"{run.path} cannot be carried over: {why}",
            remedy=remedy,
        )
    if runs and not refused:
        yield Check(what="outbox", level="ok", found=f"{count(len(runs))} runs in {folder}")


def _unreadable(run: Run) -> tuple[str, str] | None:
    """Return why a run's segments cannot be shipped, and what to do; None if they can.

    What is damaged, the shipper counts.
    """
    for first in run.segments():
        try:
            with run.segment(first).open("rb") as file:
                read_header(file.read(_HEADER_BYTES))
        except TidegaugeError as error:
            return str(error), "run 'tidegauge outbox ship' of the release that wrote it"
        except (Damage, Incomplete, FileNotFoundError):  # one that was shipped is deleted
            continue
        except OSError as error:
            why = f"segment {first} cannot be read: {error.strerror}"
            return why, "run this as the user that the gateway runs as"
    return None
