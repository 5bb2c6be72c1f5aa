"""The bill: the price of each upstream's time, shared by the work that it did.

For each upstream with a price of its time, and each minute,

    price * time = shares of the customers + idle + residual

A minute's busy time is the time with an exchange in flight, whichever gateway it came from. The
prompts pay what the weights say of it, and the answers pay the rest (see ``shares``). Idle time has
no exchange in flight; where the server's own metrics were read, it is what they say. The residual
is neither: busy time without work that is known, and the difference between both sources.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tidegauge.cost.prices import GpuPrice, price_at
from tidegauge.cost.shares import SLOT_SECONDS, busy_minute, shares_of_minute
from tidegauge.cost.weights import CostWeights, measure_weights
from tidegauge.schemas.upstream_events import MINUTE_MS, CostLine, WorkAmounts
from tidegauge.streaming.upstream_work import MinuteOfWork

__all__ = [
    "Bill",
    "Charge",
    "ChargeKey",
    "GpuPrices",
    "PricedTime",
    "UpstreamBill",
    "Weights",
    "make_bill",
    "merge_bills",
    "tokens_of",
]

_MINUTE_SECONDS: Final = MINUTE_MS / 1000
_MINUTES_OF_AN_HOUR: Final = 60

_FIELDS: Final = WorkAmounts.__struct_fields__
_NANOUSD: Final = _FIELDS.index("nanousd")

GpuPrices: TypeAlias = Mapping[str, float | Sequence[GpuPrice]]
"""Upstream's label -> price of its time in USD per hour."""

Weights: TypeAlias = Mapping[str, CostWeights | None]
"""Upstream's label -> what its time is spent on; None without work."""


class ChargeKey(NamedTuple):
    """What a charge is for.

    Attributes:
        upstream: Label of the upstream.
        segment: Key of the segment.
        customer: Whose exchanges they are.
        line: Why they are paid for.
        key_id: Id of the client key; empty where it is not known.
    """

    upstream: str
    segment: str
    customer: str
    line: CostLine
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the bill.

    Attributes:
        work: The work that was done.
        busy_seconds: Its share of the upstream's busy time.
        usd: What it costs; None if the upstream has no price.
    """

    work: WorkAmounts
    busy_seconds: float
    usd: float | None


class PricedTime(NamedTuple):
    """An upstream's time at prices of one kind, such as ``spot``.

    Attributes:
        kind: The kind; empty for prices without one.
        seconds: The time.
        usd: Its price.
    """

    kind: str
    seconds: float
    usd: float


@dataclass(frozen=True, slots=True)
class UpstreamBill:
    """One upstream's time and what became of it.

    Attributes:
        upstream: Its label.
        seconds: Time that was paid for.
        usd: Price of that time.
        shares_usd: What exchanges pay of it.
        busy_seconds: Time with an exchange in flight.
        idle_seconds: Time in which the server was idle.
        idle_usd: Price of the idle time.
        residual_usd: What is neither.
        idle_by: What the idle time was measured by: ``exchanges`` or ``metrics``.
        weights: What its time was spent on; None without work.
        kinds: The time by the kind of its price, as an invoice lists it.
    """

    upstream: str
    seconds: float
    usd: float
    shares_usd: float
    busy_seconds: float
    idle_seconds: float
    idle_usd: float
    residual_usd: float
    idle_by: str
    weights: CostWeights | None
    kinds: tuple[PricedTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Bill:
    """What a range of time cost.

    Attributes:
        start_ms: Its start, a whole minute, Unix milliseconds.
        end_ms: Its end.
        upstreams: The upstreams with a price of their time.
        charges: The lines of all upstreams.
    """

    start_ms: int
    end_ms: int
    upstreams: tuple[UpstreamBill, ...]
    charges: Mapping[ChargeKey, Charge]

    @property
    def usd(self) -> float:
        """The whole price: of the upstreams' time, and of tokens where these are priced."""
        return sum(one.usd for one in self.upstreams) + self.token_usd

    @property
    def token_usd(self) -> float:
        """The price of tokens, of upstreams whose time has none."""
        timed = {one.upstream for one in self.upstreams}
        return sum(
            charge.usd or 0.0 for key, charge in self.charges.items() if key.upstream not in timed
        )

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Labels of upstreams whose work has no price; work that is not known needs none."""
        found = {
            key.upstream
            for key, charge in self.charges.items()
            if charge.usd is None and tokens_of(charge.work)
        }
        return tuple(sorted(found))

    def by(self, group: Callable[[ChargeKey], str]) -> dict[str, Charge]:
        """Return the charges summed over groups, the dearest first."""
        sums: dict[str, _Sum] = defaultdict(_Sum)
        for key, charge in self.charges.items():
            amounts = msgspec.structs.astuple(charge.work)
            sums[group(key)].add(amounts, charge.busy_seconds, charge.usd)
        found = {name: one.charge() for name, one in sums.items()}
        order = sorted(found, key=lambda name: (-(found[name].usd or 0.0), name))
        return {name: found[name] for name in order}


def tokens_of(work: WorkAmounts) -> int:
    """Return the tokens of prompts and answers, cached ones included."""
    return work.prompt_tokens + work.cached_tokens + work.output_tokens


@dataclass(slots=True)
class _Sum:
    """A charge while it is added up, its work as the amounts in the order of ``WorkAmounts``."""

    amounts: list[int] = field(default_factory=lambda: [0] * len(_FIELDS))
    busy_seconds: float = 0.0
    usd: float | None = None

    def add(self, amounts: Sequence[int], busy_seconds: float, usd: float | None) -> None:
        self.amounts = list(map(int.__add__, self.amounts, amounts))
        self.busy_seconds += busy_seconds
        if usd is not None:
            self.usd = (self.usd or 0.0) + usd

    def charge(self) -> Charge:
        return Charge(WorkAmounts(*self.amounts), self.busy_seconds, self.usd)


@dataclass(slots=True)
class _Time:
    """Sums of an upstream's minutes."""

    seconds: float = 0.0
    usd: float = 0.0
    shares_usd: float = 0.0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    idle_usd: float = 0.0
    idle_by: set[str] = field(default_factory=set)
    kinds: dict[str, PricedTime] = field(default_factory=dict)


