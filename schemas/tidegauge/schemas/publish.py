"""Write the published schemas: ``python -m tidegauge.schemas.publish [--check | --release]``.

``published/`` holds a JSON Schema for each event and one AsyncAPI document, generated from
the code. ``published/released/`` holds the JSON Schemas of the last release, which
existing readers rely on. Nothing is written while a change breaks one of those readers; the
event's ``schema_version`` has to be raised then.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tidegauge.schemas.asyncapi import document
from tidegauge.schemas.compatibility import breakages
from tidegauge.schemas.json_schemas import event_schema, file_name
from tidegauge.schemas.topics import ALL_TOPICS

__all__ = ["ASYNCAPI", "PUBLISHED", "broken", "generate", "main", "read", "stale", "write"]

PUBLISHED: Final = Path(__file__).parent / "published"
ASYNCAPI: Final = "asyncapi.json"
_RELEASED: Final = "released"

Documents = Mapping[str, dict[str, Any]]
"""File name -> its contents."""


def generate() -> dict[str, dict[str, Any]]:
    """Generate all published documents from the code."""
    kinds = dict.fromkeys(kind for topic in ALL_TOPICS.values() for kind in topic.carries)
    made = {ASYNCAPI: document(), **{file_name(kind): event_schema(kind) for kind in kinds}}
    return {name: json.loads(json.dumps(contents)) for name, contents in made.items()}


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the documents of a folder."""
    return {path.name: json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def stale(current: Documents, published: Documents) -> list[str]:
    """Return the names of documents that differ between the code and the folder."""
    names = current.keys() | published.keys()
    return sorted(name for name in names if current.get(name) != published.get(name))


def broken(current: Documents, released: Documents) -> list[str]:
    """Return the changes that break readers of the released schemas, one line each.

    An event whose ``schema_version`` was raised has a new file and is not compared: older
    readers refuse it by its version.
    """
    return [
        f"{name}: {breakage}"
        for name, schema in released.items()
        if name in current
        for breakage in breakages(schema, current[name])
    ]


def write(documents: Documents, folder: Path) -> None:
    """Write these documents to a folder, and delete its other JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.name not in documents:
            path.unlink()
    for name, contents in documents.items():
        text = json.dumps(contents, indent=2, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the published schemas, or only check them; return 0 on success, 1 on problems."""
    parser = argparse.ArgumentParser(prog="python -m tidegauge.schemas.publish")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="write nothing, say what is wrong")
    choice.add_argument(
        "--release", action="store_true", help="also make these the schemas of the last release"
    )
    chosen = parser.parse_args(arguments)
    current = generate()
    problems = broken(current, read(PUBLISHED / _RELEASED))
    if problems:
        hint = "raise the event's schema_version, or undo the change"
        sys.stderr.write("\n".join([*problems, f"readers of the last release break: {hint}\n"]))
        return 1
    if chosen.check:
        outdated = stale(current, read(PUBLISHED))
        for name in outdated:
            sys.stderr.write(f"{name} is not what the code says: run `make generate`\n")
        return 1 if outdated else 0
    write(current, PUBLISHED)
    if chosen.release:
        events = {name: schema for name, schema in current.items() if name != ASYNCAPI}
        write(events, PUBLISHED / _RELEASED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
