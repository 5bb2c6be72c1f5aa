"""The gateway's configuration: a YAML file of the models and their upstreams.

```yaml
models:
  assistant:                      # the name that clients ask for
    upstreams:
      - url: http://127.0.0.1:8000
        model: smollm2-135m       # the upstream's own name for it; default: the same
        version: v1               # label on every event; default: v1
        weight: 9                 # share of the traffic; 0 takes it out
        overrides: {temperature: 0.2}   # sampling parameters that clients cannot change
        api_key_env: VLLM_API_KEY # variable that holds the upstream's key
        price: {input: 0.15, output: 0.60}   # USD per million tokens; also cached: those of the
                                  # prompt from the upstream's cache, reasoning, and factor: .5
        gpu_usd_per_hour: 2.50    # the price of the server, which `tidegauge bill` shares by work,
                                  # whatever its tokens cost; or a list by time, of which the
                                  # last that holds counts: {usd: 1.1, kind: spot, hours: [22, 6],
                                  # from: 2026-11-01T00:00Z, until: 2026-12-01T00:00Z}
        metrics_url: http://127.0.0.1:8000/metrics   # vLLM's, which the monitor reads; default:
                                  # this one, if it has gpu_usd_per_hour
        gpu_metrics_url: http://127.0.0.1:9400/metrics   # dcgm-exporter's; or nvml, for GPUs of
                                  # the monitor's machine
        gpus: ["0", "1"]          # which of those are the server's; default: all
        stream_usage: false       # it refuses stream_options; default: it is asked for usage
        first_byte_seconds: 600   # these two in place of the gateway's settings
        idle_seconds: 900
      - url: http://127.0.0.1:8001
        version: candidate
        weight: 0
        shadow: 0.1               # copies of a tenth of the requests, answers discarded
    failed_checks: {json_schema: retry, empty: error}   # of answers in one piece
    retried_statuses: [429, 503]  # for these another upstream is asked, if there is one
budgets: {acme: 500, all: 20000}  # USD a month, by customer or for all, which the monitor watches
judges: [quality]                 # customers whose requests are judges', a line of the bill
```
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import yaml

from tidegauge.cost.prices import GpuPrice, Price, PriceError, check_gpu_prices
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.gateway.http.addresses import Address

__all__ = [
    "NVML",
    "RETRIED_STATUSES",
    "Catalog",
    "Model",
    "Scraped",
    "Upstream",
    "gpu_prices",
    "load",
    "parse",
    "scraped_upstreams",
    "single_upstream",
]

RETRIED_STATUSES: Final = frozenset({429, 500, 502, 503, 504, 529})
"""Statuses of an upstream for which another one is asked by default."""

_NEVER_OVERRIDDEN: Final = frozenset({"messages", "prompt", "input", "model", "stream"})


NVML: Final = "nvml"
"""In place of an address: GPUs of the machine that asks."""

CheckName = Literal[
    "empty",
    "json",
    "json_schema",
    "language",
    "refusal",
    "repetition",
    "tool_arguments",
    "truncation",
]
"""The checks that a configuration may name."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server that answers for a model.

    Attributes:
        url: Base URL, with or without ``/v1``.
        model: The upstream's name for the model; None for the client's name.
        version: Label of the deployment, on every event.
        weight: Share of the traffic, relative to the model's other upstreams.
        overrides: Body fields that replace the client's.
        api_key_env: Environment variable with the upstream's key.
        price: Price of tokens, the cost of a request in its event.
        gpu_usd_per_hour: Price of the server in USD per hour, or prices by time.
        shadow: Share of the model's requests that are mirrored to it, independent of its weight.
        stream_usage: Whether it is asked for the usage of streams (``stream_options``).
        first_byte_seconds: Time for its first byte; None for the gateway's setting.
        idle_seconds: Longest pause between two pieces of its answer; None for the gateway's
            setting.
        metrics_url: Where vLLM tells its metrics; None for the usual place if the server has a
            price, empty for nowhere.
        gpu_metrics_url: Where dcgm-exporter tells those of its GPUs, or ``NVML``.
        gpus: Indices or UUIDs of its GPUs; all if empty.
    """

    url: str
    model: str | None = None
    version: str = "v1"
    weight: float = 1.0
    overrides: dict[str, msgspec.Raw] = {}
    api_key_env: str | None = None
    price: Price | None = None
    gpu_usd_per_hour: float | tuple[GpuPrice, ...] | None = None
    shadow: float = 0.0
    stream_usage: bool = True
    first_byte_seconds: float | None = None
    idle_seconds: float | None = None
    metrics_url: str | None = None
    gpu_metrics_url: str | None = None
    gpus: tuple[str, ...] = ()


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that the gateway offers.

    Attributes:
        upstreams: The upstreams that answer for the model.
        failed_checks: Check -> what to do if an answer that is not streamed fails it: retry
            once, or answer with an error.
        retried_statuses: Statuses for which another upstream is asked, if the model has one.
    """

    upstreams: tuple[Upstream, ...]
    failed_checks: dict[CheckName, Literal["retry", "error"]] = {}
    retried_statuses: tuple[int, ...] = tuple(sorted(RETRIED_STATUSES))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: dict[str, Model]
    budgets: dict[str, Annotated[float, msgspec.Meta(gt=0, le=1e12)]] = {}
    judges: tuple[str, ...] = ()


