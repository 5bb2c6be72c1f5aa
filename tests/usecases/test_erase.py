from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tidegauge.cli.erase import app
from tidegauge.runtime.brokers import ApacheBroker
from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.admin import ensure_topics, topic_settings
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Event, Segment, Topic, encode
from tidegauge.schemas.evaluations import EmbeddingEvent, LabelEvent, Remark
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.topics import DEAD_LETTERS, EMBEDDINGS, LABELS, REMARKS, REQUESTS, RESPONSES
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.usecases.erase import TEXTS, Erasure, Subject, erase

NOW = time.time_ns() // 1_000_000
SEGMENT = Segment(model="m")
SECRET, OTHER = "my-card-is-4711-0815", "what-is-the-weather"
QUICK = """
compression.type=uncompressed
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=8388608
log.segment.delete.delay.ms=200
"""


def exchange(number: int, text: str, **fields: Any) -> list[tuple[Topic, str, Event]]:  # noqa: ANN401
    """Return a request, its response, its vector and a judge's word on it."""
    request = RequestEvent(
        request_id=f"r-{number}",
        producer_id="g",
        sequence=number,
        time_ms=NOW - 60_000 + number,
        segment=SEGMENT,
        customer="acme",
        messages=(Message(role="user", content=text),),
    )
    request = msgspec.structs.replace(request, **fields)
    response = ResponseEvent(
        request_id=request.request_id,
        producer_id="g",
        sequence=number + 1_000,
        time_ms=request.time_ms,
        segment=SEGMENT,
        customer=request.customer,
        status=200,
        latency_ms=1.0,
        messages=request.messages,
        output=f"You said {text}.",
        conversation_id=request.conversation_id,
        turn=request.turn,
    )
    vector = EmbeddingEvent(
        request_id=request.request_id,
        producer_id="d",
        sequence=number,
        time_ms=request.time_ms,
        segment=SEGMENT,
        baseline="drift-1",
        embedder=text,  # so that the vector's bytes can be looked for, too
        cluster=1,
        novelty=0.5,
    )
    remark = Remark(
        request_id=request.request_id,
        time_ms=request.time_ms,
        author="judge@1",
        text=f"It repeats {text}.",
    )
    return [
        (REQUESTS, request.key, request),
        (RESPONSES, response.key, response),
        (EMBEDDINGS, request.request_id, vector),
        (REMARKS, f"{request.request_id}\njudge@1", remark),
    ]


def letter(number: int, text: str) -> tuple[Topic, str, Event]:
    """Return a dead letter of a request that could not be read."""
    value = f'"{text}", "request_id": "r-{number}", "customer": "acme",'.encode()
    event = DeadLetter(
        group="drift",
        topic=REQUESTS.name,
        partition=0,
        offset=number,
        time_ms=NOW,
        reason="malformed_json",
        detail="…",
        value=value,
    )
    return (DEAD_LETTERS, f"requests.v1-0-{number}\ndrift", event)


def in_base64(word: str) -> bytes:
    """Return how a dead letter's JSON holds a word that its record begins with."""
    return b64encode(f'"{word}'.encode())[:20]


def publish(kafka: KafkaSettings, events: list[tuple[Topic, str, Event]]) -> None:
    with Publisher(kafka) as publisher:
        publisher.send(
            EncodedRecord(topic=topic.name, key=key.encode(), value=encode(event))
            for topic, key, event in events
        )


def texts(kafka: KafkaSettings, word: str) -> int:
    """Return how many records with a word the log gives to a reader, dead letters included."""
    held = [record.value for topic in TEXTS for record in reader.read(kafka, topic)]
    return sum(word.encode() in value or in_base64(word) in value for value in held)


@pytest.fixture(scope="module")
def quick_broker() -> Iterator[tuple[KafkaSettings, Path]]:
    """Yield Apache Kafka that compacts within a second, and its folder."""
    if lack := ApacheBroker.missing():
        pytest.skip(lack)
    with ApacheBroker(properties=QUICK) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(kafka)
        assert broker.folder is not None
        yield kafka, broker.folder / "data"


