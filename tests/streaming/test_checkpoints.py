from __future__ import annotations

import random

import msgspec
import pytest

from tidegauge.schemas.operations import Snapshot
from tidegauge.streaming.checkpoints import (
    Checkpoint,
    EncodedRecord,
    LatestSnapshots,
    assemble,
    encode_checkpoint,
    parts,
    without_pending,
)
from tidegauge.streaming.errors import SnapshotError, SnapshotVersionError

OWNER = "drift/requests.v1-0"


def checkpoint(generation: int, size: int = 10) -> Checkpoint:
    noise = random.Random(generation).randbytes(size)  # noqa: S311 - a fixed seed
    return Checkpoint(
        owner=OWNER,
        generation=generation,
        next_offset=generation * 10,
        state=noise,
        pending=(EncodedRecord(topic="t", key=b"k", value=b"v", headers=(("h", b"x"),)),),
    )


def test_a_small_document_is_one_record_under_its_owner() -> None:
    ((key, snapshot),) = parts(checkpoint(1))
    assert key == OWNER
    assert snapshot.next_offset == 10
    assert assemble(OWNER, {key: snapshot}) == checkpoint(1)


def test_a_large_document_is_several_and_comes_back_whole() -> None:
    large = checkpoint(1, 2_000_000)
    found = dict(parts(large))
    assert len(found) == 4
    assert max(len(snapshot.state) for snapshot in found.values()) < 600_000
    assert assemble(OWNER, found) == large


def test_a_crash_between_parts_leaves_the_document_before() -> None:
    before, after = checkpoint(1, 2_000_000), checkpoint(2, 2_000_000)
    found = dict(parts(before))
    for key, snapshot in list(parts(after))[:-1]:
        found[key] = snapshot
        assert assemble(OWNER, found) == before
    found.update(parts(after))
    assert assemble(OWNER, found) == after


def test_an_owner_without_a_document_has_none() -> None:
    assert assemble("other", dict(parts(checkpoint(1)))) is None


def test_a_missing_part_is_named() -> None:
    found = dict(parts(checkpoint(1, 2_000_000)))
    del found[f"{OWNER}/1/2"]
    with pytest.raises(SnapshotError, match="part 2 of 4 of the snapshot of drift/requests"):
        assemble(OWNER, found)


def test_a_later_version_is_refused() -> None:
    part = msgspec.msgpack.encode({"generation": 1, "parts": 1, "payload": b"", "version": 2})
    with pytest.raises(SnapshotVersionError, match="has version 2"):
        assemble(OWNER, {OWNER: Snapshot(owner=OWNER, next_offset=0, state=part)})


@pytest.mark.parametrize("state", [b"", b"nonsense"])
def test_bytes_that_are_no_document_are_refused(state: bytes) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        assemble(OWNER, {OWNER: Snapshot(owner=OWNER, next_offset=0, state=state)})


def test_a_settled_document_has_nothing_pending() -> None:
    assert without_pending(checkpoint(1), generation=2).pending == ()
    assert without_pending(checkpoint(1), generation=2).generation == 2
    assert without_pending(checkpoint(1)).generation == 1


def test_a_snapshot_that_cannot_be_read_is_not_taken_for_none() -> None:
    owner = "drift/requests.v1-0"
    snapshots = LatestSnapshots()
    (kept,) = encode_checkpoint(Checkpoint(owner=owner, generation=1, next_offset=7, state=b"x"))
    snapshots.take(kept.key, kept.value)
    assert snapshots.checkpoint(owner) is not None
    snapshots.take(kept.key, b'{"version": 99}')
    assert snapshots.owners() == {owner}
    with pytest.raises(SnapshotError, match=r"cannot be read.*under another name"):
        snapshots.checkpoint(owner)
    snapshots.take(kept.key, b"")
    assert (snapshots.owners(), snapshots.checkpoint(owner)) == (frozenset(), None)
