"""The account: work and samples of upstreams as they come from the log, and bills made of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Final

from tidegauge.cost.bill import Bill, ChargeKey, GpuPrices, make_bill, tokens_of
from tidegauge.cost.upstream_use import UpstreamUse, UseSums
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    SLOT_MS,
    UpstreamSample,
    UpstreamWork,
)
from tidegauge.streaming.upstream_work import WorkAccumulator

__all__ = ["CostAccount"]

_MOST_PRODUCERS: Final = 10_000
_MOST_UPSTREAMS: Final = 1_024
_HOUR_MS: Final = 3_600_000
_LONGEST_SILENCE_MS: Final = 24 * _HOUR_MS


class CostAccount:
    """Adds up what the log says of upstreams; each event counts once.

    Times that a producer makes up do not fill the memory: minutes before the range that is kept,
    and after it, are left out.

    Args:
        since_ms: Start of the range that is kept, Unix milliseconds.
        until_ms: Its end, excluded.

    Attributes:
        work: The work of all minutes that are kept.
        newest: Label of the upstream -> its newest sample.
        answered_ms: Label of the upstream -> when it last answered without a fault, or was first
            asked.
        changed: Starts of the hours that events have changed, for whoever keeps their bills.
        began_ms: When the log begins: of hours before, nothing is known.
    """

    def __init__(self, since_ms: int, until_ms: int) -> None:
        self._since_ms, self._until_ms = since_ms, until_ms
        self.work = WorkAccumulator()
        self.newest: dict[str, UpstreamSample] = {}
        self.answered_ms: dict[str, int] = {}
        self.changed: set[int] = set()
        self.began_ms = 0
        self._idle: defaultdict[tuple[str, int], list[tuple[int, bool]]] = defaultdict(list)
        self._told: defaultdict[tuple[str, int], float] = defaultdict(float)
        self._told_ms: dict[str, int] = {}
        self._use: defaultdict[tuple[str, int], UseSums] = defaultdict(UseSums)
        self._newest: dict[str, tuple[int, int]] = {}

    def add(self, event: UpstreamWork | UpstreamSample) -> None:
        """Add an event of the log."""
        if isinstance(event, UpstreamSample):
            self._add_sample(event)
            return
        sequence, time_ms = self._newest.get(event.producer_id, (0, 0))
        # A worker that lost its state numbers anew, and goes on from a later time.
        if event.sequence <= sequence and event.time_ms <= time_ms:
            return  # published twice
        if event.producer_id in self._newest or len(self._newest) < _MOST_PRODUCERS:
            self._newest[event.producer_id] = (event.sequence, max(time_ms, event.time_ms))
        for minute in event.minutes:
            if self._since_ms <= minute.start_ms < self._until_ms:
                self.work.merge(minute)
                self.changed.add(minute.start_ms // _HOUR_MS * _HOUR_MS)

    def _add_sample(self, sample: UpstreamSample) -> None:
        before = self.newest.get(sample.upstream)
        if before is None and len(self.newest) >= _MOST_UPSTREAMS:
            return
        if before is not None and sample.time_ms <= before.time_ms:
            return
        # A sample that is taken after the range may tell of minutes in it.
        if sample.prompt_tokens is not None and sample.generated_tokens is not None:
            self._tell(sample, sample.prompt_tokens + sample.generated_tokens)
        if not self._since_ms <= sample.time_ms < self._until_ms:
            return
        self.newest[sample.upstream] = sample
        if not sample.faults or before is None:
            self.answered_ms[sample.upstream] = sample.time_ms
        hour_ms = sample.time_ms // _HOUR_MS * _HOUR_MS
        self.changed.add(hour_ms)
        self._use[sample.upstream, hour_ms].add(sample)
        minute, offset = divmod(sample.time_ms, MINUTE_MS)
        if sample.running is not None:
            idle = sample.running + (sample.waiting or 0.0) == 0
            self._idle[sample.upstream, minute * MINUTE_MS].append((offset // SLOT_MS, idle))

    def _tell(self, sample: UpstreamSample, tokens: float) -> None:
        """Add the tokens to the minutes of the range that they are of, after a silence to many.

        What was told of a time already is not told again: a sample that is taken after the range
        is not kept, and may be published twice.
        """
        whole_ms = min(max(1.0, sample.seconds * 1000), _LONGEST_SILENCE_MS)
        first_ms = self._since_ms // MINUTE_MS * MINUTE_MS
        told_ms = self._told_ms.get(sample.upstream, first_ms)
        start_ms = max(sample.time_ms - whole_ms, first_ms, told_ms)
        end_ms = min(sample.time_ms, -(-self._until_ms // MINUTE_MS) * MINUTE_MS)
        known = sample.upstream in self._told_ms or len(self._told_ms) < _MOST_UPSTREAMS
        if start_ms >= end_ms or not known:
            return
        self._told_ms[sample.upstream] = end_ms
        for minute_ms in range(int(start_ms) // MINUTE_MS * MINUTE_MS, end_ms, MINUTE_MS):
            part_ms = min(end_ms, minute_ms + MINUTE_MS) - max(start_ms, minute_ms)
            self._told[sample.upstream, minute_ms] += tokens * part_ms / whole_ms
            self.changed.add(minute_ms // _HOUR_MS * _HOUR_MS)

    def keep(self, since_ms: int, until_ms: int) -> None:
        """Keep another range: forget what is before it, and take in what is in it from now on."""
        self._since_ms, self._until_ms = since_ms, until_ms
        self.work.forget(since_ms)
        for kept in (self._idle, self._told, self._use):
            for key in [key for key in kept if key[1] < since_ms]:
                del kept[key]
        for upstream in [name for name, told_ms in self._told_ms.items() if told_ms < since_ms]:
            del self._told_ms[upstream]
        for upstream in [name for name, one in self.newest.items() if one.time_ms < since_ms]:
            del self.newest[upstream]
            self.answered_ms.pop(upstream, None)

    def use(self, start_ms: int, end_ms: int) -> dict[str, UpstreamUse]:
        """Return the use of the upstreams that told of it, by label.

        Args:
            start_ms: From when, Unix milliseconds; its whole hour counts.
            end_ms: Until when; so does this.
        """
        found: defaultdict[str, UseSums] = defaultdict(UseSums)
        for (upstream, hour_ms), sums in self._use.items():
            if start_ms - _HOUR_MS < hour_ms < end_ms:
                found[upstream].merge(sums)
        return {upstream: sums.use() for upstream, sums in found.items()}

    def told_tokens(self, start_ms: int, end_ms: int) -> dict[str, dict[int, float]]:
        """Return the tokens that the upstreams counted themselves, in the minutes that they tell.

        Args:
            start_ms: From when, a whole minute, Unix milliseconds.
            end_ms: Until when.

        Returns:
            Label of the upstream -> start of the minute -> tokens.
        """
        found: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for (upstream, minute_ms), told in self._told.items():
            if start_ms <= minute_ms < end_ms:
                found[upstream][minute_ms] = told
        return found

    def unforwarded_tokens(self, start_ms: int, end_ms: int) -> dict[str, float]:
        """Return how many tokens the upstreams counted more than their exchanges have.

        They are those of requests that came by no gateway and no judge worker.

        Args:
            start_ms: From when, a whole minute, Unix milliseconds.
            end_ms: Until when.

        Returns:
            Label of the upstream -> tokens since the first minute that it told of; without those
            that told nothing of this time.
        """
        told = self.told_tokens(start_ms, end_ms)
        found = {upstream: sum(minutes.values()) for upstream, minutes in told.items()}
        first = {upstream: min(minutes) for upstream, minutes in told.items()}
        for (upstream, minute_ms), minute in self.work.minutes.items():
            if first.get(upstream, end_ms) <= minute_ms < end_ms:
                found[upstream] -= tokens_of(minute.total())
        return found

    def seen(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, ChargeKey]]:
        """Yield (start of a minute, charge) for the work of a range of time."""
        for (upstream, minute_ms), minute in self.work.minutes.items():
            if start_ms <= minute_ms < end_ms:
                yield from ((minute_ms, ChargeKey(upstream, *row)) for row in minute.rows)

    def hourly_token_usd(self, prices: GpuPrices, start_ms: int, end_ms: int) -> tuple[float, ...]:
        """Return the cost of tokens by whole hour, of upstreams whose time has no price.

        Hours before the log begins are left out.
        """
        first_ms = max(start_ms, self.began_ms)
        found = dict.fromkeys(range(-(-first_ms // _HOUR_MS), end_ms // _HOUR_MS), 0)
        for (upstream, minute_ms), minute in self.work.minutes.items():
            hour = minute_ms // _HOUR_MS
            if upstream not in prices and hour in found:
                found[hour] += minute.total().nanousd
        return tuple(nanousd / 1e9 for nanousd in found.values())

    def bill(
        self, prices: GpuPrices, start_ms: int, end_ms: int, judges: Collection[str] = ()
    ) -> Bill:
        """Return the bill of a range of time; see ``make_bill``."""
        idle_shares = self.idle_shares(start_ms, end_ms)
        return make_bill(
            self.work.minutes, prices, start_ms, end_ms, idle_shares=idle_shares, judges=judges
        )

    def idle_shares(self, start_ms: int, end_ms: int) -> dict[tuple[str, int], float]:
        """Return the share of each minute in which its server was idle, where it was asked.

        The exchanges tell every moment whether a server had one, and samples tell a few moments
        whether it worked. The mean difference at the samples' moments corrects the exchanges'
        share (a control variate): it is 0 while all traffic comes through gateways, whenever the
        samples are taken.

        Args:
            start_ms: Start of the range, Unix milliseconds; its whole minute counts.
            end_ms: Its end.
        """
        shares = {}
        for (upstream, minute_ms), samples in self._idle.items():
            if not start_ms - MINUTE_MS < minute_ms < end_ms:
                continue
            minute = self.work.minutes.get((upstream, minute_ms))
            busy = minute.busy if minute is not None else 0
            differences = [idle - (not busy >> slot & 1) for slot, idle in samples]
            mine = 1.0 - busy.bit_count() * SLOT_MS / MINUTE_MS
            shares[upstream, minute_ms] = mine + sum(differences) / len(differences)
        return shares
