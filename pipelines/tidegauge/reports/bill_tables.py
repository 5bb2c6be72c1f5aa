"""The bill as rows and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tidegauge.cost.bill import Bill, Charge, ChargeKey, tokens_of
from tidegauge.schemas.segments import Segment

__all__ = [
    "BILL_COLUMNS",
    "DIMENSIONS",
    "WITHOUT_KEY",
    "CostChange",
    "GroupCost",
    "bill_rows",
    "cost_changes",
    "costs_by",
    "group_cost",
]

WITHOUT_KEY: Final = "without a key"
"""In place of a key's id where it is not known."""

_MILLION: Final = 1_000_000


def _part(name: str) -> Callable[[ChargeKey], str]:
    def part(key: ChargeKey) -> str:
        return str(getattr(Segment.from_key(key.segment), name))

    return part


DIMENSIONS: Final[Mapping[str, Callable[[ChargeKey], str]]] = MappingProxyType(
    {
        "customer": lambda key: key.customer,
        "key": lambda key: f"{key.customer} {key.key_id or WITHOUT_KEY}",
        "model": _part("model"),
        "version": lambda key: f"{_part('model')(key)} {_part('version')(key)}",
        "route": _part("route"),
        "upstream": lambda key: key.upstream,
        "line": lambda key: key.line,
    }
)
"""What the charges can be summed by."""

BILL_COLUMNS: Final = (
    "upstream",
    "line",
    "customer",
    "key_id",
    "model",
    "version",
    "route",
    "requests",
    "conversations",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "tokens_usd",
    "seconds",
    "usd",
)


@dataclass(frozen=True, slots=True)
class GroupCost:
    """What one group of charges costs.

    Attributes:
        name: The group.
        usd: Its cost; None without a price.
        share: Its part of all charges with a price; None without any.
        requests: Exchanges.
        tokens: Tokens of prompts and answers.
        usd_per_million: Cost of a million tokens; None without tokens or price.
        usd_per_conversation: Cost of a conversation; None without conversations or price.
        requests_per_usd: Exchanges for a dollar; None without a price.
        busy_seconds: Share of the servers' busy time.
    """

    name: str
    usd: float | None
    share: float | None
    requests: int
    tokens: int
    usd_per_million: float | None
    usd_per_conversation: float | None
    requests_per_usd: float | None
    busy_seconds: float


def costs_by(bill: Bill, dimension: str) -> list[GroupCost]:
    """Return the costs of a dimension's groups, the dearest first.

    Args:
        bill: The bill.
        dimension: One of ``DIMENSIONS``.
    """
    groups = bill.by(DIMENSIONS[dimension])
    whole = sum(charge.usd or 0.0 for charge in groups.values())
    return [group_cost(name, charge, whole) for name, charge in groups.items()]


@dataclass(frozen=True, slots=True)
class CostChange:
    """What a group of charges costs now and cost before.

    Attributes:
        name: The group.
        usd: Its cost now; 0 if it is not in the bill, or without a price.
        before_usd: Its cost before.
        times: Now as a multiple of before; None if it cost nothing before.
        usd_per_million: Cost of a million tokens now; None without tokens or price.
        before_usd_per_million: The same before.
    """

    name: str
    usd: float
    before_usd: float
    times: float | None
    usd_per_million: float | None
    before_usd_per_million: float | None


def cost_changes(now: Bill, before: Bill, dimension: str) -> list[CostChange]:
    """Return how the costs of a dimension's groups have changed, the largest rise first.

    Args:
        now: A bill.
        before: That of an earlier range, of the same length.
        dimension: One of ``DIMENSIONS``.
    """
    new, old = ({one.name: one for one in costs_by(bill, dimension)} for bill in (now, before))
    found = []
    for name in new.keys() | old.keys():
        usd, before_usd = ((one[name].usd or 0.0) if name in one else 0.0 for one in (new, old))
        found.append(
            CostChange(
                name=name,
                usd=usd,
                before_usd=before_usd,
                times=usd / before_usd if before_usd else None,
                usd_per_million=new[name].usd_per_million if name in new else None,
                before_usd_per_million=old[name].usd_per_million if name in old else None,
            )
        )
    return sorted(found, key=lambda one: (one.before_usd - one.usd, one.name))


def group_cost(name: str, charge: Charge, whole: float = 0.0) -> GroupCost:
    """Return what a group of charges costs.

    Args:
        name: The group.
        charge: The sum of its charges.
        whole: Cost of all groups; 0 if the share is not wanted.
    """
    work, usd = charge.work, charge.usd
    tokens = tokens_of(work)
    return GroupCost(
        name=name,
        usd=usd,
        share=usd / whole if usd is not None and whole else None,
        requests=work.requests,
        tokens=tokens,
        usd_per_million=usd / tokens * _MILLION if usd is not None and tokens else None,
        usd_per_conversation=usd / work.openings if usd is not None and work.openings else None,
        requests_per_usd=work.requests / usd if usd else None,
        busy_seconds=charge.busy_seconds,
    )


def bill_rows(bill: Bill) -> Iterator[tuple[str | int | float | None, ...]]:
    """Yield the bill's rows, whose last column adds up to the bill.

    Idle time and the residual are lines of their own, for each upstream with a price of its time.
    There ``tokens_usd`` is what the tokens would cost by their own price, if they have one.
    """
    for key, charge in sorted(bill.charges.items()):
        segment, work = Segment.from_key(key.segment), charge.work
        yield (
            *(key.upstream, key.line, key.customer, key.key_id),
            *(segment.model, segment.version, segment.route),
            *(work.requests, work.openings, work.prompt_tokens, work.cached_tokens),
            *(work.output_tokens, work.reasoning_tokens, _usd(work.nanousd / 1e9)),
            *(round(charge.busy_seconds, 3), _usd(charge.usd)),
        )
    for one in bill.upstreams:
        residual = one.seconds - one.idle_seconds - one.busy_seconds
        for line, seconds, usd in (
            ("idle", one.idle_seconds, one.idle_usd),
            ("residual", residual, one.residual_usd),
        ):
            yield (one.upstream, line, *[None] * 12, round(seconds, 3), _usd(usd))


def _usd(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 9) + 0.0
