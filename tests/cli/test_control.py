from __future__ import annotations

import msgspec
import pytest
import typer
from tests.usecases.log import alarm, put_alarm
from typer.testing import CliRunner

from tidegauge.cli.acknowledge import app as acknowledge
from tidegauge.cli.close import app as close
from tidegauge.cli.control import checked_monitor, checked_segment, parse_duration
from tidegauge.cli.errors import CommandError, NotFoundError
from tidegauge.cli.silence import app as silence
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, decode
from tidegauge.schemas.operations import Control
from tidegauge.schemas.topics import CONTROLS

RUNNER = CliRunner()


@pytest.fixture
def cli_kafka(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    return kafka


@pytest.fixture
def _alarm(kafka: KafkaSettings) -> None:
    put_alarm(kafka, alarm("latency.total", Segment(model="m", version="v1"), 1_000, 2_000))


def last(kafka: KafkaSettings) -> Control:
    *_, record = reader.read(kafka, CONTROLS)
    return decode(record.value, Control)


@pytest.mark.usefixtures("_alarm")
def test_an_acknowledgement_is_published_in_a_persons_name(cli_kafka: KafkaSettings) -> None:
    arguments = [
        "latency.total",
        "--segment",
        "m/v1//",
        "--who",
        "Ada",
        "--note",
        "known",
        "--json",
    ]
    result = RUNNER.invoke(acknowledge, arguments)
    assert result.exit_code == 0
    (said,) = msgspec.json.decode(result.stdout, type=list[Control])
    assert last(cli_kafka) == said
    assert (said.action, said.monitor, said.segment) == ("acknowledge", "latency.total", "m/v1//")
    assert (said.who, said.note, said.until_ms) == ("Ada", "known", None)


@pytest.mark.usefixtures("_alarm")
def test_a_closed_alarm_is_published_as_such(cli_kafka: KafkaSettings) -> None:
    result = RUNNER.invoke(close, ["latency.total", "--who", "Ada"])
    assert result.exit_code == 0
    assert "closed: latency.total on * (1 alarm), by Ada" in result.stdout
    assert last(cli_kafka).action == "close"


@pytest.mark.usefixtures("_alarm")
@pytest.mark.parametrize("command", [acknowledge, close])
@pytest.mark.parametrize("said", [["cost.request"], ["latency.total", "--segment", "other/*"]])
def test_where_nothing_fires_nothing_is_done_and_that_is_said(
    cli_kafka: KafkaSettings, command: typer.Typer, said: list[str]
) -> None:
    RUNNER.invoke(silence, ["errors.rate"])
    result = RUNNER.invoke(command, said)
    assert isinstance(result.exception, NotFoundError)
    assert "fires, so there is nothing to" in str(result.exception)
    assert last(cli_kafka).action == "silence"


def test_a_silence_ends_when_it_was_told_to(cli_kafka: KafkaSettings) -> None:
    result = RUNNER.invoke(silence, ["quality.*", "--for", "30m", "--note", "load test"])
    assert result.exit_code == 0
    assert "quality.* on *" in result.stdout
    said = last(cli_kafka)
    assert said.action == "silence"
    assert said.until_ms == said.time_ms + 30 * 60_000


@pytest.mark.parametrize("name", ["latency", "speed.total", "", "drift topics"])
def test_a_monitor_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match=r"there is no monitor .* one of latency, quality"):
        checked_monitor(name)


@pytest.mark.parametrize("name", ["*", "lat*", "quality.likelihood", "pipeline.*"])
def test_names_and_patterns_are_taken(name: str) -> None:
    assert checked_monitor(name) == name


def test_a_segment_is_a_key_or_a_pattern() -> None:
    assert checked_segment("m/v1//") == "m/v1//"
    assert checked_segment("m/*") == "m/*"
    with pytest.raises(CommandError, match="--segment: a segment's key has 4 parts"):
        checked_segment("m/v1")


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2w"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="write 30m, 2h or 1d"):
        parse_duration(text)
