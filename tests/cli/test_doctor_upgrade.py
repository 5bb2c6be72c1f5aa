"""What earlier releases have left, as they wrote it (``earlier/``), and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from tests.monitoring.conftest import Traffic
from typer.testing import CliRunner

from tidegauge.capture.frame import MAGIC, encode_header
from tidegauge.capture.settings import CaptureSettings
from tidegauge.cli.check import Check
from tidegauge.cli.commands import app
from tidegauge.cli.doctor_upgrade import outbox_checks, upgrade_checks
from tidegauge.cli.up import tell_what_is_not_carried_over
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rates import FINGERPRINT, build_rates_baseline
from tidegauge.runtime.brokers import EmbeddedBroker
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import RESPONSES, SKETCHES
from tidegauge.streaming.checkpoints import Checkpoint, encode_checkpoint
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.vitals.settings import VitalsSettings

EARLIER = Path(__file__).with_name("earlier")
IN_VITALS = Partition(RESPONSES.name, 0)


@pytest.fixture
def own_kafka() -> Iterator[KafkaSettings]:
    if lack := EmbeddedBroker.missing():
        pytest.skip(lack)
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(settings)
        yield settings


def activate(kafka: KafkaSettings, kind: str, document: bytes) -> str:
    store = BaselineStore(kafka)
    fingerprint = FINGERPRINT if kind == "rates" else "drift/4"
    baseline_id = store.publish("rates" if kind == "rates" else "drift", document, fingerprint, {})
    store.activate(baseline_id)
    return baseline_id


def write_state(kafka: KafkaSettings, owner: str, state: bytes) -> None:
    with Publisher(kafka) as publisher:
        publisher.send(
            encode_checkpoint(Checkpoint(owner=owner, generation=1, next_offset=1, state=state))
        )


def write_outbox(folder: Path, header: bytes) -> Mapping[str, str]:
    run = folder / "outbox" / "gateway-1"
    run.mkdir(parents=True)
    (run / "owner.lock").touch()
    (run / f"{1:020}.log").write_bytes(header)
    return {"TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "outbox")}


def of(checks: Iterator[Check]) -> dict[str, tuple[str, str]]:
    return {check.what: (check.level, check.remedy) for check in checks}


@pytest.mark.integration
def test_what_an_earlier_release_left_is_named_with_the_command_to_run(
    own_kafka: KafkaSettings, tmp_path: Path
) -> None:
    activate(own_kafka, "drift", (EARLIER / "drift-form-3.msgpack").read_bytes())
    activate(own_kafka, "rates", (EARLIER / "rates-version-1.json").read_bytes())
    monitors = (EARLIER / "monitor-version-2.msgpack").read_bytes()
    write_state(own_kafka, f"monitor/{SKETCHES.name}-0", monitors)
    write_state(own_kafka, f"vitals/{IN_VITALS}", msgspec.msgpack.encode({"version": 0}))
    later = MAGIC + (99).to_bytes(2, "little") + encode_header("gateway-1")[10:]
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
        **write_outbox(tmp_path, later),
    }
    found = of(upgrade_checks(environment))
    back = "go back to the release that wrote it, or begin afresh under another group: export "
    build = "tidegauge baseline build --kind {} --from -7d --activate"
    assert {what: remedy for what, (level, remedy) in found.items() if level == "bad"} == {
        "outbox": "run 'tidegauge outbox ship' of the release that wrote it",
        "baseline of drift": build.format("drift"),
        "baseline of rates": build.format("rates"),
        "state of the vitals worker": f"{back}TIDEGAUGE_VITALS_GROUP=vitals-2",
        "state of the monitor": f"{back}TIDEGAUGE_MONITOR_GROUP=monitor-2",
    }

    afresh = {"TIDEGAUGE_VITALS_GROUP": "vitals-2", "TIDEGAUGE_MONITOR_GROUP": "monitor-2"}
    again = of(upgrade_checks(environment | afresh))
    assert not [what for what in again if what.startswith("state")]


@pytest.mark.integration
def test_what_this_release_wrote_is_carried_over(own_kafka: KafkaSettings, tmp_path: Path) -> None:
    traffic = Traffic()
    activate(own_kafka, "rates", build_rates_baseline(traffic.baseline_windows(60, 5)).to_bytes())
    vitals = SketchingProcessor(VitalsExtractor(), "vitals", VitalsSettings().sketching())
    vitals.assign(IN_VITALS, None)
    write_state(own_kafka, f"vitals/{IN_VITALS}", vitals.snapshot(IN_VITALS))
    monitor = MonitorProcessor(MonitorPlan())
    sketches = Partition(SKETCHES.name, 0)
    write_state(own_kafka, f"monitor/{sketches}", monitor.snapshot(sketches))
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
        **write_outbox(tmp_path, encode_header("gateway-1")),
    }
    found = of(upgrade_checks(environment))
    assert found == dict.fromkeys(
        ("outbox", "baseline of rates", "state of the vitals worker", "state of the monitor"),
        ("ok", ""),
    )
    other = of(upgrade_checks(environment | {"TIDEGAUGE_WINDOW_SECONDS": "60"}))
    assert other["state of the vitals worker"][0] == "bad"


def test_up_says_first_what_it_cannot_carry_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = MAGIC + (99).to_bytes(2, "little") + encode_header("gateway-1")[10:]
    kept = {name: value for name, value in os.environ.items() if "KAFKA" not in name}
    tell_what_is_not_carried_over({**kept, **write_outbox(tmp_path, later)})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"outbox: {tmp_path}/outbox/gateway-1 cannot be carried over: ")
    assert line.endswith(" -> run 'tidegauge outbox ship' of the release that wrote it")


def test_an_outbox_that_cannot_be_read_is_not_carried_over(tmp_path: Path) -> None:
    environment = write_outbox(tmp_path, encode_header("gateway-1"))
    (
        tmp_path / "outbox" / "gateway-1" / f"{2:020}.log"
    ).mkdir()  # as little to be read as another's
    (found,) = outbox_checks(CaptureSettings.from_environment(environment))
    assert (found.level, found.remedy) == ("bad", "run this as the user that the gateway runs as")
    assert "cannot be carried over: segment 2 cannot be read: Is a directory" in found.found


def test_an_unknown_part_is_refused() -> None:
    done = CliRunner().invoke(app, ["doctor", "--only", "upgrades"])
    assert "there is no part 'upgrades' to look at: name one of machine," in str(done.exception)
