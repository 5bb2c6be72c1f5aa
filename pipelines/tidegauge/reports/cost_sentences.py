"""A bill in sentences, for reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegauge.cost.bill import Bill
from tidegauge.reports.bill_tables import costs_by
from tidegauge.reports.formatting import count, dollars, percent
from tidegauge.reports.text import clip

__all__ = ["cost_sentences"]

_MOST_NAMED: Final = 5
_NAME_LIMIT: Final = 60


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
