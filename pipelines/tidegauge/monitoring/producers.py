"""What producers say of themselves: the newest heartbeat and one that has had time to settle."""

from __future__ import annotations

import msgspec

from tidegauge.monitoring.ledger import ProducerCounts
from tidegauge.schemas.exchange import Heartbeat

__all__ = ["Producers", "ProducersState"]

_MOST = 256


class _Heard(msgspec.Struct, frozen=True, kw_only=True):
    latest: Heartbeat
    next_settling: Heartbeat
    settling: Heartbeat


class ProducersState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``Producers`` remembers, as plain data."""

    heard: tuple[_Heard, ...] = ()


class Producers:
    """The heartbeats of the producers heard last.

    Args:
        settle_ms: Age from which a heartbeat's counts should have arrived, milliseconds.
        state: Where to go on from.
    """

    def __init__(self, settle_ms: int, state: ProducersState | None = None) -> None:
        self._settle_ms = settle_ms
        self._heard = {h.latest.producer_id: h for h in (state.heard if state else ())}

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take note of a heartbeat; one older than the newest says nothing."""
        before = self._heard.get(heartbeat.producer_id)
        if before is None:
            heard = _Heard(latest=heartbeat, next_settling=heartbeat, settling=heartbeat)
        elif heartbeat.time_ms < before.latest.time_ms:
            return
        elif heartbeat.time_ms - before.next_settling.time_ms >= self._settle_ms:
            # The one kept back has aged enough; the next to age is the newest.
            heard = _Heard(latest=heartbeat, next_settling=heartbeat, settling=before.next_settling)
        else:
            heard = _Heard(
                latest=heartbeat, next_settling=before.next_settling, settling=before.settling
            )
        self._heard[heartbeat.producer_id] = heard
        if len(self._heard) > _MOST:
            oldest = min(
                self._heard.values(), key=lambda h: (h.latest.time_ms, h.latest.producer_id)
            )
            del self._heard[oldest.latest.producer_id]

    def counts(self) -> tuple[ProducerCounts, ...]:
        """Return what is known of every producer, the one heard last at the end."""
        ordered = sorted(
            self._heard.values(), key=lambda h: (h.latest.time_ms, h.latest.producer_id)
        )
        return tuple(ProducerCounts(latest=h.latest, settling=h.settling) for h in ordered)

    def state(self) -> ProducersState:
        """Return everything that is remembered."""
        return ProducersState(heard=tuple(self._heard[name] for name in sorted(self._heard)))
