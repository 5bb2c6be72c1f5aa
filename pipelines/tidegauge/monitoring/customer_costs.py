"""Which customers cost much more than a week before, tested hour by hour.

An hour counts as dear if the customer cost more than ``TIMES`` as much as in the same hour of the
week before. While nothing has changed, the two hours' costs may as well change places, so at most
one half of the hours are dear, however costs are distributed (the sign test: Dixon and Mood, 1946).
The factor leaves room for changes that nobody need look at. The e-detector of the other monitors
bets on rates above one half, so the mean time to a false alarm is at least that of the threshold.

Hours are the units of the test: given what a customer does in an hour and did a week before, what
chance makes of its conversations is to be over within an hour. A conversation of many hours is
evidence several times over.

Costs are compared in dollars where the exchanges' tokens have a price, and as work in tokens
elsewhere. Where a customer had both, an hour is dear only if both rose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import numpy as np

from tidegauge.detection.bets import Bets
from tidegauge.detection.confidence import clopper_pearson
from tidegauge.detection.e_detector import (
    Contribution,
    Decision,
    Evidence,
    judge,
    no_evidence,
    observe,
    pack,
    unpack,
)
from tidegauge.monitoring.catalog import COST_CUSTOMER, MonitorKey
from tidegauge.monitoring.intake import MergedWindow
from tidegauge.monitoring.plan import CUSTOMER_SHARE, MonitorPlan, log_threshold
from tidegauge.reports.formatting import count, dollars, duration, moment, times
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Effect, State, Verdict

__all__ = ["MOST_CUSTOMERS", "TIMES", "CustomerCosts", "CustomerCostsState", "customer_key"]

TIMES: Final = 2
"""How many times the cost of the week before is still normal."""
MOST_CUSTOMERS: Final = 32
"""Customers that are tested, in order of appearance."""

_HOUR_MS: Final = 3_600_000
_WEEK: Final = 7 * 24
_KEPT: Final = _WEEK + 24
"""Hours that are kept of a customer: those of the last day, and of the same day a week before."""
_ENOUGH_HOURS: Final = 24
_NOTABLE_SHARE: Final = 0.01
"""Share of all work or cost of the last day from which a customer's alarm is more than ``info``."""
_RATES: Final = np.array([0.65, 0.8, 0.95])
"""Rates of dear hours that are bet on, against one half."""
_NO_CUSTOMERS: Final = {measures.OTHER_LABEL, measures.SHADOW_CUSTOMER}
_BETS: Final = Bets(
    log_hit=np.log(_RATES / 0.5)[None, None],
    log_miss=np.log((1 - _RATES) / 0.5)[None, None],
    log_weights=np.full((1, len(_RATES)), -np.log(len(_RATES))),
    baseline="",
    drawn=np.zeros(0, np.int64),
    block_ms=np.zeros(0, np.int64),
    edges=np.zeros((1, 0, 2)),
    log_ratio=np.zeros((0, len(_RATES))),
    shape=np.zeros((0, 1)),
)


class CustomerHour(NamedTuple):
    """What a customer cost in an hour: dollars in billionths, and work without a price."""

    nanousd: int = 0
    work: int = 0


_NOTHING: Final = CustomerHour()


