"""The outbox's form on disk: written once, read for good."""

from __future__ import annotations

import struct

import crc32c
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.frame import (
    Damage,
    Frame,
    FrameEncoder,
    Incomplete,
    Layout,
    decode_frame,
    encode_header,
    read_header,
)

NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


FRAMES = st.builds(
    Frame,
    sequence=st.integers(1, 2**63),
    time_ms=st.integers(0, 2**45),
    topic=NAME,
    type=NAME,
    key=st.text(st.characters(codec="utf-8"), max_size=60),
    value=st.binary(max_size=300),
    last_sequence=st.just(0),
    layout=st.just(Layout(is_compact=False, topics=(), records=1)),
).map(
    lambda made: msgspec.structs.replace(
        made, last_sequence=made.sequence, layout=made.layout._replace(topics=(made.topic,))
    )
)


def written(frame: Frame) -> bytes:
    encoder = FrameEncoder(frame.topic, frame.type)
    return encoder.encode(frame.sequence, frame.time_ms, frame.key, frame.value)


@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_frames_are_read_back_one_after_the_other(frames: list[Frame]) -> None:
    data = b"".join(map(written, frames))
    read, start = [], 0
    while start < len(data):
        frame, start = decode_frame(data, start)
        read.append(frame)
    assert read == frames


@given(FRAMES, st.data())
def test_a_frame_cut_short_is_incomplete(frame: Frame, data: st.DataObject) -> None:
    whole = written(frame)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Incomplete):
        decode_frame(whole[:end], 0)


@given(FRAMES, st.data())
def test_a_changed_bit_is_noticed(frame: Frame, data: st.DataObject) -> None:
    whole = bytearray(written(frame))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises((Damage, Incomplete)):
        decode_frame(bytes(whole), 0)


@pytest.mark.parametrize("data", [bytes(64), b"\xff" * 64])
def test_what_a_crashed_machine_leaves_is_damage(data: bytes) -> None:
    with pytest.raises(Damage):
        decode_frame(data, 0)


@given(NAME)
def test_a_header_is_read_back(producer_id: str) -> None:
    header = encode_header(producer_id)
    assert read_header(header + b"more") == (producer_id, len(header))


def test_a_header_cut_short_is_incomplete() -> None:
    header = encode_header("gateway-1")
    for end in range(len(header)):
        with pytest.raises(Incomplete):
            read_header(header[:end])


def test_a_header_with_another_name_or_a_changed_bit_is_damage() -> None:
    header = encode_header("gateway-1")
    for data in (b"SOMEFILE" + header[8:], header.replace(b"way", b"wax")):
        with pytest.raises(Damage):
            read_header(data)


def test_a_later_version_is_refused_with_a_way_out() -> None:
    later = encode_header("gateway-1").replace(struct.pack("<H", 4), struct.pack("<H", 5), 1)
    with pytest.raises(OutboxFormatError, match="version 5, this shipper knows up to 4: ship"):
        read_header(later)


def test_the_form_is_the_documented_one_to_the_byte() -> None:
    """Never change what this expects: outboxes of this form lie on users' disks."""
    body = struct.pack("<QQBBH", 7, 1_767_225_600_000, 11, 17, 5)
    body += b"requests.v1" + b"tidegauge.request" + b"req-7" + b'{"n":1}'
    prefix = struct.pack("<II", len(body), crc32c.crc32c(body))
    encoder = FrameEncoder("requests.v1", "tidegauge.request")
    assert encoder.encode(7, 1_767_225_600_000, "req-7", b'{"n":1}') == prefix + body
    for version in (1, 2, 3, 4):
        head = b"TGOUTBOX" + struct.pack("<HH", version, 9) + b"gateway-1"
        whole = head + struct.pack("<I", crc32c.crc32c(head))
        assert read_header(whole) == ("gateway-1", len(whole))
    assert encode_header("gateway-1") == whole


def test_a_compact_record_stands_for_one_event_of_each_topic() -> None:
    def stored(topic: str, type_name: str, key: str = "") -> Frame:
        return decode_frame(FrameEncoder(topic, type_name).encode(7, 0, key, b""), 0)[0]

    three = stored("requests.v1+responses.v1*3", "compact:some.exchange.1")
    assert three.layout == (True, ("requests.v1", "responses.v1"), 3)
    assert three.last_sequence == 12
    single = stored("requests.v1", "compact:some.exchange.1")
    assert (single.layout.records, single.last_sequence) == (1, 7)
    event = stored("requests.v1", "tidegauge.request", "req-7")
    assert (event.layout, event.last_sequence) == ((False, ("requests.v1",), 1), 7)


@pytest.mark.parametrize("topic", ["requests.v1*many", "requests.v1*2*2"])
def test_a_number_of_records_that_is_none_is_damage(topic: str) -> None:
    with pytest.raises(Damage):
        decode_frame(FrameEncoder(topic, "compact:some.exchange.1").encode(7, 0, "", b""), 0)
