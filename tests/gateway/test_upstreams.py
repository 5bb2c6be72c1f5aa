"""Who answers: weights, sessions, shares of a server's time; and the file that says so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tidegauge.gateway.configuration import Catalog, Model, Upstream, load, parse
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.gateway.http.addresses import Timeouts
from tidegauge.gateway.proxy.upstreams import Route, Upstreams


def _route(*weights: float) -> Route:
    upstreams = Upstreams(Timeouts())
    entries = tuple(
        Upstream(url="http://127.0.0.1:9", weight=weight, version=f"v{number}")
        for number, weight in enumerate(weights)
    )
    upstreams.reload(Catalog({"m": Model(upstreams=entries)}))
    upstreams.close()
    return upstreams.routes["m"]


def _drawn(route: Route, sessions: list[str | None]) -> Counter[str]:
    return Counter(route.order(session)[0].upstream.version for session in sessions)


async def test_weights_share_the_traffic() -> None:
    drawn = _drawn(_route(1, 3, 0), [None] * 8000)
    assert drawn["v1"] == pytest.approx(6000, abs=250)
    assert drawn["v2"] == 0


async def test_sessions_stay_and_share_by_weight_too() -> None:
    route = _route(1, 3)
    sessions: list[str | None] = [f"session-{number}" for number in range(8000)]
    assert _drawn(route, sessions)["v1"] == pytest.approx(6000, abs=250)
    assert len(_drawn(route, ["one"] * 50)) == 1


async def test_every_other_target_follows_the_drawn_one() -> None:
    order = _route(1, 1, 1, 0).order(None)
    assert {target.upstream.version for target in order} == {"v0", "v1", "v2"}
    assert len(order) == 3


def test_the_documented_file_is_read() -> None:
    catalog = parse(
        """
        models:
          assistant:
            upstreams:
              - url: http://127.0.0.1:8000
                model: smollm2-135m
                version: v1
                weight: 9
                overrides: {temperature: 0.2}
                price: {input: 0.15, output: 0.60}
              - {url: "http://127.0.0.1:8001", version: v2, gpu_usd_per_hour: 2.5}
        """
    )
    first, second = catalog.models["assistant"].upstreams
    assert bytes(first.overrides["temperature"]) == b"0.2"
    assert (second.weight, second.gpu_usd_per_hour) == (1.0, 2.5)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("models: [", "no YAML"),
        (r'models: {"a\ud800": {upstreams: [{url: "http://h"}]}}', "surrogates"),
        ("[]", "object"),
        ("models: {}", "names no model"),
        ("models: {a: {upstreams: []}}", "no upstream has a weight"),
        ("models: {a: {upstreams: [{url: 'http://h', weight: 0}]}}", "no upstream has a weight"),
        ("models: {a: {upstreams: [{url: 'http://h', weight: -1}]}}", "weight"),
        ("models: {a: {upstreams: [{url: 'h'}]}}", "http://host:port"),
        ("models: {a: {upstreams: [{url: 'http://h', wight: 1}]}}", "wight"),
        ("models: {a: {upstreams: [{url: 'http://h', overrides: {messages: []}}]}}", "messages"),
        ("models: {a: {upstreams: [{url: 'http://h', api_key_env: NOT_SET_HERE}]}}", "NOT_SET"),
        ("models: {a: {upstreams: [{url: 'http://h', gpu_usd_per_hour: -1}]}}", "0 or more"),
        ("models: {a: {upstreams: [{url: 'http://h', metrics_url: h}]}}", "http://host:port"),
        ("{models: {a: {upstreams: [{url: 'http://h'}]}}, budgets: {acme: 0}}", "budgets"),
        ("models: {a: {upstreams: [{url: 'http://h', x: !!python/object:os.system {}}]}}", "YAML"),
    ],
)
def test_files_that_are_refused(text: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        parse(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")
