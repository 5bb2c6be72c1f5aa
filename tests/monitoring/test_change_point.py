from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tidegauge.monitoring.detector import (
    ChangePointState,
    advance_change_point,
    no_change_point,
    pack_change_point,
    unpack_change_point,
)
from tidegauge.monitoring.errors import MonitorStateError


def test_a_run_begins_with_the_first_window_after_zero() -> None:
    onset = no_change_point((1, 1))
    for window, gain in enumerate([-1.0, -1.0, 2.0, -1.0, 3.0]):
        onset = advance_change_point(
            onset, np.array([[gain]]), np.array([1]), np.array([4]), window * 1_000
        )
    assert onset.since_ms.item() == 2_000
    assert onset.log_w.item() == 4.0
    assert (onset.hits.item(), onset.trials.item()) == (3, 12)


def test_the_same_bits_come_back() -> None:
    rng = np.random.default_rng(1)
    onset = no_change_point((3, 10))
    for window in range(9):
        gains = rng.normal(size=(3, 10))
        onset = advance_change_point(onset, gains, rng.integers(0, 5, 3), np.full(3, 5), window)
    data = msgspec.msgpack.encode(pack_change_point(onset))
    back = unpack_change_point(msgspec.msgpack.decode(data, type=ChangePointState))
    for name in ("log_w", "since_ms", "hits", "trials"):
        np.testing.assert_array_equal(getattr(back, name), getattr(onset, name))


def test_broken_numbers_are_refused() -> None:
    broken = msgspec.structs.replace(pack_change_point(no_change_point((2, 2))), hits=b"123")
    with pytest.raises(MonitorStateError, match="snapshot is broken"):
        unpack_change_point(broken)