def make_bill(  # noqa: PLR0913 - work, prices, a range, and what is known of it
    work: Mapping[tuple[str, int], MinuteOfWork],
    prices: GpuPrices,
    start_ms: int,
    end_ms: int,
    *,
    idle_shares: Mapping[tuple[str, int], float] | None = None,
    weights: Weights | None = None,
    judges: Collection[str] = (),
) -> Bill:
    """Return the bill of a range of time.

    Args:
        work: (upstream, start of a minute) -> all gateways' work in it.
        prices: The upstreams whose time has a price; the others' tokens may have one.
        start_ms: Start of the range, Unix milliseconds; it is rounded down to a minute.
        end_ms: Its end, rounded down, too.
        idle_shares: (upstream, start of a minute) -> share of the minute in which the server was
            idle by its own metrics, as far as they were read.
        weights: What the upstreams' time is spent on; measured in this range if left out.
        judges: Customers whose requests are judges'; they are a line of their own.
    """
    first, last = start_ms // MINUTE_MS, end_ms // MINUTE_MS
    found: dict[str, dict[int, MinuteOfWork]] = {name: {} for name in prices}
    for (upstream, minute_ms), minute in work.items():
        if first <= minute_ms // MINUTE_MS < last:
            found.setdefault(upstream, {})[minute_ms] = minute
    charges: dict[ChargeKey, _Sum] = defaultdict(_Sum)
    upstreams = []
    for upstream, minutes in sorted(found.items()):
        if upstream not in prices:
            _charge_tokens(upstream, minutes.values(), charges)
            continue
        spent = _weights(minutes.values()) if weights is None else weights.get(upstream)
        time = _Time()
        for minute_ms in range(first * MINUTE_MS, last * MINUTE_MS, MINUTE_MS):
            price = price_at(prices[upstream], minute_ms)
            usd = 0.0 if price is None else price.usd / _MINUTES_OF_AN_HOUR
            idle = (idle_shares or {}).get((upstream, minute_ms))
            shares = _charge_time(upstream, minutes.get(minute_ms), spent, usd, charges, time)
            _count_time(time, usd, shares, idle, kind=None if price is None else price.kind)
        upstreams.append(
            UpstreamBill(
                upstream,
                time.seconds,
                time.usd,
                time.shares_usd,
                time.busy_seconds,
                time.idle_seconds,
                time.idle_usd,
                time.usd - time.shares_usd - time.idle_usd,
                " and ".join(sorted(time.idle_by)) or "exchanges",
                spent,
                tuple(time.kinds.values()),
            )
        )
    return Bill(
        first * MINUTE_MS,
        last * MINUTE_MS,
        tuple(upstreams),
        _charges(charges, judges),
    )