class Catalog(msgspec.Struct, frozen=True):
    """All models that the gateway offers.

    Attributes:
        models: Name -> model.
        budgets: Customer, or ``all`` -> USD that a month may cost.
        judges: Customers whose requests are judges'.
    """

    models: Mapping[str, Model]
    budgets: Mapping[str, float] = MappingProxyType({})
    judges: tuple[str, ...] = ()


def parse(text: str, *, where: str = "configuration", with_keys: bool = True) -> Catalog:
    """Parse and validate a configuration.

    Args:
        text: The configuration.
        where: Its name in errors.
        with_keys: Whether the variables with the upstreams' keys must be set.

    Raises:
        ConfigurationError: The text is not YAML, a field is unknown or wrong, a model has no
            upstream with a weight above 0, or a key's variable is not set.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where} is no YAML: {error}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{where} is nested too deep") from error
    try:
        # Converted through JSON, so that overrides are kept as the bytes that will be sent.
        file = msgspec.json.decode(msgspec.json.encode(content), type=_File, strict=False)
    except (msgspec.ValidationError, TypeError, UnicodeError, RecursionError) as error:
        raise ConfigurationError(f"{where}: {error}") from error
    if not file.models:
        raise ConfigurationError(f"{where} names no model: add one under `models:`")
    for name, model in file.models.items():
        _check(model, f"{where}, model {name!r}", with_keys=with_keys)
    catalog = Catalog(file.models, budgets=file.budgets, judges=file.judges)
    gpu_prices(catalog, where=where)
    return catalog


def gpu_prices(
    catalog: Catalog, *, where: str = "configuration"
) -> dict[str, float | tuple[GpuPrice, ...]]:
    """Return the prices of the servers' time: label of the upstream -> price in USD per hour.

    Raises:
        ConfigurationError: A server has two prices.
    """
    found: dict[str, float | tuple[GpuPrice, ...]] = {}
    for model in catalog.models.values():
        for upstream in model.upstreams:
            price = upstream.gpu_usd_per_hour
            label = Address.parse(upstream.url).authority
            if price is not None and found.setdefault(label, price) != price:
                raise ConfigurationError(
                    f"{where}: {label} has two different gpu_usd_per_hour; a server that serves "
                    "several models is paid for once, so give the same price for all of them"
                )
    return found


class Scraped(NamedTuple):
    """An upstream whose metrics are read.

    Attributes:
        label: Its label in events.
        metrics_url: Where vLLM tells its metrics; None for nowhere.
        gpu_metrics_url: Where dcgm-exporter tells those of its GPUs, ``NVML``, or None.
        gpus: Indices or UUIDs of its GPUs; all if empty.
    """

    label: str
    metrics_url: str | None
    gpu_metrics_url: str | None
    gpus: tuple[str, ...]


def scraped_upstreams(catalog: Catalog) -> tuple[Scraped, ...]:
    """Return the upstreams whose metrics are read, each address once."""
    found: dict[str, Scraped] = {}
    for model in catalog.models.values():
        for upstream in model.upstreams:
            address = Address.parse(upstream.url)
            url = upstream.metrics_url
            if url is None and upstream.gpu_usd_per_hour is not None:
                scheme = "https" if address.tls else "http"
                url = f"{scheme}://{address.authority}{address.prefix}/metrics"
            scraped = Scraped(
                address.authority, url or None, upstream.gpu_metrics_url or None, upstream.gpus
            )
            if scraped.metrics_url or scraped.gpu_metrics_url:
                found.setdefault(scraped.label, scraped)
    return tuple(found.values())


def load(path: Path, *, with_keys: bool = True) -> Catalog:
    """Read a configuration file; see ``parse``.

    Raises:
        ConfigurationError: The file cannot be read, or see ``parse``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the gateway's configuration: {error}") from error
    return parse(text, where=str(path), with_keys=with_keys)


def single_upstream(url: str, names: list[str], *, api_key_env: str | None = None) -> Catalog:
    """Return a catalog of one upstream's models under their own names."""
    upstream = Upstream(url=url, api_key_env=api_key_env)
    return Catalog({name: Model(upstreams=(upstream,)) for name in names})


def _check(model: Model, where: str, *, with_keys: bool) -> None:
    for upstream in model.upstreams:
        Address.parse(upstream.url)
        if not 0 <= upstream.weight < float("inf"):
            raise ConfigurationError(f"{where}: weight {upstream.weight} must be 0 or more")
        for seconds in (upstream.first_byte_seconds, upstream.idle_seconds):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise ConfigurationError(f"{where}: {seconds} seconds must be more than 0")
        if not 0 <= upstream.shadow <= 1:
            raise ConfigurationError(f"{where}: shadow {upstream.shadow} must lie in 0 to 1")
        _check_cost(upstream, where)
        if forbidden := sorted(_NEVER_OVERRIDDEN & upstream.overrides.keys()):
            raise ConfigurationError(f"{where}: overrides cannot set {', '.join(forbidden)}")
        if with_keys and upstream.api_key_env and upstream.api_key_env not in os.environ:
            raise ConfigurationError(
                f"{where}: the variable {upstream.api_key_env} of api_key_env is not set"
            )
    if not any(upstream.weight > 0 for upstream in model.upstreams):
        raise ConfigurationError(f"{where}: no upstream has a weight above 0")


def _check_cost(upstream: Upstream, where: str) -> None:
    for url in (upstream.metrics_url, upstream.gpu_metrics_url):
        if url and url != NVML:
            Address.parse(url)
    if upstream.gpu_usd_per_hour is None:
        return
    try:
        check_gpu_prices(upstream.gpu_usd_per_hour)
    except PriceError as error:
        raise ConfigurationError(f"{where}: {error}") from error
