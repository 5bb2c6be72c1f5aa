"""A changed system prompt or adapter is a version of its own, where that is set."""

from __future__ import annotations

import msgspec
import pytest
from tests.capture.test_exchange_record import record

from tidegauge.capture.dimensions import MOST_VALUES, Dimensions
from tidegauge.capture.exchange_record import BOTH, REQUEST, ExchangeRecord
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.checking_shipper import expand_formats
from tidegauge.runtime.environment import SettingsError
from tidegauge.schemas.exchange import Message
from tidegauge.schemas.system_prompts import system_prompt


def asked(system: str, served_model: str | None = None) -> ExchangeRecord:
    made = record()
    answer = made.answer
    assert answer is not None
    return msgspec.structs.replace(
        made,
        capture="full",
        omitted_characters=0,
        tags={},
        messages=(
            Message(role="system", content=system),
            Message(role="user", content="High tide?"),
        ),
        answer=msgspec.structs.replace(answer, served_model=served_model),
    )


def test_values_are_parts_of_the_version() -> None:
    both = Dimensions(("system_prompt", "served_model"))
    made = both.labelled(asked("You are a pilot.", "base-sql-lora"))
    prompt = system_prompt(made.messages)
    assert made.version == f"v7 system_prompt={prompt} served_model=base-sql-lora"
    assert both.labelled(asked("You are a harbour master.")).version != made.version
    assert "served_model" not in both.labelled(asked("You are a pilot.")).version
    cut = msgspec.structs.replace(asked("You are a pilot."), omitted_characters=9)
    assert both.labelled(cut) == cut
    assert Dimensions(()).labelled(made) is made


def test_tags_of_the_application_are_parts_of_both_events_versions() -> None:
    tagged = msgspec.structs.replace(
        asked("You are a pilot."), tags={"prompt_version": "12", "experiment": "b"}
    )
    made = Dimensions(("experiment", "prompt_version")).labelled(tagged)
    assert made.version == "v7 experiment=b prompt_version=12"
    assert Dimensions(("experiment",)).labelled(asked("You are a pilot.")).version == "v7"
    early = Dimensions(("experiment",)).labelled(msgspec.structs.replace(tagged, answer=None))
    assert early.version == "v7 experiment=b"


def test_their_number_is_bounded_for_each_model() -> None:
    prompts = Dimensions(("system_prompt",))
    versions = {prompts.labelled(asked(f"Number {number}.")).version for number in range(30)}
    assert len(versions) == MOST_VALUES + 1
    assert "v7 system_prompt=other" in versions
    other = msgspec.structs.replace(asked("Number 29."), model="another")
    assert prompts.labelled(other).version != "v7 system_prompt=other"


def test_the_shipper_reads_them_from_the_environment() -> None:
    variable = "TIDEGAUGE_CAPTURE_DIMENSIONS"
    settings = CaptureSettings.from_environment({variable: '["system_prompt"]'})
    assert settings.dimensions == ("system_prompt",)
    expanded = expand_formats(settings)[BOTH.type].events(
        asked("You are a pilot."), BOTH.topics, "p", 1
    )
    versions = {event.segment.version for event in expanded.events}
    assert versions == {f"v7 system_prompt={system_prompt(asked('You are a pilot.').messages)}"}
    with_model = CaptureSettings.from_environment({variable: '["served_model"]'})
    whole = asked("You are a pilot.", "base-sql-lora")
    early = msgspec.structs.replace(whole, answer=None)
    events = expand_formats(with_model)[BOTH.type].events
    request, answer = events(whole, BOTH.topics, "p", 1).events
    (waiting,) = events(early, REQUEST.topics, "p", 3).events
    assert request.segment == waiting.segment, "however long the answer takes"
    assert answer.segment.version == "v7 served_model=base-sql-lora"
    for wrong in ("system_prompt", '["colour"]'):
        with pytest.raises(
            SettingsError, match="a JSON list of system_prompt, served_model, prompt_version"
        ):
            CaptureSettings.from_environment({variable: wrong})
