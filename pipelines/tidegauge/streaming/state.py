"""A sketching worker's state of one partition, as plain versioned data."""

from __future__ import annotations

import msgspec

from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.schemas.upstream_events import UpstreamMinute
from tidegauge.streaming.errors import SnapshotError, SnapshotSettingsError, SnapshotVersionError
from tidegauge.streaming.tallies import Activity

__all__ = ["VERSION", "PartitionState", "read_state", "write_state"]

VERSION = 2


class PartitionState(msgspec.Struct, frozen=True, kw_only=True):
    """A partition's whole state: later outputs depend on it and on later records alone.

    ``closed_ms`` covers the windows that idle time has closed. It is committed with their
    outputs, so that they stay closed after a restart.

    Attributes:
        version: Version of this format.
        owner: ``group/topic-partition``.
        kind: Kind of worker.
        window_ms: Length of a window.
        accuracy: Relative accuracy of the histograms.
        next_offset: Offset of the first record that was not counted.
        sequence: The last sequence given to a sketch or progress.
        latest_ms: Greatest event time seen.
        closed_ms: Windows that end at or before it are closed.
        accounts: Producer -> what is known of it, the one heard last at the end.
        totals: Name -> total since the group began.
        looked_at: Indicators that are not evaluated for every event.
        segments: Segments counted under their own name, and when they were last active.
        open_windows: Windows not closed yet, as sketches with sequence 0.
        late_since_ms: See ``Watermark``.
        work: Work of upstreams that is not published yet.
        sessions: State of the sessions that are open, if they are followed.
    """

    owner: str
    kind: SketchKind
    window_ms: int
    accuracy: float
    next_offset: int
    sequence: int
    latest_ms: int | None
    closed_ms: int
    accounts: dict[str, Activity]
    totals: dict[str, int]
    looked_at: tuple[str, ...]
    segments: tuple[tuple[Segment, int], ...]
    open_windows: tuple[Sketch, ...]
    late_since_ms: int | None = None
    work: tuple[UpstreamMinute, ...] = ()
    sessions: bytes = b""
    version: int = VERSION


class _Version(msgspec.Struct):
    version: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PartitionState)
_version = msgspec.msgpack.Decoder(_Version)


def write_state(state: PartitionState) -> bytes:
    """Encode a state."""
    return _encoder.encode(state)


def read_state(
    data: bytes, *, owner: str, kind: SketchKind, window_ms: int, accuracy: float
) -> PartitionState:
    """Decode a state and check that it fits the owner and the settings.

    Raises:
        SnapshotVersionError: It was written in another format.
        SnapshotSettingsError: It is another owner's, or its windows or histograms differ.
        SnapshotError: The bytes cannot be decoded as a state.
    """
    try:
        found = _version.decode(data).version
        if found != VERSION:
            raise SnapshotVersionError(owner=owner, found=found, known=VERSION)
        state = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"the snapshot of {owner} cannot be read: {error}") from error
    wanted = {"owner": owner, "kind": kind, "window_ms": window_ms, "accuracy": accuracy}
    for setting, value in wanted.items():
        had = getattr(state, setting)
        if had != value:
            raise SnapshotSettingsError(owner=owner, setting=setting, found=had, wanted=value)
    return state
