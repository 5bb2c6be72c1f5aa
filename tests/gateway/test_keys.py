"""Client keys: the file, the ring, the commands."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegauge.cli.keys import app
from tidegauge.gateway.errors import KeyFileError
from tidegauge.gateway.policy import keys


def test_a_key_is_found_and_its_neighbours_are_not() -> None:
    customer = keys.Customer(name="acme", key_id="", requests_per_minute=5, models=("m",))
    key, record = keys.create(customer, created="now")
    ring = keys.KeyRing([record])
    found = ring.find(key)
    assert found is not None
    assert (found.name, found.requests_per_minute, found.key_id) == ("acme", 5, record.id)
    assert found.may_use("m")
    assert not found.may_use("n")
    for wrong in (key[:-1], key + "0", key.upper(), "", "tg--", f"tg-{record.id}-", "\udcff"):
        assert ring.find(wrong) is None


def test_the_file_keeps_no_secret_and_is_the_owners(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "keys.json"
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    keys.save(file, [record])
    assert key.split("-")[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert keys.load(file) == (record,)
    assert list(file.parent.iterdir()) == [file]


def test_revoked_keys_are_out() -> None:
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    revoked = keys.revoke([record], record.id, revoked="later")
    assert keys.KeyRing(revoked).find(key) is None
    assert keys.revoke(revoked, record.id, revoked="even later") == revoked
    with pytest.raises(KeyFileError, match="nobody"):
        keys.revoke([record], "nobody", revoked="later")


def test_a_caller_is_known_again_by_the_same_valid_key_alone() -> None:
    made = [keys.create(keys.Customer(name=name, key_id=""), created="now") for name in "ab"]
    ring = keys.KeyRing([record for _, record in made])
    (key, record), (other, _) = made
    caller = keys.Caller()
    asked = [key, key, other, f"{key}0", "", key]
    found = []
    for caller.authorization in [b"Bearer " + text.encode() for text in asked]:
        customer = caller.identify(ring)
        found.append(customer and customer.name)
    assert found == ["a", "a", "b", None, None, "a"]
    revoked = keys.KeyRing(keys.revoke([record], record.id, revoked="later"))
    assert caller.identify(revoked) is None
    caller.authorization = None
    assert caller.identify(ring) is None


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Basic x", b"bearer \xff", b"Bearer tg-1-2"])
def test_a_caller_without_a_valid_key_is_nobody(header: bytes) -> None:
    _, record = keys.create(keys.Customer(name="acme", key_id=""), created="now")
    assert keys.Caller(header).identify(keys.KeyRing([record])) is None


def test_a_malformed_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": [{"id": 3}]}')
    with pytest.raises(KeyFileError, match=r"keys\.json.*id"):
        keys.load(file)
    assert keys.load(tmp_path / "absent.json") == ()


def test_the_commands(tmp_path: Path) -> None:
    runner, file = CliRunner(), tmp_path / "keys.json"
    arguments = ["--file", str(file)]
    made = runner.invoke(
        app, ["create", "acme", "--rpm", "60", "--model", "m", "--json", *arguments]
    )
    (created,) = json.loads(made.stdout)
    ring = keys.KeyRing(keys.load(file))
    assert ring.find(created["key"]) is not None
    listed = json.loads(runner.invoke(app, ["list", "--json", *arguments]).stdout)
    assert listed[0]["customer"] == "acme"
    assert "sha256" not in listed[0]
    shown = " ".join(runner.invoke(app, ["list", *arguments]).stdout.split())
    assert shown.startswith(f"{created['id']} of acme: valid since ")
    assert shown.endswith("; models m; 60 requests a minute")
    assert runner.invoke(app, ["revoke", created["id"], *arguments]).exit_code == 0
    assert len(keys.KeyRing(keys.load(file))) == 0


def test_keys_that_are_made_and_revoked_at_once_are_all_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = [keys.create(keys.Customer(name="old", key_id=""), created="now")[1] for _ in range(12)]
    new = [keys.create(keys.Customer(name="new", key_id=""), created="now")[1] for _ in range(12)]
    keys.save(file, old)
    edits: list[Callable[[tuple[keys.KeyRecord, ...]], tuple[keys.KeyRecord, ...]]] = [
        *(lambda records, made=record: (*records, made) for record in new),
        *(
            lambda records, id_=record.id: keys.revoke(records, id_, revoked="now")
            for record in old
        ),
    ]
    random.Random(7).shuffle(edits)  # noqa: S311 - an order of events
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda edit: keys.change(file, edit), edits))
    records = keys.load(file)
    assert {record.id for record in records if not record.revoked} == {each.id for each in new}
    assert {record.id for record in records if record.revoked} == {each.id for each in old}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot lock the key file"):
        keys.change(tmp_path / "file" / "keys.json", lambda records: records)


@pytest.mark.parametrize("arguments", [["create", "\n"], ["create", "a", "--capture", "some"]])
def test_what_is_wrong_changes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "keys.json"
    result = CliRunner().invoke(app, [*arguments, "--file", str(file)])
    assert isinstance(result.exception, KeyFileError)
    assert not file.exists()
