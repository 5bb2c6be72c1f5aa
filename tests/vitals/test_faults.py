from __future__ import annotations

from tidegauge.schemas.exchange import ErrorKind
from tidegauge.vitals.faults import SERVICE_FAULTS, is_service_fault


def test_every_error_kind_has_an_owner() -> None:
    assert set(SERVICE_FAULTS) == set(ErrorKind)


def test_a_clients_mistake_is_not_the_services() -> None:
    assert not is_service_fault(ErrorKind.RATE_LIMITED)
    assert is_service_fault(ErrorKind.UPSTREAM_INTERRUPTED)
