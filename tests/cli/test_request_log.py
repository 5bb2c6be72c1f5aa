from __future__ import annotations

import json
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.cli.request_log import BrokenLine, LogEntry, percentile, read, summarise


def _line(**fields: object) -> bytes:
    return json.dumps({"event": "request", "latency_ms": 1.0, **fields}).encode() + b"\n"


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_percentile_agrees_with_numpy(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)))


def test_lengths_and_latency_are_those_of_answered_requests() -> None:
    lines = [
        _line(latency_ms=float(n), prompt_characters=10 * n, response_characters=n, output_tokens=n)
        for n in range(1, 101)
    ]
    lines.append(_line(latency_ms=9e9, error="upstream_timeout", status=504))
    found = summarise(lines)
    assert (found.requests, found.answered) == (101, 100)
    assert found.latency_ms.p50 == statistics.median(range(1, 101))
    assert found.latency_ms.p95 == pytest.approx(95.05)
    assert found.median_prompt_characters == 505
    assert found.median_response_characters == 50.5
    assert found.output_tokens == 5050
    assert found.errors == {"upstream_timeout": 1}
    assert found.statuses == {200: 100, 504: 1}


def test_broken_lines_are_counted_and_named() -> None:
    lines = [
        b"not json\n",
        b'"a string"\n',
        b'{"event": "request"}\n',
        b'{"event": "request", "latency_ms": "fast"}\n',
        _line(latency_ms=-3),
        b"\xff\xfe\n",
        b"\n",
        b'{"event": "reloaded"}\n',
        _line(),
    ]
    found = summarise(lines)
    assert (found.requests, found.other_lines, found.broken_lines) == (1, 1, 6)
    assert [line.line for line in found.broken] == [1, 2, 3, 4, 5]
    assert "latency_ms" in found.broken[2].reason


def test_an_empty_log_has_no_numbers() -> None:
    found = summarise([])
    assert found.requests == 0
    assert found.latency_ms.p50 is None
    assert found.median_response_characters is None


def test_every_line_is_told_apart() -> None:
    entry, other, broken = read([_line(), b'{"event": "x"}', b"{"])
    assert isinstance(entry, LogEntry)
    assert other is None
    assert isinstance(broken, BrokenLine)
