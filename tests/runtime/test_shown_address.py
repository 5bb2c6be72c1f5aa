"""No credentials of an address are printed, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidegauge.adapters.vllm import JudgeUnreachableError, VllmClient
from tidegauge.cli.doctor_models import model_checks
from tidegauge.gateway.http.addresses import Address
from tidegauge.gateway.policy.limit_counters import SharedCounters
from tidegauge.monitor.notify.receivers import Webhook
from tidegauge.runtime.environment import shown_address
from tidegauge.schemas.errors import TidegaugeError

ADDRESSES = (
    "http://ann:hunter2@host:8000/v1",
    "http://ann:hunter2@host:port/v1",
    "http://ann:hunter2",
    "http://:hunter2@host",
    "http://host/hunter2?key=hunter2#hunter2",
    "ftp://ann:hunter2@host",
    "http://ann:hunter2@[::1",
    "redis://ann:hunter2@host:99999999",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address: str) -> None:
    assert "hunter2" not in shown_address(address)


def test_an_address_without_secrets_is_shown_as_it_is() -> None:
    for address in ("http://host:8000", "https://[::1]:8000", "a:9092,b:9092", "plain"):
        assert shown_address(address) == address


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "read", [Address.parse, SharedCounters, VllmClient, lambda u: Webhook(u, "")]
)
def test_no_error_shows_an_addresss_secrets(read: Callable[[str], object], address: str) -> None:
    said = ""
    try:
        read(address)
    except TidegaugeError as error:
        said = f"{error} {error.__cause__}"
    assert "hunter2" not in said


@pytest.mark.parametrize("address", [*ADDRESSES, "http://127.0.0.1:1/hunter2?key=hunter2"])
def test_the_doctor_shows_no_secrets(address: str) -> None:
    environment = {"TIDEGAUGE_UPSTREAM_URL": address, "TIDEGAUGE_JUDGE_URL": address}
    checks = list(model_checks(environment))
    assert [check.level for check in checks] == ["bad", "bad"]
    for check in checks:
        assert "hunter2" not in check.found + check.remedy


async def test_a_judge_that_does_not_answer_is_named_without_its_secrets() -> None:
    async with VllmClient("http://ann:hunter2@127.0.0.1:9", attempts=1) as client:
        with pytest.raises(JudgeUnreachableError, match=r"http://127\.0\.0\.1:9") as raised:
            await client.read("m", ())
    assert "hunter2" not in str(raised.value)
