"""Checkpoints: a partition's state in the state topic, split into as many records as it takes.

A checkpoint may carry *pending* outputs: outputs of the same commit that may not have been
published yet. On a broker without transactions the checkpoint is written before them, so that
after a crash the same outputs are published again instead of being recomputed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import msgspec

from tidegauge.schemas import DecodeError, decode, encode
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.errors import SnapshotError, SnapshotVersionError
from tidegauge.streaming.processor import Record

__all__ = [
    "PART_BYTES",
    "Checkpoint",
    "EncodedRecord",
    "LastRecord",
    "LatestSnapshots",
    "TopicIdentity",
    "assemble",
    "encode_checkpoint",
    "parts",
    "without_pending",
]

PART_BYTES = 512 * 1024
"""Largest part of a checkpoint in one record, in bytes: encoded, it stays below 1 MB."""

VERSION = 1


class EncodedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record ready to be written; the broker adds partition and offset."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class LastRecord(msgspec.Struct, frozen=True):
    """The last record of a partition that was processed.

    Attributes:
        offset: Its offset.
        digest: CRC-32 of its key and its value.
    """

    offset: int
    digest: int

    @classmethod
    def of(cls, record: Record) -> LastRecord:
        """Return what is kept of a record."""
        return cls(record.offset, zlib.crc32(record.value, zlib.crc32(record.key or b"")))


class TopicIdentity(msgspec.Struct, frozen=True):
    """What tells a partition's topic from another topic of the same name.

    Attributes:
        topic_id: The broker's id of the topic; empty if unknown, as with old brokers.
        last: The last record that was processed; None if there was none.
    """

    topic_id: str = ""
    last: LastRecord | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One partition's state, and the outputs to publish with it.

    Attributes:
        owner: ``group/topic-partition``.
        generation: Number of this owner's checkpoint; identifies the parts that belong to it.
        next_offset: Offset of the first record that the state does not include.
        state: The processor's snapshot.
        pending: Outputs that may not have been published yet.
        topic: What tells the topic from another one of the same name.
        version: Version of this format.
    """

    owner: str
    generation: int
    next_offset: int
    state: bytes
    pending: tuple[EncodedRecord, ...] = ()
    topic: TopicIdentity = TopicIdentity()
    version: int = VERSION


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    generation: int
    parts: int
    payload: bytes
    version: int = VERSION


_encoder = msgspec.msgpack.Encoder()
_checkpoint_decoder = msgspec.msgpack.Decoder(Checkpoint)
_part_decoder = msgspec.msgpack.Decoder(_Part)


def without_pending(checkpoint: Checkpoint, *, generation: int | None = None) -> Checkpoint:
    """Return a checkpoint without its pending outputs.

    Args:
        checkpoint: The checkpoint.
        generation: The new generation; None keeps the given checkpoint's.
    """
    return msgspec.structs.replace(
        checkpoint, pending=(), generation=generation or checkpoint.generation
    )


def parts(checkpoint: Checkpoint) -> Iterator[tuple[str, Snapshot]]:
    """Yield a checkpoint's records with their keys, in the order in which to write them.

    The last record has the owner as its key and makes the checkpoint valid; the others have
    keys that the previous checkpoint did not use, so that a crash in between harms neither.
    """
    packed = zlib.compress(_encoder.encode(checkpoint), level=1)
    payloads = [packed[i : i + PART_BYTES] for i in range(0, len(packed), PART_BYTES)]
    for index in reversed(range(len(payloads))):
        part = _Part(generation=checkpoint.generation, parts=len(payloads), payload=payloads[index])
        snapshot = Snapshot(
            owner=checkpoint.owner, next_offset=checkpoint.next_offset, state=_encoder.encode(part)
        )
        yield _key(checkpoint.owner, checkpoint.generation, index), snapshot


def encode_checkpoint(checkpoint: Checkpoint) -> list[EncodedRecord]:
    """Return a checkpoint as records of the state topic, in the order in which to write them."""
    return [
        EncodedRecord(topic=STATE.name, key=key.encode(), value=encode(snapshot))
        for key, snapshot in parts(checkpoint)
    ]


def _key(owner: str, generation: int, index: int) -> str:
    return f"{owner}/{generation % 2}/{index}" if index else owner


def assemble(owner: str, found: Mapping[str, Snapshot]) -> Checkpoint | None:
    """Join the parts of an owner's last checkpoint.

    Args:
        owner: ``group/topic-partition``.
        found: The last snapshot of each key.

    Returns:
        None where the owner has no checkpoint.

    Raises:
        SnapshotVersionError: The checkpoint was written in another format.
        SnapshotError: A part is missing or cannot be read.
    """
    if owner not in found:
        return None
    first = _read(owner, found[owner])
    payload = first.payload
    for index in range(1, first.parts):
        key = _key(owner, first.generation, index)
        part = _read(owner, found[key]) if key in found else None
        if part is None or part.generation != first.generation:
            raise SnapshotError(
                f"part {index} of {first.parts} of the snapshot of {owner} is missing: "
                "check that the state topic is compacted and not cut by retention"
            )
        payload += part.payload
    try:
        return _checkpoint_decoder.decode(zlib.decompress(payload))
    except (zlib.error, msgspec.DecodeError) as error:
        raise SnapshotError(f"the snapshot of {owner} cannot be read: {error}") from error


class LatestSnapshots:
    """The last snapshot of each key of the state topic, those that cannot be read included."""

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self._unreadable: dict[str, str] = {}

    def owners(self) -> frozenset[str]:
        """Return the owners that have a snapshot, readable or not."""
        return frozenset(found.owner for found in self._snapshots.values()) | frozenset(
            "/".join(key.split("/", 2)[:2]) for key in self._unreadable
        )

    def take(self, key: bytes | None, value: bytes) -> None:
        """Take the next record of the topic; a tombstone erases the snapshot of its key."""
        name = (key or b"").decode(errors="replace")
        self._snapshots.pop(name, None)
        self._unreadable.pop(name, None)
        if not value:
            return
        try:
            self._snapshots[name] = decode(value, Snapshot)
        except DecodeError as error:
            self._unreadable[name] = str(error)

    def clear(self) -> None:
        """Forget all snapshots."""
        self._snapshots.clear()
        self._unreadable.clear()

    def checkpoint(self, owner: str) -> Checkpoint | None:
        """Return an owner's last checkpoint; see ``assemble``.

        Raises:
            SnapshotError: It cannot be read. It is not taken for none, since a worker that begins
                anew would count again what has been counted.
        """
        if owner in self._unreadable:
            raise SnapshotError(
                f"the snapshot of {owner} cannot be read: {self._unreadable[owner]}: "
                "run the release that wrote it, or start the group under another name"
            )
        return assemble(owner, self._snapshots)


def _read(owner: str, snapshot: Snapshot) -> _Part:
    try:
        part = _part_decoder.decode(snapshot.state)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"the snapshot of {owner} cannot be read: {error}") from error
    if part.version != VERSION:
        raise SnapshotVersionError(owner=owner, found=part.version, known=VERSION)
    return part
