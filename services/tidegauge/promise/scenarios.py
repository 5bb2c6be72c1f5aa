"""The traffic that the promise is measured on, and the baselines that it is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tidegauge.schemas.findings import Signal
from tidegauge.simulation.rhythm import Campaign, Rhythm, Wave
from tidegauge.simulation.server import Server
from tidegauge.simulation.service import SimulatedService

__all__ = [
    "BASELINES",
    "CONVERSATION_TRAFFIC",
    "ERROR_WAVES",
    "MORE_ERRORS",
    "NEW_TOPICS",
    "NO_CHANGE",
    "OTHER_SCRIPT",
    "PER_DAY",
    "SERVER",
    "SERVICE_TRAFFIC",
    "SLOWER",
    "SPEED_WAVES",
    "BaselineSpan",
    "ConversationTraffic",
    "ServiceTraffic",
    "StreamChange",
]

_DAY = 86_400.0
_HOUR = 3_600.0
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class BaselineSpan:
    """How long a baseline is.

    Attributes:
        name: For people.
        seconds: Its length.
        timed: Whether its requests have times; those of a file may not.
    """

    name: str
    seconds: float
    timed: bool = True


@dataclass(frozen=True, slots=True)
class StreamChange:
    """What is different in a stream from its first event on.

    Attributes:
        name: For people; empty for no change.
        new_topics: Share of the conversations that are on topics that the baseline lacks.
        other_script: Share of the conversations that are in another script.
        slower: What latency is multiplied by.
        errors: Share of the requests that fail; None for the same as before.
    """

    name: str = ""
    new_topics: float = 0.0
    other_script: float = 0.0
    slower: float = 1.0
    errors: float | None = None

    @property
    def signal(self) -> Signal | None:
        """The signal that the change shows in; None without a change."""
        if self.new_topics or self.other_script:
            return "drift"
        if self.errors is not None:
            return "errors"
        return "latency" if self.slower > 1 else None


NO_CHANGE = StreamChange()
NEW_TOPICS = tuple(StreamChange(f"{share:.0%} on new topics", share) for share in (0.05, 0.1, 0.2))
OTHER_SCRIPT = StreamChange("10% in another script", other_script=0.1)
SLOWER = StreamChange("20% slower", slower=1.2)
MORE_ERRORS = StreamChange("3% errors for 1%", errors=0.03)

BASELINES = (
    BaselineSpan("1 h", _HOUR),
    BaselineSpan("6 h", 6 * _HOUR),
    BaselineSpan("1 day", _DAY),
    BaselineSpan("3 days", 3 * _DAY),
    BaselineSpan("14 days", 14 * _DAY),
)
_FILE = BaselineSpan("file", 7 * _DAY, timed=False)
_FROM_SIX_HOURS, _FROM_A_DAY, _FROM_THREE_DAYS = BASELINES[1:], BASELINES[2:], BASELINES[3:]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationTraffic:
    """Requests with texts, which the drift monitors are tested on.

    Attributes:
        name: For people.
        scripts: What is asked: single questions, the openings of recorded conversations, whole
            ones, or simulated ones of 5 to 20 turns on one topic.
        rhythm: When conversations open.
        fewest: Least conversations of a baseline: where it is short, more open in a day.
        template: Requests of a client that repeats a template, as a share of conversations.
        short_replies: Share of a user's later messages that only say yes.
        baselines: What it is measured against.
        changes: Changes, of which the delay is measured.
        changed: The baseline that they are measured against.
    """

    name: str
    scripts: Literal["questions", "openings", "conversations", "topical"]
    rhythm: Rhythm
    fewest: int
    template: float = 0.0
    short_replies: float = 0.0
    baselines: tuple[BaselineSpan, ...] = BASELINES
    changes: tuple[StreamChange, ...] = ()
    changed: BaselineSpan = BASELINES[4]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTraffic:
    """Responses without texts, which the monitors of rates are tested on.

    Attributes:
        name: For people.
        service: What gives the responses.
        baselines: What it is measured against.
        changes: Changes, of which the delay is measured.
        changed: The baseline that they are measured against.
    """

    name: str
    service: SimulatedService
    baselines: tuple[BaselineSpan, ...] = BASELINES
    changes: tuple[StreamChange, ...] = ()
    changed: BaselineSpan = BASELINES[2]


def _conversation_traffic() -> tuple[ConversationTraffic, ...]:
    return (
        ConversationTraffic(
            name="single questions", scripts="questions", rhythm=Rhythm(per_day=800), fewest=300
        ),
        ConversationTraffic(
            name="openings",
            scripts="openings",
            rhythm=Rhythm(per_day=250),
            fewest=250,
            baselines=(BASELINES[4],),
            changes=NEW_TOPICS,
        ),
        ConversationTraffic(
            name="conversations",
            scripts="conversations",
            rhythm=Rhythm(per_day=250),
            fewest=250,
            baselines=(*BASELINES, _FILE),
            changes=(*NEW_TOPICS, OTHER_SCRIPT),
        ),
        ConversationTraffic(
            name="conversations on one topic",
            scripts="topical",
            rhythm=Rhythm(per_day=250),
            fewest=250,
            baselines=(*BASELINES, _FILE),
        ),
        ConversationTraffic(
            name="conversations, day's cycle, template, short replies",
            scripts="conversations",
            rhythm=Rhythm(per_day=250, day=0.8),
            fewest=250,
            template=0.3,
            short_replies=0.3,
            baselines=_FROM_A_DAY,
        ),
    )


PER_DAY = 0.1 * _DAY
"""Requests of a service's mean day."""
SERVER = Server(token_ms=40.0, doubling=3.0)
_STEADY = SimulatedService(rhythm=Rhythm(per_day=PER_DAY), server=SERVER)
_TEN_MINUTES = Wave(0.15, 10 * _MINUTE)
_TWO_HOURS = Wave(0.3, 2 * _HOUR)
_ERRORS_WANDER = Wave(0.45, 10 * _MINUTE)
SPEED_WAVES = "speed in ten-minute waves, sd .15"
ERROR_WAVES = "errors in ten-minute waves, sd .45"