def in_files(folder: Path, word: str) -> list[str]:
    """Return the broker's files that hold a word."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and any(each in path.read_bytes() for each in (word.encode(), in_base64(word)))
    ]


@pytest.mark.nightly
@pytest.mark.integration
def test_nothing_of_a_request_is_left_anywhere(quick_broker: tuple[KafkaSettings, Path]) -> None:
    kafka, folder = quick_broker
    publish(
        kafka,
        [
            *exchange(1, OTHER),
            *exchange(2, SECRET, conversation_id="c", turn=2),
            *exchange(3, OTHER, conversation_id="c", turn=3),
            letter(1, OTHER),
            letter(2, SECRET),
            (
                LABELS,
                "r-2",
                LabelEvent(request_id="r-2", time_ms=NOW, annotator="mara", score=0.5),
            ),
        ],
    )
    assert texts(kafka, SECRET) == 5
    others = texts(kafka, OTHER)

    looked = erase(kafka, Subject(request_id="r-2"), now_ms=NOW, dry_run=True)
    assert [(each.found, each.erased, each.held) for each in looked.topics] == [(1, 0, 1)] * 5
    assert looked.named == {"judgments.v1": 0, "labels.v1": 1}
    assert all(each.until_ms is not None and each.until_ms > NOW for each in looked.topics)
    assert texts(kafka, SECRET) == 5

    before = topic_settings(kafka, TEXTS)
    done = erase(kafka, Subject(request_id="r-2"), now_ms=NOW, at_once=True)
    assert [(each.found, each.erased, each.held) for each in done.topics] == [(1, 1, 0)] * 5
    assert topic_settings(kafka, TEXTS) == before
    assert texts(kafka, SECRET) == 0
    assert texts(kafka, OTHER) == others
    deadline = time.monotonic() + 30
    while in_files(folder, SECRET) and time.monotonic() < deadline:
        time.sleep(0.2)  # the broker deletes the files of before a moment later
    assert in_files(folder, SECRET) == []

    again = erase(kafka, Subject(request_id="r-2"), now_ms=NOW)
    assert sum(each.found for each in again.topics) == 0


@pytest.mark.integration
def test_a_customers_requests_are_marked_once_and_others_stay(kafka: KafkaSettings) -> None:
    publish(
        kafka,
        [
            *exchange(11, SECRET, customer="globex"),
            *exchange(12, SECRET, customer="globex", conversation_id="d", turn=2),
            *exchange(13, OTHER),
        ],
    )
    subject = Subject(customer="globex")
    first = erase(kafka, subject, now_ms=NOW)
    second = erase(kafka, subject, now_ms=NOW)
    for found in (first, second):
        assert found.requests == 2
        assert [each.erased for each in found.topics] == [2, 2, 2, 2, 0]
    tombstones = [
        (topic.name, record.key or b"")
        for topic in TEXTS
        for record in reader.read(kafka, topic)
        if record.is_tombstone
    ]
    assert len(tombstones) == len(set(tombstones)) == 8
    assert not any(b"r-13" in key for _, key in tombstones)


@pytest.mark.integration
def test_the_command_says_what_is_where(
    kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TIDEGAUGE_CAPTURE_DIRECTORY", str(tmp_path / "outbox"))
    monkeypatch.setenv("TIDEGAUGE_MONITOR_REPORTS_DIR", str(tmp_path / "reports"))
    segment = tmp_path / "outbox" / "run-1" / f"{1:020}.log"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"\0" * ((1 << 20) - 2) + b"r-21" + b"\0" * 9)
    publish(kafka, exchange(21, SECRET))
    reports = tmp_path / "reports"
    reports.mkdir()
    for day, start_ms in (("01", NOW - 120_000), ("02", NOW - 7_200_000)):
        name = f"202601{day}T000000-0123abcd"
        (reports / f"{name}.html").write_text(SECRET)
        (reports / f"{name}.json").write_bytes(
            msgspec.json.encode(
                {
                    "report_id": name,
                    "created_ms": NOW,
                    "reference": (start_ms, start_ms + 1),
                    "current": (start_ms, start_ms + 120_000),
                    "facts": [],
                }
            )
        )
    # One report was made and not described, and the rendering of another was killed.
    (reports / "20260103T000000-0123abcd.html").write_text(SECRET)
    (reports / ".report-x").mkdir()
    (reports / ".report-x" / "report.html").write_text(SECRET)
    said = CliRunner().invoke(app, ["--request", "r-21", "--dry-run"])
    assert said.exit_code == 0, said.output
    assert len(list(reports.rglob("*.html"))) == 4
    said = CliRunner().invoke(app, ["--request", "r-21"])
    assert "requests.v1: 1 records, 1 erased; the broker holds 1 of them" in said.output
    assert str(segment) in said.output.replace("\n", "")
    assert [path.name for path in reports.rglob("*.html")] == ["20260102T000000-0123abcd.html"]
    said = CliRunner().invoke(app, ["--request", "r-21", "--json"])
    (found,) = msgspec.json.decode(said.output)
    assert msgspec.convert(found["log"], Erasure).requests == 1
    assert found["here"]["reports"] == []


@pytest.mark.integration
def test_a_dead_letter_of_a_request_whose_id_is_longer_stays(kafka: KafkaSettings) -> None:
    publish(kafka, [letter(71, SECRET), letter(712, OTHER)])
    found = erase(kafka, Subject(request_id="r-71"), now_ms=NOW, dry_run=True)
    assert [each.found for each in found.topics if each.topic == DEAD_LETTERS.name] == [1]


@pytest.mark.integration
def test_what_an_open_transaction_hides_is_erased_too(kafka: KafkaSettings) -> None:
    other = clients.producer(kafka, transactional_id="another")
    other.init_transactions()
    other.begin_transaction()
    try:
        for topic, key, event in exchange(91, SECRET):
            if topic in {REQUESTS, RESPONSES}:
                other.send(topic.name, encode(event), key=key.encode()).get(10)
        found = erase(kafka, Subject(request_id="r-91"), now_ms=NOW)
    finally:
        other.commit_transaction()
        other.close(timeout=5)
    assert [each.erased for each in found.topics if each.found] == [1, 1]
    again = erase(kafka, Subject(request_id="r-91"), now_ms=NOW)
    assert [each.erased for each in again.topics if each.found] == [1, 1]


@pytest.mark.integration
def test_what_has_no_key_is_not_told_as_erased(
    kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TIDEGAUGE_CAPTURE_DIRECTORY", str(tmp_path / "outbox"))
    monkeypatch.setenv("TIDEGAUGE_MONITOR_REPORTS_DIR", str(tmp_path / "reports"))
    request = next(event for topic, _, event in exchange(81, SECRET) if topic == REQUESTS)
    publish(kafka, [(REQUESTS, "", request)])
    said = CliRunner().invoke(app, ["--request", "r-81"])
    assert "requests.v1: 1 records, 0 erased; the broker holds 1 of them" in said.output
    assert "records without a key are not erased before their time" in said.output


def test_one_subject_is_named() -> None:
    for arguments in ([], ["--request", "r", "--customer", "c"]):
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code != 0
        assert "name one of" in str(found.exception)
