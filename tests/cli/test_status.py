"""The digest of a shift, the alarms and the monitors, from the log alone."""

from __future__ import annotations

import time

import msgspec
import pytest
from typer.testing import CliRunner

from tidegauge.cli.alerts import app as alerts
from tidegauge.cli.monitors import app as monitors
from tidegauge.cli.status import app as status
from tidegauge.cli.try_alert import app as try_alert
from tidegauge.cli.wrapping import wrapped
from tidegauge.monitoring.incidents import IncidentSummary
from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, Topic
from tidegauge.schemas.findings import Alert, AlertStatus, Signal, State, Verdict
from tidegauge.schemas.topics import ALERTS, VERDICTS
from tidegauge.streaming.processor import Output

RUNNER = CliRunner()
HOUR = 3_600_000
V2 = Segment(model="chat", version="v2", route="/v1/chat/completions")
SENTENCE = (
    "Answers are judged worse: 61% of 420 against 10% in the baseline, where "
    "up to 16.5% is normal. It coincides with the swap from version v1 to v2. \x1b[31m"
)


def verdict(monitor: str, signal: Signal, state: State) -> Verdict:
    return Verdict(
        monitor=monitor,
        signal=signal,
        segment=V2,
        time_ms=round(time.time() * 1000),
        state=state,
        sentence=SENTENCE if state == State.CRITICAL else "As in the baseline.",
        log_statistic=1.0,
        log_threshold=10.0,
    )


def alert(alert_id: str, status: AlertStatus, ago_ms: int) -> Alert:
    then = round(time.time() * 1000) - ago_ms
    return Alert(
        alert_id=alert_id,
        monitor="quality.likelihood",
        signal="quality",
        segment=V2,
        severity="critical",
        status=status,
        starts_ms=then - 60_000,
        time_ms=then,
        summary=f"chat, version v2: {SENTENCE}",
        verdict=verdict("quality.likelihood", "quality", State.CRITICAL),
        incident=alert_id,
        onset_ms=then - 120_000,
        new_version="v2",
    )


@pytest.fixture(scope="module")
def filled(broker: Broker) -> KafkaSettings:
    """A log of a shift: one alarm fires since two days, one ended an hour ago, one long ago."""
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    said: list[tuple[Topic, Alert | Verdict]] = [
        (ALERTS, alert("old", "firing", 48 * HOUR)),
        (ALERTS, alert("ended", "firing", 2 * HOUR)),
        (ALERTS, alert("ended", "resolved", HOUR)),
        (ALERTS, alert("forgotten", "resolved", 30 * HOUR)),
        (VERDICTS, verdict("quality.likelihood", "quality", State.CRITICAL)),
        (VERDICTS, verdict("latency.total", "latency", State.OK)),
    ]
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(topic, event.monitor, event, "test", "id", 0) for topic, event in said
        )
    return kafka


@pytest.fixture(autouse=True)
def _settings(filled: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", filled.bootstrap_servers)
    monkeypatch.setenv("COLUMNS", "80")


def test_the_digest_tells_what_fires_and_what_has_ended_in_the_shift() -> None:
    result = RUNNER.invoke(status, ["--since", "12h"])
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "1 incident firing, 1 ended in the last 12 h" in said
    assert "critical: v2 since" in said
    assert "nobody has it" in said
    assert "If a new version coincides, send the traffic back" in said
    assert "page: /i/old" in said
    assert "page: /i/ended" in said
    assert "forgotten" not in said
    assert "Monitors: 1 critical, 1 ok" in said


@pytest.mark.parametrize("app", [status, alerts, monitors])
def test_nothing_is_cut_or_runs_over_80_columns(app: object) -> None:
    result = RUNNER.invoke(app, [])  # type: ignore[arg-type]  # a typer application
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "up to 16.5% is normal" in " ".join(result.stdout.split())
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("app", [status, alerts, monitors])
def test_json_is_one_array(app: object) -> None:
    result = RUNNER.invoke(app, ["--json"])  # type: ignore[arg-type]  # as above
    found = msgspec.json.decode(result.stdout)
    assert isinstance(found, list)
    assert found


def test_incidents_come_as_the_api_tells_them() -> None:
    found = msgspec.json.decode(
        RUNNER.invoke(status, ["--json"]).stdout, type=list[IncidentSummary]
    )
    assert [(one.incident_id, one.fires) for one in found] == [("old", True), ("ended", False)]


def test_alerts_are_those_that_fire_unless_one_asks_for_more() -> None:
    firing = msgspec.json.decode(RUNNER.invoke(alerts, ["--json"]).stdout, type=list[Alert])
    assert [one.alert_id for one in firing] == ["old"]
    since = RUNNER.invoke(alerts, ["--json", "--since", "3h"]).stdout
    assert [one.alert_id for one in msgspec.json.decode(since, type=list[Alert])] == [
        "old",
        "ended",
    ]


def test_monitors_can_be_asked_for_by_state() -> None:
    result = RUNNER.invoke(monitors, ["--state", "ok"])
    assert "ok: latency.total" in result.stdout
    assert "quality" not in result.stdout
    assert "none is refused" in RUNNER.invoke(monitors, ["--state", "refused"]).stdout


@pytest.mark.parametrize("severity", ["warn", "critical"])
def test_a_test_alert_fires_and_ends_and_says_that_it_is_a_test(severity: str) -> None:
    result = RUNNER.invoke(try_alert, ["--severity", severity, "--for", "0s", "--json"])
    fired, ended = msgspec.json.decode(result.stdout, type=list[Alert])
    assert (fired.severity, fired.status, ended.status) == (severity, "firing", "resolved")
    assert "This is a test" in fired.summary
    told = msgspec.json.decode(
        RUNNER.invoke(alerts, ["--json", "--since", "1m"]).stdout, type=list[Alert]
    )
    assert [one.status for one in told if one.alert_id == fired.alert_id] == ["resolved"]
    assert RUNNER.invoke(try_alert, ["--severity", "loud"]).exit_code == 2


def test_a_long_word_is_not_broken() -> None:
    assert "x" * 90 in wrapped(f"a {'x' * 90} b", 40)
