"""How a partition's state lies in the log: one document, in as many records as it takes.

A document may carry *pending* outputs: those that were decided together with the state and may
not have been published yet. On a log without transactions it is written before them, so that
after a crash they are published again, the same, instead of being decided again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import msgspec

from tidegauge.schemas.operations import Snapshot
from tidegauge.streaming.errors import SnapshotError, SnapshotVersionError

__all__ = ["PART_BYTES", "Checkpoint", "EncodedRecord", "assemble", "parts", "without_pending"]

PART_BYTES = 512 * 1024
"""Most bytes of a document in one record: with its encoding still below 1 MB."""

VERSION = 1


class EncodedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it is to be written, but for its partition and offset."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One partition's state, and what is to be published with it.

    Attributes:
        owner: ``group/topic-partition``.
        generation: Counts this owner's documents; tells the parts of two apart.
        next_offset: First record that the state has not seen.
        state: The processor's own bytes.
        pending: Outputs that may not have been published yet.
        version: Of this format.
    """

    owner: str
    generation: int
    next_offset: int
    state: bytes
    pending: tuple[EncodedRecord, ...] = ()
    version: int = VERSION


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    generation: int
    parts: int
    payload: bytes
    version: int = VERSION


_encoder = msgspec.msgpack.Encoder()
_document = msgspec.msgpack.Decoder(Checkpoint)
_part = msgspec.msgpack.Decoder(_Part)


def without_pending(document: Checkpoint, *, generation: int | None = None) -> Checkpoint:
    """Return a document without outputs: they are published, or go beside it.

    Args:
        document: The document.
        generation: Its new one, where it follows the other in the log.
    """
    return msgspec.structs.replace(
        document, pending=(), generation=generation or document.generation
    )


def parts(document: Checkpoint) -> Iterator[tuple[str, Snapshot]]:
    """Yield a document's records with their keys, in the order in which to write them.

    The last one has the owner as its key and makes the document count; the others lie under
    keys that the document before did not use, so that a crash in between harms neither.
    """
    packed = zlib.compress(_encoder.encode(document), level=1)
    payloads = [packed[i : i + PART_BYTES] for i in range(0, len(packed), PART_BYTES)]
    for index in reversed(range(len(payloads))):
        part = _Part(generation=document.generation, parts=len(payloads), payload=payloads[index])
        snapshot = Snapshot(
            owner=document.owner, next_offset=document.next_offset, state=_encoder.encode(part)
        )
        yield _key(document.owner, document.generation, index), snapshot


def _key(owner: str, generation: int, index: int) -> str:
    return f"{owner}/{generation % 2}/{index}" if index else owner


def assemble(owner: str, found: Mapping[str, Snapshot]) -> Checkpoint | None:
    """Put an owner's last document together.

    Args:
        owner: ``group/topic-partition``.
        found: The last snapshot of each key.

    Returns:
        None where the owner has no document.

    Raises:
        SnapshotVersionError: It was written in another format.
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
        return _document.decode(zlib.decompress(payload))
    except (zlib.error, msgspec.DecodeError) as error:
        raise SnapshotError(f"the snapshot of {owner} cannot be read: {error}") from error


def _read(owner: str, snapshot: Snapshot) -> _Part:
    try:
        part = _part.decode(snapshot.state)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"the snapshot of {owner} cannot be read: {error}") from error
    if part.version != VERSION:
        raise SnapshotVersionError(owner=owner, found=part.version, known=VERSION)
    return part