class CustomerState(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's hours and evidence as plain data."""

    first: int
    hours: dict[int, CustomerHour]
    evidence: bytes | None


class CustomerCostsState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``CustomerCosts`` as plain data; customers in order of appearance."""

    hour: int | None = None
    customers: dict[str, CustomerState] = {}


@dataclass(slots=True)
class _Customer:
    """A customer's last hours, by their number since the epoch, and the evidence so far."""

    first: int
    hours: dict[int, CustomerHour] = field(default_factory=dict)
    evidence: Evidence | None = None

    def pair(self, hour: int) -> tuple[CustomerHour, CustomerHour] | None:
        """Return an hour's cost and that a week before; None where they cannot be compared."""
        # The first hour that is known of a customer may have begun before the counting did.
        if hour - _WEEK <= self.first:
            return None
        found = self.hours.get(hour, _NOTHING), self.hours.get(hour - _WEEK, _NOTHING)
        return found if any(found[0]) or any(found[1]) else None

    def day(self, hour: int) -> tuple[CustomerHour, CustomerHour]:
        """Return the cost of the last day up to an hour, and of the same hours a week before."""
        pairs = [pair for h in range(hour - 23, hour + 1) if (pair := self.pair(h)) is not None]
        now, before = (
            CustomerHour(*(sum(pair[side][amount] for pair in pairs) for amount in range(2)))
            for side in range(2)
        )
        return now, before


class CustomerCosts:
    """Tests for each customer whether it costs more than ``TIMES`` what it did a week before.

    Args:
        plan: The monitor's settings.
        state: The state to resume from.
    """

    def __init__(self, plan: MonitorPlan, state: CustomerCostsState | None = None) -> None:
        kept = state or CustomerCostsState()
        self._plan = plan
        self._hour = kept.hour
        self._customers = {
            name: _Customer(
                one.first, dict(one.hours), unpack(one.evidence) if one.evidence else None
            )
            for name, one in kept.customers.items()
        }

    def add(self, window: MergedWindow, latched: Mapping[str, bool]) -> list[Verdict]:
        """Add a closed window of responses; return the verdicts on the hours that it ends.

        Args:
            window: The window; windows must come in order of time.
            latched: Customer -> whether its alarm is critical, of those whose alarm fires.
        """
        hour = window.start_ms // _HOUR_MS
        verdicts: list[Verdict] = []
        if self._hour is not None:
            # After a pause longer than what is kept, nothing is left to compare.
            for ended in range(max(self._hour, hour - _KEPT), hour):
                verdicts += self._end(ended, latched)
        self._hour = hour if self._hour is None else max(hour, self._hour)
        for sketch in window.sketches:
            for place, name in enumerate(
                (measures.COST_NANOUSD_BY_CUSTOMER, measures.WORK_BY_CUSTOMER)
            ):
                for customer, amount in sketch.totals.get(name, {}).items():
                    self._count(customer, hour, place, amount)
        return verdicts

    def _count(self, customer: str, hour: int, place: int, amount: int) -> None:
        known = self._customers.get(customer)
        if known is None:
            if customer in _NO_CUSTOMERS or len(self._customers) >= MOST_CUSTOMERS:
                return
            known = self._customers[customer] = _Customer(hour)
        amounts = list(known.hours.get(hour, _NOTHING))
        amounts[place] += amount
        known.hours[hour] = CustomerHour(*amounts)

    def restart(self, customer: str) -> None:
        """Drop a customer's evidence, so that its test starts afresh."""
        if customer in self._customers:
            self._customers[customer].evidence = None

    def _end(self, hour: int, latched: Mapping[str, bool]) -> Iterator[Verdict]:
        days = {name: one.day(hour)[0] for name, one in self._customers.items()}
        whole = [sum(amounts) for amounts in zip(*days.values(), strict=True)]
        for rank, (name, known) in enumerate(self._customers.items(), 1):
            pair = known.pair(hour)
            if pair is not None or known.evidence is not None:
                hits = np.array([pair is not None and _is_dear(*pair)], np.int64)
                known.evidence = observe(
                    _BETS,
                    known.evidence or no_evidence(_BETS),
                    hits,
                    np.array([pair is not None], np.int64),
                    duration_seconds=_HOUR_MS / 1000,
                )
                threshold = log_threshold(self._plan, CUSTOMER_SHARE, rank)
                shares = [n / of for n, of in zip(days[name], whole, strict=True) if of]
                decision = judge(_BETS, known.evidence, log_threshold=threshold)
                state = _state(decision, max(shares, default=0.0), latched.get(name))
                yield _verdict(name, decision, state, known.day(hour), (hour + 1) * _HOUR_MS)
            for old in [one for one in known.hours if one <= hour - _KEPT]:
                del known.hours[old]

    def state(self) -> CustomerCostsState:
        """Return the state as plain data."""
        return CustomerCostsState(
            hour=self._hour,
            customers={
                name: CustomerState(
                    first=one.first,
                    hours=dict(one.hours),
                    evidence=None if one.evidence is None else pack(one.evidence),
                )
                for name, one in self._customers.items()
            },
        )


def customer_key(customer: str) -> MonitorKey:
    """Return the monitor of a customer's cost with its segment: all of the customer's traffic."""
    return MonitorKey(COST_CUSTOMER, Segment(model="", customer=customer))


def _is_dear(now: CustomerHour, before: CustomerHour) -> bool:
    """Return whether every kind of cost that there was has risen by more than ``TIMES``."""
    return all(new > TIMES * old for new, old in zip(now, before, strict=True) if new or old)


def _state(decision: Decision, share: float, latched: bool | None) -> State:  # noqa: FBT001
    if latched is not None:
        return State.CRITICAL if latched else State.WARN
    if decision.alarm:
        return State.WARN if share >= _NOTABLE_SHARE else State.INFO
    tested = max((part.trials for part in decision.parts), default=0)
    return State.OK if tested >= _ENOUGH_HOURS else State.LOW_DATA


def _verdict(
    customer: str,
    decision: Decision,
    state: State,
    day: tuple[CustomerHour, CustomerHour],
    end_ms: int,
) -> Verdict:
    key = customer_key(customer)
    mean_seconds = math.exp(decision.log_threshold)
    alarmed = state in {State.WARN, State.CRITICAL, State.INFO}
    part = decision.parts[0] if decision.parts else None
    since_ms = None if part is None else end_ms - round(part.seconds_ago * 1000)
    lately = _lately(*day)
    if alarmed and part is not None and since_ms is not None:
        sentence = (
            f"The customer costs more than {TIMES} times what it did a week before since "
            f"{moment(since_ms)}: in {part.hits} of {part.trials} hours it cost more than that, "
            f"where half of them would be normal. {lately} With nothing changed, an alarm like "
            f"this comes once in {duration(mean_seconds)} or less often."
        )
    elif state == State.LOW_DATA:
        sentence = (
            f"Fewer than {_ENOUGH_HOURS} hours could be compared with those of the week before "
            f"so far. {lately}"
        )
    else:
        sentence = f"The customer costs no more than {TIMES} times what it did. {lately}"
    return Verdict(
        monitor=key.monitor.name,
        signal=key.monitor.signal,
        segment=key.segment,
        time_ms=end_ms,
        state=state,
        sentence=sentence,
        log_statistic=decision.log_statistic if part is not None else None,
        log_threshold=decision.log_threshold,
        mean_seconds_to_false_alarm=mean_seconds,
        since_ms=since_ms if alarmed else None,
        events=1,
        effects=() if part is None or not part.trials else (_effect(part),),
    )


def _effect(part: Contribution) -> Effect:
    low, high = clopper_pearson(part.hits, part.trials, alpha=0.05)
    return Effect(
        indicator="cost/above_last_week",
        title=f"hours that cost more than {TIMES} times the same hour of the week before",
        baseline_rate=0.5,
        low=0.0,
        high=0.5,
        hits=part.hits,
        trials=part.trials,
        rate_low=float(low),
        rate_high=float(high),
        share=1.0,
    )


def _lately(now: CustomerHour, before: CustomerHour) -> str:
    """Return a sentence on the hours of the last day that could be compared."""
    if now.work or before.work:
        amounts = f"{count(now.work)} tokens of work against {count(before.work)}"
        ratio = now.work / before.work if before.work else math.inf
        if now.nanousd or before.nanousd:
            amounts += f", and {_usd(now)} against {_usd(before)}"
    else:
        amounts = f"{_usd(now)} against {_usd(before)}"
        ratio = now.nanousd / before.nanousd if before.nanousd else math.inf
    return f"The last day: {amounts} a week before ({times(ratio)})."


def _usd(cost: CustomerHour) -> str:
    return dollars(cost.nanousd / 1e9)
