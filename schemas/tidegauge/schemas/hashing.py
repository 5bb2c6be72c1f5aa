"""Hashes of texts, the same in every process and on every machine.

Sampling, ranking and splitting by a hash therefore give the same result everywhere.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["hash_64", "short_hash", "unit_hash"]


def hash_64(text: str) -> int:
    """Return the 64-bit BLAKE2b hash of a text, as a whole number below 2**64.

    Example:
        >>> hash_64("request") == hash_64("request") < 2**64
        True
    """
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def unit_hash(text: str) -> float:
    """Return a hash in [0, 1), uniform over texts: the upper 53 bits of ``hash_64``.

    Example:
        >>> 0 <= unit_hash("request") < 1
        True
    """
    return (hash_64(text) >> 11) / 2.0**53


def short_hash(text: str) -> str:
    """Return eight hexadecimal digits that name a text to people, such as a system prompt.

    Example:
        >>> len(short_hash("You are a harbour master."))
        8
    """
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
