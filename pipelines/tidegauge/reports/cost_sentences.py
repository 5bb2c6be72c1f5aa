"""A bill, and the use of the servers, in sentences for reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidegauge.cost.bill import Bill, UpstreamBill
from tidegauge.cost.upstream_use import GpuUse, UpstreamUse
from tidegauge.reports.bill_tables import costs_by
from tidegauge.reports.formatting import count, dollars, duration, number, percent
from tidegauge.reports.text import clip

__all__ = ["cost_sentences", "gpu_words", "kind_words", "use_sentences"]

_MOST_NAMED: Final = 5
_NAME_LIMIT: Final = 60
_JOULES_OF_A_KWH: Final = 3.6e6


def cost_sentences(bill: Bill) -> Iterator[str]:
    """Yield sentences on what a range of time cost, all of its traffic, and whose it was.

    Args:
        bill: The bill.
    """
    lines = costs_by(bill, "line")
    requests = sum(group.requests for group in lines)
    if not bill.upstreams and all(group.usd is None for group in lines):
        yield "Cost: not known, since neither tokens nor servers have a price."
        return
    sentence = f"Cost of all traffic: {dollars(bill.usd)} for {count(requests)} requests"
    seconds = sum(one.seconds for one in bill.upstreams)
    if seconds:
        idle = sum(one.idle_seconds for one in bill.upstreams)
        idle_usd = sum(one.idle_usd for one in bill.upstreams)
        sentence += (
            f"; the servers were in use {percent(1 - idle / seconds)} of their time, and idle for "
            f"{dollars(idle_usd)}"
        )
    yield f"{sentence}."
    customers = [group for group in costs_by(bill, "customer") if group.usd is not None]
    named = [f"{clip(one.name, _NAME_LIMIT)} {dollars(one.usd)}" for one in customers[:_MOST_NAMED]]
    if others := customers[_MOST_NAMED:]:
        named.append(f"{count(len(others))} others {dollars(sum(one.usd or 0 for one in others))}")
    if named:
        yield f"Cost by customer: {', '.join(named)}."
    versions = [
        f"{clip(one.name, _NAME_LIMIT)} {dollars(one.usd_per_million)} and "
        f"{dollars(one.usd_per_conversation)}"
        for one in costs_by(bill, "version")[:_MOST_NAMED]
        if one.usd_per_million is not None
    ]
    if versions:
        yield f"Cost of a million tokens, and of a conversation: {', '.join(versions)}."


def kind_words(one: UpstreamBill) -> str:
    """Return an upstream's time by the kind of its price; empty if no price has a kind.

    Example:
        >>> from tidegauge.cost.bill import PricedTime
        >>> times = (PricedTime("reserved", 57_600, 40.0), PricedTime("spot", 28_800, 8.8))
        >>> kind_words(UpstreamBill("a:1", 86_400, 48.8, 0, 0, 86_400, 48.8, 0, "", None, times))
        'reserved 16 h for $40.00, spot 8 h for $8.80'
    """
    if not any(time.kind for time in one.kinds):
        return ""
    return ", ".join(
        f"{clip(time.kind, _NAME_LIMIT) or 'other'} {duration(time.seconds)} for "
        f"{dollars(time.usd)}"
        for time in one.kinds
    )


def use_sentences(used: Mapping[str, UpstreamUse]) -> Iterator[str]:
    """Yield a sentence on the use of each server that told of it, the first five by name.

    Args:
        used: The upstream's label -> its use.
    """
    for name, use in sorted(used.items())[:_MOST_NAMED]:
        words = []
        if use.running is not None:
            words.append(f"{number(use.running)} requests at the mean")
        if use.most_waiting is not None:
            words.append(f"at most {count(use.most_waiting)} waiting")
        if use.kv_use is not None:
            words.append(f"{percent(use.kv_use)} of the cache in use")
        if use.preemptions:
            words.append(f"{count(use.preemptions)} preemptions")
        if use.prefix_hit_share is not None:
            words.append(
                f"{percent(use.prefix_hit_share)} of the tokens looked up were in its cache"
            )
        words += [gpu_words(gpu) for gpu in use.gpus[:_MOST_NAMED]]
        if words:
            yield f"Use of {clip(name, _NAME_LIMIT)}: {'; '.join(words)}."


def gpu_words(gpu: GpuUse) -> str:
    """Return a GPU's use in words, as far as it is told.

    Example:
        >>> gpu_words(GpuUse("0", engine_active=0.9, tensor_active=0.4, energy_joules=7.2e6))
        'GPU 0: engines active 90%, tensor cores 40%, 2.00 kWh'
    """
    shares = (
        ("engines active", gpu.engine_active),
        ("tensor cores", gpu.tensor_active),
        ("memory", gpu.memory_active),
        ("in use", gpu.utilisation if gpu.engine_active is None else None),
    )
    words = [f"{name} {percent(share)}" for name, share in shares if share is not None]
    if gpu.power_watts is not None:
        words.append(f"{number(gpu.power_watts)} W")
    if gpu.energy_joules is not None:
        words.append(f"{number(gpu.energy_joules / _JOULES_OF_A_KWH)} kWh")
    return f"GPU {clip(gpu.gpu, _NAME_LIMIT)}: {', '.join(words) or 'not told'}"
