from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from tests.monitor.made_up import NOW, alert, segment, verdict

from tidegauge.monitor.notify.notices import Notice, PacedReceiver, Pacing
from tidegauge.monitor.notify.receivers import DeliveryError
from tidegauge.schemas.findings import Alert, AlertStatus, Severity, Signal, State
from tidegauge.schemas.segments import Segment

MINUTE = 60_000
HOUR = 60 * MINUTE


@dataclass
class Ear:
    """Hears notices, and may fail to."""

    heard: list[Notice] = field(default_factory=list)
    deaf: bool = False

    def tell(self, notice: Notice) -> None:
        if self.deaf:
            raise DeliveryError("away")
        self.heard.append(notice)

    @property
    def words(self) -> list[str]:
        return [notice.title.partition(":")[0] for notice in self.heard]


def told(  # noqa: PLR0913 - what an alert says
    name: str,
    status: AlertStatus = "firing",
    severity: Severity = "warn",
    *,
    incident: str = "one",
    monitor: str = "latency.total",
    time_ms: int = NOW,
) -> Alert:
    found = verdict(monitor, "latency", State.WARN, segment("v2"), 30.0)
    return msgspec.structs.replace(
        alert(found, severity),
        alert_id=name,
        incident=incident,
        status=status,
        time_ms=time_ms,
        starts_ms=NOW,
        summary="Latency <!channel> @everyone rose.",
    )


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def receiver(ear: Ear) -> PacedReceiver:
    return PacedReceiver(ear.tell, Pacing(), page_url="http://page/")


def test_an_incident_is_told_once_when_it_gets_worse_and_when_all_of_it_has_ended(
    receiver: PacedReceiver, ear: Ear
) -> None:
    receiver.send(told("a"), NOW)
    receiver.send(told("b", monitor="latency.first_token"), NOW)
    assert ear.words == ["warn"]
    receiver.send(told("b", severity="critical", monitor="latency.first_token"), NOW)
    assert ear.words == ["warn", "critical"]
    receiver.send(told("a", "resolved"), NOW)
    assert ear.words == ["warn", "critical"]
    receiver.send(told("b", "resolved", "critical", monitor="latency.first_token"), NOW)
    assert ear.words == ["warn", "critical", "ended"]
    assert ear.heard[-1].severity is None


def test_a_notice_names_its_page_and_mentions_nobody(receiver: PacedReceiver, ear: Ear) -> None:
    receiver.send(told("a"), NOW)
    (notice,) = ear.heard
    assert notice.title == "warn: support-chat v2 /v1/chat/completions, latency"
    assert notice.body.splitlines() == [
        "Latency _!channel_ _everyone rose.",
        "http://page/i/one",
    ]


@pytest.mark.parametrize(
    ("signal", "customer", "title"),
    [
        ("cost", "acme", "warn: customer acme, cost"),
        ("cost", "", "warn: all traffic, cost"),
        ("pipeline", "", "warn: pipeline, pipeline"),
    ],
)
def test_an_alarm_of_no_model_says_what_it_is_of(
    receiver: PacedReceiver, ear: Ear, signal: Signal, customer: str, title: str
) -> None:
    segment = Segment(model="", customer=customer)
    receiver.send(msgspec.structs.replace(told("a"), signal=signal, segment=segment), NOW)
    assert [notice.title for notice in ear.heard] == [title]


def test_quieter_alarms_are_not_told(receiver: PacedReceiver, ear: Ear) -> None:
    receiver.send(told("a", severity="info"), NOW)
    receiver.remind([told("a", severity="info")], NOW + 9 * HOUR)
    assert ear.heard == []


def test_one_that_has_become_quieter_is_told_to_have_ended(
    receiver: PacedReceiver, ear: Ear
) -> None:
    receiver.send(told("a"), NOW)
    receiver.send(told("a", severity="info"), NOW)
    receiver.send(told("a", "resolved", "info"), NOW)
    assert ear.words == ["warn", "ended"]


def test_what_fires_is_told_again_until_somebody_has_it(receiver: PacedReceiver, ear: Ear) -> None:
    receiver.send(told("a"), NOW)
    for hours in range(1, 9):
        receiver.remind([told("a")], NOW + hours * HOUR)
    assert ear.words == ["warn", "warn, still", "warn, still"]
    assert "It has fired for 4 h, and nobody has acknowledged it." in ear.heard[1].body
    receiver.remind([told("a", "acknowledged")], NOW + 20 * HOUR)
    assert len(ear.heard) == 3


def test_after_a_start_what_fires_is_repeated_when_its_time_has_come(
    receiver: PacedReceiver, ear: Ear
) -> None:
    receiver.remind([told("a")], NOW + HOUR)
    assert ear.heard == []
    receiver.remind([told("a")], NOW + 5 * HOUR)
    receiver.remind([told("a")], NOW + 6 * HOUR)
    assert ear.words == ["warn, still"]


def test_after_a_start_an_incident_ends_with_its_last_alarm(
    receiver: PacedReceiver, ear: Ear
) -> None:
    receiver.recall(told("a"))
    receiver.recall(told("b", severity="critical", monitor="latency.first_token"))
    receiver.send(told("c", monitor="errors.rate"), NOW + HOUR)
    receiver.send(told("a", "resolved"), NOW + HOUR)
    receiver.send(told("c", "resolved", monitor="errors.rate"), NOW + HOUR)
    assert ear.words == []
    receiver.send(told("b", "resolved", "critical"), NOW + HOUR)
    assert ear.words == ["ended"]


def test_nothing_is_repeated_where_that_is_not_wanted(ear: Ear) -> None:
    receiver = PacedReceiver(ear.tell, Pacing(repeat_ms=0))
    receiver.remind([told("a")], NOW + 100 * HOUR)
    assert ear.heard == []


def test_an_alarm_that_flaps_is_told_so_once_and_again_once_it_is_rarer(
    receiver: PacedReceiver, ear: Ear
) -> None:
    for place in range(8):
        moment = NOW + place * 5 * MINUTE
        receiver.send(told(f"a{place}", incident=f"i{place}", time_ms=moment), moment)
        ended = told(f"a{place}", "resolved", incident=f"i{place}", time_ms=moment + MINUTE)
        receiver.send(ended, moment + MINUTE)
    assert ear.words == [*["warn", "ended"] * 3, "flaps"]
    later = NOW + 5 * HOUR
    receiver.send(told("b", incident="later", time_ms=later), later)
    assert ear.words[-1] == "warn"


def test_what_was_not_taken_is_told_when_it_is_sent_again(
    receiver: PacedReceiver, ear: Ear
) -> None:
    ear.deaf = True
    for _ in range(6):
        with pytest.raises(DeliveryError):
            receiver.send(told("a"), NOW)
    ear.deaf = False
    receiver.send(told("a"), NOW)
    assert ear.words == ["warn"]
