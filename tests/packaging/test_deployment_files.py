"""The compose file and the manifests name commands and variables that exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tidegauge.cli.commands import app
from tidegauge.runtime.environment import known_variables

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


def test_the_compose_file_sets_variables_that_are_read() -> None:
    for name, service in _our_services():
        assert service["environment"].keys() <= KNOWN, name


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
    assert targets == {f"{name}:{port}" for name, port in listening.items()}


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


def test_kustomize_lists_every_manifest() -> None:
    listed = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in MANIFESTS if path.name != "kustomization.yaml"]
