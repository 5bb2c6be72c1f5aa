"""The state of a detector, and its encoding as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.errors import EngineError
from tidegauge.detection.polya_urn import PolyaUrnState

__all__ = ["Block", "Evidence", "initial_blocks", "pack", "unpack"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_VERSION = 5


@dataclass(frozen=True, slots=True)
class Block:
    """The current block of time of the R indicators whose rate is a random draw in each.

    Attributes:
        number: Its number since the epoch, shape (R,); -1 before the first window.
        hits: Its events so far for which the indicator held, shape (R,).
        expected: What the band's upper and lower edge lead one to expect, shape (R, 2).
        log_begun: Log of each bet's statistic when it began, its duration included, shape (R, G).
    """

    number: Counts
    hits: Counts
    expected: Floats
    log_begun: Floats


def initial_blocks(indicators: int, bets: int) -> Block:
    """Return the state before the first window.

    Args:
        indicators: Number of indicators with blocks of time.
        bets: Number of bets on each.
    """
    return Block(
        number=np.full(indicators, -1, np.int64),
        hits=np.zeros(indicators, np.int64),
        expected=np.zeros((indicators, 2)),
        log_begun=np.full((indicators, bets), -np.inf),
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """The detector's whole state.

    Attributes:
        log_m: Log of each bet's Shiryaev-Roberts statistic, shape (J, G).
        since_seconds: When each bet's current run began, on the detector's own clock.
        hits: Events for which the indicator held in that run, shape (J, G).
        trials: Events for which it was evaluated in that run, shape (J, G).
        elapsed_seconds: Time observed.
        baseline: Id of the baseline that it belongs to.
        block: The current blocks of time.
        polya_urns: State of the bets on each Polya urn.
    """

    log_m: Floats
    since_seconds: Floats
    hits: Counts
    trials: Counts
    elapsed_seconds: float
    baseline: str
    block: Block
    polya_urns: tuple[PolyaUrnState, ...] = ()


class _PackedPolyaUrn(msgspec.Struct, frozen=True, kw_only=True):
    log_m: bytes
    since_seconds: bytes
    seen: bytes
    run: bytes
    recent: bytes
    growth: bytes
    unpriced: int


class _Packed(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    baseline: str
    elapsed_seconds: float
    shape: tuple[int, int]
    log_m: bytes
    since_seconds: bytes
    hits: bytes
    trials: bytes
    block_number: bytes
    block_hits: bytes
    block_expected: bytes
    block_begun: bytes
    polya_urns: tuple[_PackedPolyaUrn, ...] = ()


def pack(evidence: Evidence) -> bytes:
    """Encode evidence as plain, versioned data, which ``unpack`` restores bit for bit."""
    rows, columns = evidence.log_m.shape
    return msgspec.msgpack.encode(
        _Packed(
            version=_VERSION,
            baseline=evidence.baseline,
            elapsed_seconds=evidence.elapsed_seconds,
            shape=(rows, columns),
            log_m=evidence.log_m.astype("<f8").tobytes(),
            since_seconds=evidence.since_seconds.astype("<f8").tobytes(),
            hits=evidence.hits.astype("<i8").tobytes(),
            trials=evidence.trials.astype("<i8").tobytes(),
            block_number=evidence.block.number.astype("<i8").tobytes(),
            block_hits=evidence.block.hits.astype("<i8").tobytes(),
            block_expected=evidence.block.expected.astype("<f8").tobytes(),
            block_begun=evidence.block.log_begun.astype("<f8").tobytes(),
            polya_urns=tuple(_pack_polya_urn(state) for state in evidence.polya_urns),
        )
    )


def unpack(data: bytes) -> Evidence:
    """Decode evidence.

    Raises:
        EngineError: The data are not evidence, or their version is unknown.
    """
    try:
        packed = msgspec.msgpack.decode(data, type=_Packed)
        if packed.version != _VERSION:
            raise EngineError(
                f"evidence of version {packed.version}, this reader knows {_VERSION}: "
                "upgrade, or start from no evidence"
            )
        return Evidence(
            log_m=_array(packed.log_m, "<f8", packed.shape),
            since_seconds=_array(packed.since_seconds, "<f8", packed.shape),
            hits=_array(packed.hits, "<i8", packed.shape).astype(np.int64),
            trials=_array(packed.trials, "<i8", packed.shape).astype(np.int64),
            elapsed_seconds=packed.elapsed_seconds,
            baseline=packed.baseline,
            block=Block(
                number=_array(packed.block_number, "<i8").astype(np.int64),
                hits=_array(packed.block_hits, "<i8").astype(np.int64),
                expected=_array(packed.block_expected, "<f8", (-1, 2)),
                log_begun=_array(packed.block_begun, "<f8", (-1, packed.shape[1])),
            ),
            polya_urns=tuple(_unpack_polya_urn(state) for state in packed.polya_urns),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise EngineError(f"these bytes are no evidence: {error}") from error


def _pack_polya_urn(state: PolyaUrnState) -> _PackedPolyaUrn:
    return _PackedPolyaUrn(
        log_m=state.log_m.astype("<f8").tobytes(),
        since_seconds=state.since_seconds.astype("<f8").tobytes(),
        seen=state.seen.astype("<i8").tobytes(),
        run=state.run.astype("<i8").tobytes(),
        recent=state.recent.astype("<f8").tobytes(),
        growth=state.growth.astype("<f8").tobytes(),
        unpriced=state.unpriced,
    )


def _unpack_polya_urn(packed: _PackedPolyaUrn) -> PolyaUrnState:
    return PolyaUrnState(
        log_m=_array(packed.log_m, "<f8"),
        since_seconds=_array(packed.since_seconds, "<f8"),
        seen=_array(packed.seen, "<i8").astype(np.int64),
        run=_array(packed.run, "<i8").astype(np.int64),
        recent=_array(packed.recent, "<f8"),
        growth=_array(packed.growth, "<f8"),
        unpriced=packed.unpriced,
    )


def _array(data: bytes, kind: str, shape: tuple[int, ...] = (-1,)) -> Floats:
    return np.frombuffer(data, dtype=kind).reshape(shape).copy()
