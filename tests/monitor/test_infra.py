"""What Prometheus, Alertmanager and Grafana are given agrees with what the monitor serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tidegauge.capture.recorder import Recorder
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.capture_metrics import CaptureCollector
from tidegauge.monitor.cost_metrics import COST_NAMES
from tidegauge.monitor.metrics import NAMES
from tidegauge.monitor.notify.notifier import DeliveryMetrics

INFRA = Path(__file__).parents[2] / "infra"
RULES = ("cost", "pipeline", "verdicts")
METRIC = re.compile(r"\btidegauge_[a-z_]+")
LABEL = re.compile(r'(\w+)\s*(?:=~|!=|!~|=)\s*"')


def served() -> dict[str, set[str]]:
    """Return metric -> labels of everything that the monitor serves about its view."""
    registry = CollectorRegistry()
    delivery = DeliveryMetrics(registry)
    found = {name: set(labels) for name, (_, labels) in {**NAMES, **COST_NAMES}.items()}
    found["tidegauge_notifications_total"] = set(delivery.outcomes._labelnames)
    found["tidegauge_notification_failures"] = set(delivery.waiting._labelnames)
    return found


def captured(folder: Path) -> dict[str, set[str]]:
    """Return metric -> labels of everything that a gateway serves about capture."""
    with Recorder(CaptureSettings(directory=folder), ship=False) as recorder:
        collector = CaptureCollector(recorder, lambda: 0.0)
        return {
            sample.name: set(sample.labels)
            for family in collector.collect()
            for sample in family.samples
        }


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((INFRA / "grafana" / "tidegauge.json").read_text())
    return document


def queries() -> Iterator[str]:
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        yield variable.get("definition", "")
    for annotation in board["annotations"]["list"]:
        yield annotation["expr"]


def expressions(name: str) -> list[str]:
    document = yaml.safe_load((INFRA / "prometheus" / "rules" / f"{name}.yml").read_text())
    return [rule["expr"] for group in document["groups"] for rule in group["rules"]]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric of an expression with the labels that it is selected by."""
    for found in METRIC.finditer(expression):
        rest = expression[found.end() :]
        inside = rest[1 : rest.index("}")] if rest.startswith("{") else ""
        yield found[0], {label[1] for label in LABEL.finditer(inside)}


@pytest.mark.parametrize(
    "expression", [*queries(), *(found for name in RULES for found in expressions(name))]
)
def test_whatever_is_queried_is_served_with_those_labels(expression: str, tmp_path: Path) -> None:
    known = served() | captured(tmp_path)
    for metric, labels in selectors(expression):
        assert metric in known, expression
        assert labels <= known[metric], expression


def test_every_metric_is_of_use_to_the_dashboard() -> None:
    asked = {metric for expression in queries() for metric, _ in selectors(expression)}
    unused = set(served()) - asked
    assert unused <= {
        "tidegauge_failed_requests_total",  # a ratio of the display range is shown instead
        "tidegauge_ledger_served",
        "tidegauge_ledger_dropped",  # alerted on by the rules
        "tidegauge_worker_next_offset",
        "tidegauge_baseline_info",
        "tidegauge_swap_outcome",  # alerted on by the rules
        "tidegauge_gpu_energy_joules",  # on the page of costs
        "tidegauge_upstream_silence_seconds",  # alerted on by the rules
        "tidegauge_budget_usd",
        "tidegauge_upstream_unforwarded_tokens",
        "tidegauge_bill_forecast_usd",
        "tidegauge_bill_key_usd",
        "tidegauge_bill_line_usd",
        "tidegauge_bill_model_usd",
        "tidegauge_bill_requests_per_usd",  # that of the display range is shown
        "tidegauge_gpu_memory_used_bytes",
        "tidegauge_gpu_power_watts",
        "tidegauge_gpu_utilisation_ratio",  # engines' activity says more
        "node_total_hourly_cost",  # for OpenCost's dashboards, with the next two
        "node_gpu_hourly_cost",
        "node_gpu_count",
    }


def test_every_panel_says_what_it_shows() -> None:
    silent = [
        panel["title"]
        for panel in dashboard()["panels"]
        if panel["type"] != "row" and not panel.get("description")
    ]
    assert not silent


def test_panels_have_identities_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def _run(*command: str, folder: Path) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration() -> None:
    # The password's file is the operator's; the rules are checked below.
    command = ("promtool", "check", "config", "--syntax-only")
    _run(*command, "prometheus.yml", folder=INFRA / "prometheus")
    _run(*command, "prometheus.yaml", folder=INFRA / "docker")


@pytest.mark.parametrize("name", RULES)
def test_the_rules_alarm_when_they_should_and_only_then(name: str) -> None:
    folder = INFRA / "prometheus" / "rules"
    _run("promtool", "check", "rules", f"{name}.yml", folder=folder)
    assert "SUCCESS" in _run("promtool", "test", "rules", f"{name}_test.yml", folder=folder)


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "pager"), ("warn", "chat"), ("info", "nobody")]
)
def test_alertmanager_takes_its_configuration_and_routes_by_severity(
    severity: str, receiver: str
) -> None:
    folder = INFRA / "alertmanager"
    _run("amtool", "check-config", "alertmanager.yml", folder=folder)
    routed = _run(
        "amtool",
        "config",
        "routes",
        "test",
        "--config.file=alertmanager.yml",
        f"severity={severity}",
        "model=m",
        folder=folder,
    )
    assert routed.strip() == receiver


def test_chat_pager_and_mail_are_there_to_be_used() -> None:
    document = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text())
    kinds = {kind for receiver in document["receivers"] for kind in receiver} - {"name"}
    assert kinds == {"slack_configs", "pagerduty_configs", "email_configs"}


def test_one_incident_is_one_message_and_mutes_no_other_one() -> None:
    configuration = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text())
    assert configuration["route"]["group_by"] == ["model", "incident"]
    rules = configuration["inhibit_rules"]
    assert [rule["equal"] for rule in rules] == [["incident"], ["model"]]
    for side in ("source_matchers", "target_matchers"):
        assert 'incident=""' in rules[1][side], "an incident's alerts are muted by its own alone"


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        ({"alertname": "TidegaugeDrift", "signal": "drift"}, "WARN: m drift"),
        ({"alertname": "TidegaugeWorkerSilent"}, "WARN: m TidegaugeWorkerSilent"),
        ({}, "WARN: m several signals"),
    ],
)
def test_a_message_is_titled_by_what_its_alerts_share(
    labels: dict[str, str], title: str, tmp_path: Path
) -> None:
    configuration = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text())
    receivers = {one["name"]: one for one in configuration["receivers"]}
    (tmp_path / "data.json").write_text(
        json.dumps({"commonLabels": {"severity": "warn", "model": "m", **labels}})
    )
    (tmp_path / "empty.tmpl").write_text("")
    for template in (
        receivers["chat"]["slack_configs"][0]["title"],
        receivers["mail"]["email_configs"][0]["headers"]["Subject"],
    ):
        command = ("amtool", "template", "render", "--template.glob=*.tmpl")
        data = f"--template.data={tmp_path / 'data.json'}"
        said = _run(*command, data, f"--template.text={template}", folder=tmp_path)
        assert said.strip() == title


def test_no_alert_is_muted_by_what_it_has_not() -> None:
    configuration = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text())
    for rule in configuration["inhibit_rules"]:
        for label in rule["equal"]:
            for side in ("source_matchers", "target_matchers"):
                assert f'{label}=~".+"' in rule[side], "labels that are absent are equal"
