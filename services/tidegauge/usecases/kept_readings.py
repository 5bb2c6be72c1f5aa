"""What a model has read of labelled pairs, kept in a file: an interrupted measurement goes on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from tidegauge.quality.groundedness import Explained

__all__ = ["KeptReadings"]


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    key: str
    share: float | None = None
    lowest: float | None = None
    tokens: int = 0


class KeptReadings:
    """The readings of one judge's specification, by pair.

    Lines that cannot be read, such as one that was cut off with its process, are left out.

    Args:
        path: The file, made where it is missing.
        specification_hash: Readings of another specification or model are not used.
    """

    def __init__(self, path: Path, specification_hash: str) -> None:
        self._path = path
        self._specification_hash = specification_hash
        self._known: dict[str, Explained | None] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        lines = path.read_text(encoding="utf-8").split("\n")
        if lines[-1]:
            self._append("")  # ends a line that was cut off
        for text in lines:
            try:
                line = msgspec.json.decode(text, type=_Line)
            except msgspec.DecodeError:
                continue
            self._known[line.key] = (
                None
                if line.share is None or line.lowest is None
                else Explained(share=line.share, lowest=line.lowest, tokens=line.tokens)
            )

    def key(self, context: str, claim: str) -> str:
        """Return the key of a pair."""
        texts = f"{self._specification_hash}\x1f{context}\x1f{claim}"
        return hashlib.blake2b(texts.encode(errors="replace"), digest_size=16).hexdigest()

    def __contains__(self, key: str) -> bool:
        """Whether the pair was read."""
        return key in self._known

    def __getitem__(self, key: str) -> Explained | None:
        """Return what was read of a pair; None if the model could not read it."""
        return self._known[key]

    def keep(self, key: str, found: Explained | None) -> None:
        """Add what was read of a pair."""
        self._known[key] = found
        line = _Line(key) if found is None else _Line(key, found.share, found.lowest, found.tokens)
        self._append(msgspec.json.encode(line).decode())

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
