"""Which partition a record's key belongs to, as Kafka's own clients choose it."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from
from typing import Any, Final

from kafka.partitioner.default import DefaultPartitioner

__all__ = ["GroupPartitioner", "partition_of"]

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    r"""Return the partition of a key: its murmur2 hash, without the sign, modulo their number.

    Of a key with line feeds only the part before the last one counts: see ``record_key``.

    kafka-python computes the same byte by byte, which takes twice as long, and again for each
    event of an exchange.

    Args:
        key: The key.
        partitions: The number of partitions.

    Example:
        >>> partition_of(b"req-1", 6), partition_of(b"req-1\nreq-2", 6)
        (5, 5)
    """
    return (_murmur2(_group(key)) & 0x7FFFFFFF) % partitions


def _group(key: bytes) -> bytes:
    return key.rpartition(b"\n")[0] or key


class GroupPartitioner(DefaultPartitioner):  # type: ignore[misc] # kafka-python has no types
    """Chooses the partition of a record as ``partition_of`` does, for a producer."""

    def partition(  # noqa: D102, PLR0913, PLR0917 - kafka-python's
        self,
        topic: str,
        key: object,
        serialized_key: bytes | None,
        value: object,
        serialized_value: bytes | None,
        cluster: Any,  # noqa: ANN401 - kafka-python's
    ) -> int:
        group = None if serialized_key is None else _group(serialized_key)
        chosen: int = super().partition(topic, key, group, value, serialized_value, cluster)
        return chosen


@lru_cache(maxsize=16)
def _murmur2(key: bytes) -> int:
    """Return the 32-bit MurmurHash2 of a key (Appleby 2008) with the seed of Kafka's clients.

    Events that are made together mostly share their key.
    """
    size = len(key)
    whole = size // 4
    value = _SEED ^ size
    for word in unpack_from(f"<{whole}I", key):
        mixed = word * _FACTOR & _MASK
        value = (value * _FACTOR ^ (mixed ^ mixed >> 24) * _FACTOR) & _MASK
    if size % 4:
        rest = int.from_bytes(key[4 * whole :], "little")
        value = (value ^ rest) * _FACTOR & _MASK
    value = (value ^ value >> 13) * _FACTOR & _MASK
    return value ^ value >> 15