def _service_traffic() -> tuple[ServiceTraffic, ...]:
    load = Rhythm(per_day=PER_DAY, wave=Wave(0.3, 10 * _MINUTE))
    return (
        ServiceTraffic(name="steady load", service=_STEADY, changes=(SLOWER, MORE_ERRORS)),
        ServiceTraffic(
            name="load in ten-minute waves",
            service=SimulatedService(rhythm=load, server=SERVER),
            baselines=_FROM_SIX_HOURS,
            changes=(SLOWER,),
        ),
        ServiceTraffic(
            name=SPEED_WAVES,
            service=SimulatedService(rhythm=_STEADY.rhythm, server=SERVER, speed_wave=_TEN_MINUTES),
            changes=(SLOWER,),
        ),
        ServiceTraffic(
            name="speed in two-hour waves, sd .3",
            service=SimulatedService(rhythm=_STEADY.rhythm, server=SERVER, speed_wave=_TWO_HOURS),
            baselines=_FROM_SIX_HOURS,
        ),
        ServiceTraffic(
            name=ERROR_WAVES,
            service=SimulatedService(
                rhythm=_STEADY.rhythm, server=SERVER, error_wave=_ERRORS_WANDER
            ),
            changes=(MORE_ERRORS,),
        ),
        ServiceTraffic(
            name="the day's cycle",
            service=SimulatedService(rhythm=Rhythm(per_day=PER_DAY, day=0.6), server=SERVER),
            baselines=_FROM_A_DAY,
        ),
        ServiceTraffic(
            name="the week's cycle, campaigns, deployments",
            service=SimulatedService(
                rhythm=Rhythm(
                    per_day=PER_DAY,
                    day=0.6,
                    weekend=0.5,
                    wave=Wave(0.15, 10 * _MINUTE),
                    campaigns=tuple(
                        Campaign(day * _DAY + 15 * _HOUR, 2 * _HOUR, 1.5) for day in range(2, 28, 4)
                    ),
                ),
                server=SERVER,
                deployments=tuple(day * _DAY + 10 * _HOUR for day in range(1, 28, 3)),
            ),
            baselines=_FROM_THREE_DAYS,
        ),
    )


CONVERSATION_TRAFFIC: Mapping[str, ConversationTraffic] = MappingProxyType(
    {one.name: one for one in _conversation_traffic()}
)
SERVICE_TRAFFIC: Mapping[str, ServiceTraffic] = MappingProxyType(
    {one.name: one for one in _service_traffic()}
)
