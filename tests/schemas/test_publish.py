"""What is published is what the code says, and breaks no reader of the last release."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidegauge.schemas import publish
from tidegauge.schemas.publish import ASYNCAPI, PUBLISHED, broken, generate, read, stale, write

REQUEST = "tidegauge.request.v1.json"


@pytest.fixture(scope="module")
def current() -> dict[str, dict[str, Any]]:
    return generate()


def test_the_published_documents_are_current(current: dict[str, dict[str, Any]]) -> None:
    assert stale(current, read(PUBLISHED)) == [], "run `make generate`"


def test_no_reader_of_the_last_release_breaks(current: dict[str, dict[str, Any]]) -> None:
    assert broken(current, read(PUBLISHED / "released")) == []


def test_the_last_release_is_in_the_tree() -> None:
    assert REQUEST in read(PUBLISHED / "released")


def test_what_is_written_is_read_back(tmp_path: Path, current: dict[str, dict[str, Any]]) -> None:
    (tmp_path / "tidegauge.gone.v1.json").write_text("{}")
    write(current, tmp_path)
    assert read(tmp_path) == current


def test_a_stale_document_is_named(current: dict[str, dict[str, Any]]) -> None:
    published = copy.deepcopy(current)
    published[REQUEST]["title"] = "another"
    del published[ASYNCAPI]
    assert stale(current, published) == [ASYNCAPI, REQUEST]


def test_a_removed_field_is_named_with_its_file(current: dict[str, dict[str, Any]]) -> None:
    changed = copy.deepcopy(current)
    del changed[REQUEST]["properties"]["customer"]
    assert broken(changed, current) == [
        f"{REQUEST}: customer: the field was removed: readers of it break"
    ]


def test_a_raised_schema_version_is_a_new_file(current: dict[str, dict[str, Any]]) -> None:
    changed = copy.deepcopy(current)
    raised = changed.pop(REQUEST)
    del raised["properties"]["customer"]
    changed["tidegauge.request.v2.json"] = raised
    assert broken(changed, current) == []


def test_nothing_is_written_while_a_reader_breaks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    current: dict[str, dict[str, Any]],
) -> None:
    released = copy.deepcopy({REQUEST: current[REQUEST]})
    released[REQUEST]["properties"]["gone"] = {"type": "string"}
    write(released, tmp_path / "released")
    monkeypatch.setattr(publish, "PUBLISHED", tmp_path)
    assert publish.main([]) == 1
    said = capsys.readouterr().err
    assert "gone: the field was removed" in said
    assert "raise the event's schema_version" in said
    assert read(tmp_path) == {}


def test_publishing_and_releasing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "PUBLISHED", tmp_path)
    assert publish.main(["--check"]) == 1
    assert publish.main([]) == 0
    assert publish.main(["--check"]) == 0
    assert not (tmp_path / "released").exists()
    assert publish.main(["--release"]) == 0
    assert read(tmp_path / "released").keys() == read(tmp_path).keys() - {ASYNCAPI}


def test_the_command_checks() -> None:
    command = [sys.executable, "-m", "tidegauge.schemas.publish", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def references(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(references, value.values()))


def test_every_reference_of_the_asyncapi_document_leads_somewhere(
    current: dict[str, dict[str, Any]],
) -> None:
    found = references(current[ASYNCAPI])
    assert len(found) > 50
    for reference in found:
        part: Any = current[ASYNCAPI]
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_the_asyncapi_document_keeps_the_rules_of_version_3(
    current: dict[str, dict[str, Any]],
) -> None:
    document = current[ASYNCAPI]
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    assert {channel["address"] for channel in document["channels"].values()} == {
        "requests.v1",
        "responses.v1",
        "heartbeats.v1",
        "embeddings.v1",
        "sketches.v1",
        "judgments.v1",
        "labels.v1",
        "remarks.v1",
        "verdicts.v1",
        "alerts.v1",
        "baselines.v1",
        "state.v1",
        "controls.v1",
        "upstreams.v1",
        "dead-letters.v1",
    }
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        assert channel.removeprefix("#/channels/") in document["channels"]
        # An operation's messages are a subset of its channel's, and point through it.
        assert operation["messages"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")
    for message in document["components"]["messages"].values():
        assert {"payload", "headers", "contentType", "name"} <= message.keys()


def test_tuples_are_written_in_the_dialect_of_asyncapi(
    current: dict[str, dict[str, Any]],
) -> None:
    text = json.dumps(current[ASYNCAPI])
    assert "prefixItems" not in text
    assert '"additionalItems": false' in text
