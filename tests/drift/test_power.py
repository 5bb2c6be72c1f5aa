from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection.polya_urn import (
    PolyaUrn,
    initial_state,
    log_statistic,
    observe_cells,
    ready,
)
from tidegauge.detection.reference import OPEN_BELOW, Reference
from tidegauge.drift.power import detection_delay

SHARE = 0.3
LOG_THRESHOLD = math.log(30 * 86_400)
AT_ONCE = 10


def of_an_urn_alone(reference: Reference, urn: PolyaUrn) -> Reference:
    """Return a reference whose bands never gain."""
    edges = (OPEN_BELOW,) * len(reference.low), (1 - OPEN_BELOW,) * len(reference.high)
    return msgspec.structs.replace(reference, low=edges[0], high=edges[1], polya_urns=(urn,))


def noticed_after(urn: PolyaUrn, strange: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the events until the urn alarms, in a stream with a share of unusual ones."""
    bets = ready(urn)
    state = initial_state(bets)
    rates = (1 - SHARE) * rng.dirichlet(bets.spacings) + SHARE * strange
    for window in range(1, 400):
        hits = rng.multinomial(AT_ONCE, rates)
        state = observe_cells(bets, state, hits, duration_seconds=10, elapsed_seconds=10 * window)
        if log_statistic(bets, state) >= LOG_THRESHOLD:
            return AT_ONCE * window
    return math.inf


def test_how_soon_an_urn_notices_depends_on_its_size(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    made = build(*world.ask(400, range(8))).openings
    reference, rng = made.references[""], np.random.default_rng(0)
    named = reference.polya_urns[-1]
    beyond = np.linspace(0.95, 0.2, len(named.spacings) - 1)
    owners = named.owners[1:]
    rates = {reference.indicators[j].name: beyond[n] for n, j in enumerate(owners)}
    strange = -np.diff(beyond, prepend=1.0, append=0.0)
    for size in (60.0, 400.0, 4_000.0):
        scale = size / sum(named.spacings)
        urn = msgspec.structs.replace(
            named, spacings=tuple(scale * one for one in named.spacings), tolerance=0.0
        )
        told = detection_delay(of_an_urn_alone(reference, urn), rates, SHARE)
        found = float(np.median([noticed_after(urn, strange, rng) for _ in range(40)]))
        assert told == found == math.inf or told == pytest.approx(found, rel=0.3)
