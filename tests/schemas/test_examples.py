"""The golden examples: each is read, written back the same, and what its schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from tidegauge import schemas
from tidegauge.schemas import ALL_TOPICS, Event, decode, type_name
from tidegauge.schemas.json_schemas import file_name
from tidegauge.schemas.publish import PUBLISHED

EXAMPLES = sorted((PUBLISHED.parent / "examples").glob("*.json"))
KINDS: dict[str, type[Event]] = {
    type_name(kind): kind for topic in ALL_TOPICS.values() for kind in topic.carries
}


def kind_of(example: Path) -> type[Event]:
    return KINDS[".".join(example.name.split(".")[:2])]


def published_schema(kind: type[Event]) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((PUBLISHED / file_name(kind)).read_bytes())
    return schema


def test_every_event_has_an_example() -> None:
    assert {type_name(kind_of(example)) for example in EXAMPLES} == KINDS.keys()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_read_and_written_back_the_same(example: Path) -> None:
    data = example.read_bytes()
    event = decode(data, kind_of(example))
    assert type(event) is kind_of(example)
    assert msgspec.json.format(schemas.encode(event), indent=2) + b"\n" == data


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_what_its_published_schema_says(example: Path) -> None:
    schema = published_schema(kind_of(example))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(example.read_bytes()))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_published_schema_refuses_what_the_codec_refuses(kind: type[Event]) -> None:
    example = next(path for path in EXAMPLES if kind_of(path) is kind)
    contents = json.loads(example.read_bytes())
    validator = jsonschema.Draft202012Validator(published_schema(kind))
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    for field in required:
        lacking = {name: value for name, value in contents.items() if name != field}
        assert not validator.is_valid(lacking), field
        with pytest.raises(schemas.DecodeError, match=field):
            decode(json.dumps(lacking).encode(), kind)


def test_every_field_is_described() -> None:
    undescribed = [
        f"{file_name(kind)}: {name}"
        for kind in KINDS.values()
        for name, field in published_schema(kind)["properties"].items()
        if "Attributes:" in (kind.__doc__ or "")
        and name not in {"type", "schema_version"}
        and not field.get("description")
    ]
    assert undescribed == []
