from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from tidegauge.runtime.environment import SettingsError, bad_value, refuse_unknown
from tidegauge.runtime.settings import Settings, Variable, WindowSettings, in_force, load


class Example(Settings):
    prefix = "TIDEGAUGE_DRIFT_"

    port: int = Field(default=8091, ge=0, le=65_535)
    window: Annotated[float, Variable("TIDEGAUGE_WINDOW_SECONDS")] = Field(default=10.0, gt=0)
    group: tuple[str, ...] = ("drift",)
    host: SecretStr = Field(default=SecretStr("none"), max_length=3)


def refused(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(Example, environment)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_fields_are_read_from_their_variables() -> None:
    found = load(
        Example,
        {
            "TIDEGAUGE_DRIFT_PORT": "9000",
            "TIDEGAUGE_WINDOW_SECONDS": "2.5",
            "TIDEGAUGE_DRIFT_GROUP": '["a", "b"]',
            "PORT": "1",
            "WINDOW": "1",
        },
    )
    assert (found.port, found.window, found.group) == (9000, 2.5, ("a", "b"))


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(Example, {"TIDEGAUGE_DRIFT_PORT": ""}) == Example()


@pytest.mark.parametrize(
    ("variable", "value", "allowed", "default"),
    [
        ("TIDEGAUGE_DRIFT_PORT", "http", "must be a valid integer", "8091"),
        ("TIDEGAUGE_WINDOW_SECONDS", "0", "must be greater than 0", "10.0"),
        ("TIDEGAUGE_DRIFT_GROUP", "a", "must be JSON", '["drift"]'),
        ("TIDEGAUGE_DRIFT_GROUP", "[1]", "must be a valid string at 0", '["drift"]'),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    variable: str, value: str, allowed: str, default: str
) -> None:
    assert refused({variable: value}) == (
        f"{variable} is {value!r}: it {allowed}; change it, or unset it to use {default}"
    )


def test_each_bad_value_has_a_line() -> None:
    message = refused({"TIDEGAUGE_DRIFT_PORT": "x", "TIDEGAUGE_WINDOW_SECONDS": "x"})
    assert [line.split()[0] for line in message.splitlines()] == [
        "TIDEGAUGE_DRIFT_PORT",
        "TIDEGAUGE_WINDOW_SECONDS",
    ]


def test_a_secret_is_not_shown() -> None:
    message = refused({"TIDEGAUGE_DRIFT_HOST": "hunter2"})
    assert "TIDEGAUGE_DRIFT_HOST is a secret that is not shown: it must" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ftp://user:hunter2@host:1/hunter2?hunter2", "'ftp://host:1/…'"),
        ("user:hunter2@host", "'host'"),
        ("//user:hun/ter2@host", "'host'"),
    ],
)
def test_the_credentials_in_an_address_are_not_shown(value: str, shown: str) -> None:
    assert f" is {shown}: " in bad_value("TIDEGAUGE_JUDGE_URL", value, "must be one")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("TIDEGAUGE_WINDOW_SECOND", "did you mean TIDEGAUGE_WINDOW_SECONDS?"),
        ("tidegauge_window_seconds", "did you mean TIDEGAUGE_WINDOW_SECONDS?"),
        ("TIDEGAUGE_MONITOR_PASWORD", "did you mean TIDEGAUGE_MONITOR_PASSWORD?"),
        ("TIDEGAUGE_XYZZY_1234567890", "unset it"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WindowSettings, {name: "hunter2"})
    assert str(caught.value).startswith(f"{name} is no variable of tidegauge's: {hint}")
    assert "hunter2" not in str(caught.value)


def test_variables_of_other_services_and_other_programs_are_let_through() -> None:
    refuse_unknown({"TIDEGAUGE_GATEWAY_PORT": "1", "TIDEGAUGE_LOG_LEVEL": "info", "PATH": "/bin"})


class Addressed(Settings):
    prefix = "TIDEGAUGE_MONITOR_"

    webhook_url: str = Field(default="", description="Where it goes.")
    port: int = 8090
    password: SecretStr = SecretStr("")
    group: tuple[str, ...] = ()


def test_settings_in_force_show_no_secrets() -> None:
    given = Addressed(
        webhook_url="https://ada:word@hooks.example/services/T0/secret",
        password=SecretStr("another word"),
        group=("a",),
    )
    shown = {item.variable: item.value for item in in_force(given)}
    assert shown == {
        "TIDEGAUGE_MONITOR_WEBHOOK_URL": "hooks.example",
        "TIDEGAUGE_MONITOR_PORT": "8090",
        "TIDEGAUGE_MONITOR_PASSWORD": "set",
        "TIDEGAUGE_MONITOR_GROUP": '["a"]',
    }
    assert [item.is_default for item in in_force(given)] == [False, True, False, False]
    assert {item.value for item in in_force(Addressed())} == {"", "8090", "[]"}
    assert in_force(given)[0].description == "Where it goes."
