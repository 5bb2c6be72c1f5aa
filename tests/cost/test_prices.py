"""Prices of time depend on when it is; prices of tokens on which tokens they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidegauge.cost.prices import (
    GpuPrice,
    Price,
    PriceError,
    check_gpu_prices,
    gpu_usd_per_hour,
    usd_of_time,
)
from tidegauge.gateway.configuration import gpu_prices, parse
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.schemas.exchange import Usage

NOVEMBER_MS = 1_793_491_200_000
HOUR_MS = 3_600_000


def test_the_last_price_that_holds_counts() -> None:
    prices = (
        GpuPrice(usd=2.5, kind="reserved"),
        GpuPrice(usd=1.0, kind="spot", hours=(22, 6)),
        GpuPrice(usd=3.0, start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 11, 2)),  # noqa: DTZ001
    )
    found = [
        gpu_usd_per_hour(prices, NOVEMBER_MS + hours * HOUR_MS)
        for hours in (-14, -2, 0, 23, 24, 24 + 12)
    ]
    assert found == [2.5, 1.0, 3.0, 3.0, 1.0, 2.5]
    assert gpu_usd_per_hour(prices[1:2], NOVEMBER_MS + 12 * HOUR_MS) is None


@pytest.mark.parametrize(
    ("prices", "hint"),
    [
        (-1.0, "0 or more"),
        (float("nan"), "0 or more"),
        ((), "empty"),
        ((GpuPrice(usd=1, hours=(3, 3)),), "no time"),
        ((GpuPrice(usd=1, hours=(3, 25)),), "0 to 24"),
        (
            (GpuPrice(usd=1, start=datetime(2026, 2, 1), end=datetime(2026, 1, 1)),),  # noqa: DTZ001
            "before until",
        ),
    ],
)
def test_prices_that_are_refused(prices: float | tuple[GpuPrice, ...], hint: str) -> None:
    with pytest.raises(PriceError, match=hint):
        check_gpu_prices(prices)


def test_reasoning_and_batches_have_prices_of_their_own() -> None:
    usage = Usage(input_tokens=0, output_tokens=1_000_000, reasoning_tokens=400_000)
    assert Price(input=1, output=10).of(usage) == pytest.approx(10.0)
    assert Price(input=1, output=10, reasoning=2).of(usage) == pytest.approx(6.8)
    assert Price(input=1, output=10, factor=0.5).of(usage) == pytest.approx(5.0)


def test_a_server_is_paid_for_once() -> None:
    text = """
    models:
      small: {upstreams: [{url: "http://gpu:8000", api_key_env: NOT_SET_HERE,
        gpu_usd_per_hour: [{usd: 2.5}, {usd: 1, hours: [22, 6], from: 2026-11-01T00:00:00Z}]}]}
      large: {upstreams: [{url: "http://gpu:8000/v1", gpu_usd_per_hour: PRICE}]}
    """
    same = "[{usd: 2.5}, {usd: 1, hours: [22, 6], from: 2026-11-01T00:00:00Z}]"
    catalog = parse(text.replace("PRICE", same), with_keys=False)
    (label,) = gpu_prices(catalog)
    assert label == "gpu:8000"
    with pytest.raises(ConfigurationError, match="gpu:8000 has two different"):
        parse(text.replace("PRICE", "3"), with_keys=False)


def test_parts_of_tokens_that_are_more_than_their_whole_give_nothing_back() -> None:
    price = Price(input=1, output=10, cached=0.1, reasoning=2)
    said = Usage(
        input_tokens=1_000_000,
        output_tokens=1_000_000,
        cached_tokens=5_000_000,
        reasoning_tokens=9_000_000,
    )
    assert price.of(said) == pytest.approx(0.1 + 2.0)


def test_a_price_that_changes_within_an_hour_counts_from_then_on() -> None:
    prices = (
        GpuPrice(usd=2.0),
        GpuPrice(usd=6.0, start=datetime(2026, 11, 1, 12, 45, tzinfo=UTC), hours=(12, 14)),
    )
    noon_ms = NOVEMBER_MS + 12 * HOUR_MS
    assert usd_of_time(prices, noon_ms - HOUR_MS // 2, noon_ms + 3 * HOUR_MS) == pytest.approx(
        1.25 * 2.0 + 1.25 * 6.0 + 2.0
    )
    assert usd_of_time(prices[1:], noon_ms, noon_ms) == 0
