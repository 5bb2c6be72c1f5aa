"""Every kind of error has an outcome, so that no error is counted as nobody's."""

from __future__ import annotations

import typing

from tidegauge.schemas.exchange import ErrorKind, ExchangeOutcome, outcome_of


def test_every_kind_of_error_has_an_outcome() -> None:
    outcomes = {kind: outcome_of(kind) for kind in ErrorKind}
    assert set(outcomes.values()) <= set(typing.get_args(ExchangeOutcome)) - {"ok", "pending"}
    assert outcomes[ErrorKind.RATE_LIMITED] == "rejected"
    assert outcomes[ErrorKind.UPSTREAM_INTERRUPTED] == "failed"
    assert outcomes[ErrorKind.CLIENT_DISCONNECTED] == "cancelled"
    assert outcome_of(None) == "ok"
