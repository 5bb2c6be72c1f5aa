"""The commands of an operator, against a real broker."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest
from typer.testing import CliRunner

from tidegauge.cli import dead_letters, lookup, topics
from tidegauge.cli.errors import NotFoundError
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent
from tidegauge.schemas.topics import ALL_TOPICS, REQUESTS, RESPONSES
from tidegauge.streaming.commits import dead_letter
from tidegauge.streaming.processor import Output, Partition, Record, Rejection


@pytest.fixture(autouse=True)
def _reached(monkeypatch: pytest.MonkeyPatch, kafka: KafkaSettings) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)


def put_aside(kafka: KafkaSettings, group: str, offset: int, value: bytes | None = None) -> Record:
    record = Record(
        partition=Partition(REQUESTS.name, 0),
        offset=offset,
        value=value or f"poison of {group}\x1b[31m".encode(),
        key=group.encode(),
        headers=(("origin", b"test"),),
    )
    rejection = Rejection(record, "malformed_json", "odd \x1b[31m[bold]text")
    with Publisher(kafka) as publisher:
        publisher.publish([dead_letter(rejection, group, 1_000)])
    return record


def test_topics_are_listed_for_people_and_machines() -> None:
    shown = CliRunner().invoke(topics.app, ["list"])
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in ALL_TOPICS)
    assert "…" not in shown.stdout
    found = msgspec.json.decode(CliRunner().invoke(topics.app, ["list", "--json"]).stdout)
    assert {topic["name"]: topic["partitions"] for topic in found} == {
        topic.name: topic.partitions for topic in ALL_TOPICS.values()
    }


def test_ensuring_topics_twice_changes_nothing() -> None:
    assert CliRunner().invoke(topics.app, ["ensure"]).stdout == "every topic is there\n"
    assert (
        CliRunner().invoke(topics.app, ["ensure", "--json"]).stdout
        == '[{"created":[],"differences":[]}]\n'
    )


def test_dead_letters_are_shown_without_their_control_characters(kafka: KafkaSettings) -> None:
    group = uuid4().hex[:8]
    put_aside(kafka, group, 41)
    shown = CliRunner().invoke(dead_letters.app, ["list", "--group", group])
    assert f"requests.v1-0@41 of {group} at " in shown.stdout
    assert "malformed_json" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "[bold]" in shown.stdout
    line = CliRunner().invoke(dead_letters.app, ["list", "--group", group, "--json"]).stdout
    assert [one["offset"] for one in msgspec.json.decode(line)] == [41]


def test_dead_letters_are_sent_again_once(kafka: KafkaSettings) -> None:
    group = uuid4().hex[:8]
    record = put_aside(kafka, group, 7)
    put_aside(kafka, group, 7)
    dry = CliRunner().invoke(dead_letters.app, ["redrive", "--group", group, "--dry-run"])
    assert dry.stdout == "1 records would be sent again\n"
    wet = CliRunner().invoke(dead_letters.app, ["redrive", "--group", group])
    assert wet.stdout == "1 records sent again\n"
    (back,) = [found for found in reader.read(kafka, REQUESTS) if found.key == record.key]
    assert (back.value, back.headers) == (record.value, record.headers)


def test_dead_letters_that_are_not_whole_are_not_sent(kafka: KafkaSettings) -> None:
    group = uuid4().hex[:8]
    put_aside(kafka, group, 9, value=b"\xff" * 900_000)
    done = CliRunner().invoke(dead_letters.app, ["redrive", "--group", group])
    assert done.stdout == "0 records sent again\n"
    assert "1 are not whole in their dead letters" in done.stderr
    shown = CliRunner().invoke(dead_letters.app, ["list", "--group", group])
    assert "left out" in " ".join(shown.stdout.split())


def test_a_filter_that_fits_nothing_says_so() -> None:
    shown = CliRunner().invoke(dead_letters.app, ["list", "--reason", "no-such-reason"])
    assert shown.stdout == "no dead letters\n"


QUESTION = Message(role="user", content="When is \x1b[31mhigh tide?")
REQUEST = RequestEvent(
    request_id="req-1",
    producer_id="p",
    sequence=1,
    time_ms=1_000,
    segment=Segment(model="m", version="v1", route="/v1/chat/completions"),
    customer="acme",
    messages=(QUESTION,),
)
RESPONSE = ResponseEvent(
    **{name: getattr(REQUEST, name) for name in ("producer_id", "time_ms", "segment", "customer")},
    request_id="req-2",
    sequence=2,
    status=200,
    latency_ms=5.0,
    messages=(QUESTION,),
    output="At noon.",
)


@pytest.fixture
def _published(kafka: KafkaSettings) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(
            [
                Output(REQUESTS, REQUEST.key, REQUEST, source="p", event_id="1", time_ms=1_000),
                Output(RESPONSES, RESPONSE.key, RESPONSE, source="p", event_id="2", time_ms=1_000),
            ]
        )


@pytest.mark.usefixtures("_published")
def test_a_request_is_shown_with_its_answer() -> None:
    shown = CliRunner().invoke(lookup.app, ["req-2"]).stdout.splitlines()
    assert shown == [
        "req-2 of acme, text: full",
        "user: When is \ufffd[31mhigh tide?",
        "answer: At noon.",
    ]
    (found,) = msgspec.json.decode(
        CliRunner().invoke(lookup.app, ["req-2", "--json"]).stdout, type=list[ResponseEvent]
    )
    assert found == RESPONSE


@pytest.mark.usefixtures("_published")
def test_a_request_without_an_answer_is_shown_too() -> None:
    found = CliRunner().invoke(lookup.app, ["req-1", "--json", "--since", "1h"]).stdout
    assert msgspec.json.decode(found)[0]["messages"][0]["role"] == "user"


@pytest.mark.parametrize("request_id", ["req-", "req-3", "acme", ""])
def test_what_the_log_does_not_hold_has_expired(request_id: str) -> None:
    result = CliRunner().invoke(lookup.app, [request_id])
    assert isinstance(result.exception, NotFoundError)
    assert "its text has expired, since it is kept for 7 days" in str(result.exception)