def _charges(sums: Mapping[ChargeKey, _Sum], judges: Collection[str]) -> dict[ChargeKey, Charge]:
    """Return the charges, those of judges' requests in a line of their own."""
    found: dict[ChargeKey, _Sum] = defaultdict(_Sum)
    for key, one in sums.items():
        own = key._replace(line="judge") if key.customer in judges else key
        found[own].add(one.amounts, one.busy_seconds, one.usd)
    return {key: one.charge() for key, one in found.items()}


def merge_bills(bills: Sequence[Bill]) -> Bill:
    """Return the bill of a range of time from those of its parts.

    Args:
        bills: The bills of ranges that follow each other, at least one. The newest one's weights
            are those of the whole.
    """
    charges: dict[ChargeKey, _Sum] = defaultdict(_Sum)
    upstreams: dict[str, UpstreamBill] = {}
    for bill in bills:
        for key, charge in bill.charges.items():
            amounts = msgspec.structs.astuple(charge.work)
            charges[key].add(amounts, charge.busy_seconds, charge.usd)
        for one in bill.upstreams:
            before = upstreams.get(one.upstream)
            upstreams[one.upstream] = one if before is None else _joined(before, one)
    return Bill(
        bills[0].start_ms,
        bills[-1].end_ms,
        tuple(upstreams[name] for name in sorted(upstreams)),
        {key: one.charge() for key, one in charges.items()},
    )


def _joined(one: UpstreamBill, other: UpstreamBill) -> UpstreamBill:
    idle_by = {word for bill in (one, other) for word in bill.idle_by.split(" and ")}
    return UpstreamBill(
        one.upstream,
        one.seconds + other.seconds,
        one.usd + other.usd,
        one.shares_usd + other.shares_usd,
        one.busy_seconds + other.busy_seconds,
        one.idle_seconds + other.idle_seconds,
        one.idle_usd + other.idle_usd,
        one.residual_usd + other.residual_usd,
        " and ".join(sorted(idle_by)),
        other.weights or one.weights,
        _joined_kinds((*one.kinds, *other.kinds)),
    )


def _joined_kinds(times: Iterable[PricedTime]) -> tuple[PricedTime, ...]:
    found: dict[str, PricedTime] = {}
    for one in times:
        before = found.get(one.kind, PricedTime(one.kind, 0.0, 0.0))
        found[one.kind] = PricedTime(one.kind, before.seconds + one.seconds, before.usd + one.usd)
    return tuple(found.values())


def _charge_tokens(
    upstream: str, minutes: Iterable[MinuteOfWork], charges: dict[ChargeKey, _Sum]
) -> None:
    for minute in minutes:
        for key, amounts in minute.rows.items():
            usd = amounts[_NANOUSD] / 1e9 if amounts[_NANOUSD] else None
            charges[ChargeKey(upstream, *key)].add(amounts, 0.0, usd)


def _charge_time(  # noqa: PLR0913, PLR0917 - a minute, its price, and where both are added up
    upstream: str,
    minute: MinuteOfWork | None,
    weights: CostWeights | None,
    usd: float,
    charges: dict[ChargeKey, _Sum],
    time: _Time,
) -> float:
    """Add a minute's charges and busy time; return the busy time in seconds."""
    if minute is None:
        return 0.0
    busy = minute.busy.bit_count() * SLOT_SECONDS
    shares = shares_of_minute(minute, weights, busy)
    for (key, amounts), seconds in zip(minute.rows.items(), shares, strict=True):
        share_usd = usd * seconds / _MINUTE_SECONDS
        charges[ChargeKey(upstream, *key)].add(amounts, seconds, share_usd)
        time.shares_usd += share_usd
    return busy


def _count_time(
    time: _Time, usd: float, busy: float, idle: float | None, *, kind: str | None
) -> None:
    """Add a minute at a price of some kind, None for one that is not paid for."""
    if kind is None:
        return
    idle_seconds = _MINUTE_SECONDS - busy if idle is None else idle * _MINUTE_SECONDS
    before = time.kinds.get(kind, PricedTime(kind, 0.0, 0.0))
    time.kinds[kind] = PricedTime(kind, before.seconds + _MINUTE_SECONDS, before.usd + usd)
    time.seconds += _MINUTE_SECONDS
    time.usd += usd
    time.busy_seconds += busy
    time.idle_seconds += idle_seconds
    time.idle_usd += usd * idle_seconds / _MINUTE_SECONDS
    time.idle_by.add("exchanges" if idle is None else "metrics")


def _weights(minutes: Iterable[MinuteOfWork]) -> CostWeights | None:
    found = [busy_minute(minute, minute.total()) for minute in minutes if minute.busy]
    return measure_weights(found) if found else None
