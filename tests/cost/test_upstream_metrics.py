"""Metrics of servers and GPUs: recorded answers are read, hostile ones do no harm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.cost.exposition import MOST_BYTES, ExpositionError, read_metrics
from tidegauge.cost.upstream_metrics import (
    GPU_METRICS,
    SERVER_METRICS,
    gpus_of,
    reading_of,
    sample_of,
)

SCRAPES = Path(__file__).with_name("scrapes")
FIRST_GPU = "GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52"


def scrape(name: str) -> bytes:
    return (SCRAPES / f"{name}.txt").read_bytes()


def test_a_vllm_before_during_and_after_its_first_requests() -> None:
    idle, busy, after = (
        reading_of(read_metrics(scrape(f"vllm-{name}"), SERVER_METRICS))
        for name in ("idle", "busy", "after")
    )
    assert idle.gauges == {"running": 0, "waiting": 0, "kv_use": 0}
    assert busy.gauges["running"] > 0
    assert 0 < busy.gauges["kv_use"] < 1
    sample = sample_of("a:1", 30_000, server=after, before=(15_000, idle, ()))
    assert sample.seconds == 15
    assert sample.prompt_tokens == 720
    assert sample.generated_tokens == 1_703
    assert sample.finished == {"stop": 1, "length": 5}
    first = sample_of("a:1", 15_000, server=after)
    assert (first.running, first.prompt_tokens, first.seconds) == (0, None, 0)


def test_a_server_that_began_anew_has_counted_what_it_says() -> None:
    idle, after = (
        reading_of(read_metrics(scrape(f"vllm-{name}"), SERVER_METRICS))
        for name in ("idle", "after")
    )
    sample = sample_of("a:1", 30_000, server=idle, before=(15_000, after, ()))
    assert sample.prompt_tokens == 0
    assert sample_of("a:1", 30_000, server=None, before=(15_000, after, ())).running is None


def test_gpus_as_dcgm_exporter_documents_them() -> None:
    metrics = read_metrics(scrape("dcgm-exporter"), GPU_METRICS)
    busy, idle = gpus_of(metrics)
    assert (busy.gpu, busy.engine_active, busy.utilisation) == ("0", 0.937512, 0.98)
    assert busy.memory_used_bytes == 73_201 * 1024 * 1024
    assert busy.energy_joules == pytest.approx(8_216_345.821)
    assert (idle.engine_active, idle.power_watts) == (0.0, None)
    (chosen,) = gpus_of(metrics, [FIRST_GPU])
    assert chosen.gpu == FIRST_GPU
    sample = sample_of("a:1", 15_000, server=None, gpus=[busy], before=(0, None, [busy]))
    assert sample.gpus[0].energy_joules == 0


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"up 1", [1.0]),
        (b"up{} 1", [1.0]),
        (b'up{a="}",b="x\\"y"} 2 1700000', [2.0]),
        (b"up NaN", []),
        (b"up +Inf", []),
        (b"up -1", []),
        (b"up 1e999", []),
        (b"up 1e300", []),
        (b"up", []),
        (b"up{ 1", []),
        (b'up{a="b} 1', []),
        (b"upper 1", []),
        (b"\xff\xfe up 1", []),
    ],
)
def test_lines(line: bytes, found: list[float]) -> None:
    assert [metric.value for metric in read_metrics(line + b"\nother 3\n", ["up"])] == found


def test_what_a_server_can_send_is_bounded() -> None:
    with pytest.raises(ExpositionError, match="bytes"):
        read_metrics(b"x" * (MOST_BYTES + 1), ["up"])
    with pytest.raises(ExpositionError, match="10000 values"):
        read_metrics(b"up 1\n" * 10_001, ["up"])
    (metric,) = read_metrics(
        b"up{%b} 1" % b",".join(b'l%d="%b"' % (n, b"v" * 900) for n in range(99)), ["up"]
    )
    assert len(metric.labels) <= 32
    assert max(map(len, metric.labels.values())) <= 128
    reasons = b"".join(
        b'vllm:request_success_total{finished_reason="%d"} 1\n' % n for n in range(500)
    )
    assert len(reading_of(read_metrics(reasons, SERVER_METRICS)).finished) == 16
    gpus = b"".join(b'DCGM_FI_DEV_GPU_UTIL{gpu="%d"} 1\n' % n for n in range(500))
    assert len(gpus_of(read_metrics(gpus, GPU_METRICS))) == 64


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(before: bytes, after: bytes) -> None:
    answer = before + b"\nvllm:num_requests_running{" + after
    assert all(metric.value >= 0 for metric in read_metrics(answer, SERVER_METRICS))


@pytest.mark.parametrize("piece", [b"{", b'up{a="', b'\\"', b"}", b" ", b'"', b'up{a="b"'])
def test_no_answer_takes_long(piece: bytes) -> None:
    answer = (b"up{" + piece * (MOST_BYTES // len(piece)))[:MOST_BYTES]
    began = time.process_time()
    read_metrics(answer, ["up"])
    assert time.process_time() - began < 5


def test_a_hundred_upstreams_take_less_than_a_hundredth_of_a_core() -> None:
    answers = [scrape("vllm-busy"), scrape("dcgm-exporter")]
    began = time.process_time()
    for _ in range(100):
        reading_of(read_metrics(answers[0], SERVER_METRICS))
        gpus_of(read_metrics(answers[1], GPU_METRICS))
    assert time.process_time() - began < 0.01 * 15
