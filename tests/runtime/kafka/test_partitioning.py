"""Keys go to the partitions that Kafka's own clients choose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from tidegauge.runtime.kafka.partitioning import partition_of


@given(st.binary(max_size=70).filter(lambda key: b"\n" not in key), st.integers(1, 48))
def test_a_key_has_the_partition_that_other_clients_choose(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_keys_of_one_group_meet() -> None:
    keys = [b"thread-7\n%d" % number for number in range(9)]
    assert {partition_of(key, 48) for key in keys} == {partition_of(b"thread-7", 48)}
