"""The Helm chart's objects are those of the manifests, and its switches add what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.packaging.helm_subset import ChartError, render
from typer.testing import CliRunner

from tidegauge.cli.commands import app
from tidegauge.runtime.environment import known_variables

INFRA = Path(__file__).parents[2] / "infra"
CHART = INFRA / "helm" / "tidegauge"
EVERYTHING = {"keda": {"enabled": True}, "prometheusOperator": {"enabled": True}}


def manifests(*folders: str) -> list[dict[str, Any]]:
    return [
        document
        for folder in ("", *folders)
        for path in sorted((INFRA / "kubernetes" / folder).glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] not in {"Kustomization", "Component", "Namespace"}
    ]


def identity(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def by_identity(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {identity(document): document for document in documents}
    assert len(found) == len(documents)
    return found


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents
        if document["kind"] in {"Deployment", "StatefulSet"}
    }


@pytest.mark.parametrize(
    ("values", "folders"),
    [({}, ()), (EVERYTHING, ("components/keda", "components/prometheus-operator"))],
    ids=["plain", "everything"],
)
def test_the_chart_has_the_objects_of_the_manifests(
    values: Mapping[str, Any], folders: tuple[str, ...]
) -> None:
    ours, theirs = by_identity(render(CHART, values)), by_identity(manifests(*folders))
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {("ConfigMap", "tidegauge-settings")}:
        kind, _ = name
        if kind not in {"Deployment", "StatefulSet"}:
            assert ours[name]["spec"] == theirs[name]["spec"], name


def test_pods_run_what_those_of_the_manifests_run() -> None:
    ours, theirs = pods(render(CHART, {})), pods(manifests())
    assert ours.keys() == theirs.keys()
    for name, pod in ours.items():
        (container,), (other,) = pod["containers"], theirs[name]["containers"]
        same = ("args", "env", "ports", "resources", "securityContext", "readinessProbe", "envFrom")
        for part in same:
            assert container[part] == other[part], f"{name}: {part}"
        assert pod["securityContext"] == theirs[name]["securityContext"]
        assert {variable["name"] for variable in container["env"]} <= known_variables()
        assert CliRunner().invoke(app, [*container["args"], "--help"]).exit_code == 0


def test_values_reach_the_objects() -> None:
    values = {
        "image": "tidegauge:1",
        "settings": {"TIDEGAUGE_LATENESS_SECONDS": 30},
        "workers": {"drift": {"replicas": 3}},
        "networkPolicy": {"enabled": False},
        "secrets": "ours",
    }
    found = by_identity(render(CHART, values, release="blue"))
    assert found["ConfigMap", "blue-settings"]["data"]["TIDEGAUGE_LATENESS_SECONDS"] == "30"
    assert found["Deployment", "drift-worker"]["spec"]["replicas"] == 3
    assert not [name for name in found if name[0] == "NetworkPolicy"]
    for pod in pods(list(found.values())).values():
        (container,) = pod["containers"]
        assert container["image"] == "tidegauge:1"
        assert container["envFrom"][0]["configMapRef"]["name"] == "blue-settings"
        assert container["envFrom"][1]["secretRef"]["name"] == "ours"


def test_keda_alone_sets_the_replicas() -> None:
    found = by_identity(render(CHART, {"keda": {"enabled": True}}))
    assert "replicas" not in found["Deployment", "drift-worker"]["spec"]
    assert found["ScaledObject", "drift-worker"]["spec"]["maxReplicaCount"] == 4


def test_the_autoscaler_alone_sets_the_gateways_replicas() -> None:
    found = by_identity(render(CHART, {"gateway": {"replicas": 3}}))
    assert "replicas" not in found["StatefulSet", "gateway"]["spec"]
    scaler = found["HorizontalPodAutoscaler", "gateway"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 8)
    assert ("StatefulSet", scaler["scaleTargetRef"]["name"]) in found

    fixed = {"gateway": {"replicas": 3, "autoscaling": {"enabled": False}}}
    found = by_identity(render(CHART, fixed))
    assert found["StatefulSet", "gateway"]["spec"]["replicas"] == 3
    assert ("HorizontalPodAutoscaler", "gateway") not in found


@pytest.mark.nightly
@pytest.mark.parametrize("objects", [manifests(), render(CHART, {})], ids=["manifests", "chart"])
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_kubernetes_own_schemas_accept_every_object(
    objects: list[dict[str, Any]], version: str
) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    assert len(objects) > 10
    for document in objects:
        kubernetes_validate.validate(document, version, strict=True)


def test_settings_of_the_chart_are_read() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["settings"].keys() <= known_variables()


@pytest.mark.parametrize(
    "template", ["{{ .Values.absent }}", "{{ tpl .Values.image }}", "{{- if .Values.image }}"]
)
def test_a_construct_that_is_not_known_is_refused(template: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "values.yaml").write_text("image: one")
    (tmp_path / "templates" / "bad.yaml").write_text(f"a: {template}")
    with pytest.raises(ChartError):
        render(tmp_path, {})


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["plain", "everything"])
def test_helm_renders_the_same(values: Mapping[str, Any], tmp_path: Path) -> None:
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    helm = shutil.which("helm", path=places)
    if helm is None:
        pytest.skip("helm is not installed")
    subprocess.run([helm, "lint", "--strict", str(CHART)], check=True)
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    command = [helm, "template", "tidegauge", str(CHART), "--values", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rendered = [document for document in yaml.safe_load_all(done.stdout) if document]
    assert by_identity(rendered) == by_identity(render(CHART, values))
