from __future__ import annotations

import time
from uuid import uuid4

from kafka import TopicPartition

from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import EMBEDDINGS
from tidegauge.streaming.checkpoints import EncodedRecord

NUMBER = 10


def test_the_broker_gathers_records_that_come_one_by_one(kafka: KafkaSettings) -> None:
    name = uuid4().hex
    consumer = clients.consumer(kafka, gather_ms=1_000)
    consumer.assign([TopicPartition(EMBEDDINGS.name, i) for i in range(EMBEDDINGS.partitions)])
    consumer.seek_to_end()
    for place in consumer.assignment():
        consumer.position(place)  # or the end is looked up after the records are there
    batches: list[int] = []
    with Publisher(kafka) as publisher:
        for i in range(NUMBER):
            key = f"{name}-{i}".encode()
            publisher.send([EncodedRecord(topic=EMBEDDINGS.name, key=key, value=b"v", headers=())])
            batches.append(sum(map(len, consumer.poll(20).values())))
    deadline = time.monotonic() + 20
    while sum(batches) < NUMBER and time.monotonic() < deadline:
        batches.append(sum(map(len, consumer.poll(500).values())))
    consumer.close()
    # Two where a wait had begun before the first record came.
    assert sum(batches) == NUMBER
    assert len([found for found in batches if found]) <= 2
