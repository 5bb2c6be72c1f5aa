from __future__ import annotations

from pathlib import Path

import pytest

from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.processes.deployment import Ports, command, services


def test_ports_are_the_services_defaults_unless_variables_name_others() -> None:
    assert Ports.from_environment({}) == Ports(8080, 8090, 8091, 8092, 8093)
    assert Ports.from_environment({"TIDEGAUGE_MONITOR_PORT": "9000"}).monitor == 9_000


@pytest.mark.parametrize("text", ["http", "-1", "70000", "80.5"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=f"TIDEGAUGE_GATEWAY_PORT is '{text}'"):
        Ports.from_environment({"TIDEGAUGE_GATEWAY_PORT": text})


def test_free_ports_differ() -> None:
    ports = Ports.free()
    assert len({ports.gateway, ports.monitor, ports.drift, ports.vitals, ports.judge}) == 5


def test_every_service_is_told_its_port_and_logs_to_its_file(tmp_path: Path) -> None:
    planned = services({"KEPT": "yes"}, Ports(1, 2, 3, 4, 5), tmp_path)
    assert planned[0].name == "gateway"
    assert len({service.log for service in planned}) == len(planned) == 5
    for service in planned:
        port = service.ready_url.split(":")[2].split("/")[0]
        assert port in service.environment.values()
        assert service.environment["KEPT"] == "yes"


def test_a_command_is_named_by_its_words(tmp_path: Path) -> None:
    built = command(("baseline", "build", "--from", "12"), {}, tmp_path)
    assert built.name == "tidegauge baseline build"
    assert built.command[-4:] == ("baseline", "build", "--from", "12")
