"""What LiteLLM tells, as our events; what is missing or odd there does no harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.capture.exchange_record import BOTH
from tidegauge.capture.litellm_exchange import (
    answered,
    came_through_proxy,
    failed,
    with_limited_text,
)
from tidegauge.capture.placement import Conversations
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.checking_shipper import expand_formats
from tidegauge.schemas import decode, encode
from tidegauge.schemas.exchange import ErrorKind, Message, RequestEvent, ResponseEvent, Usage

RECEIVED = 1_767_225_600.0
EXPAND = expand_formats(CaptureSettings())[BOTH.type]


def told(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """What a success callback gets, with parts of its payload replaced."""
    message = {"role": "assistant", "content": "At noon."}
    payload: dict[str, Any] = {
        "id": "chatcmpl-1",
        "call_type": "acompletion",
        "stream": None,
        "startTime": RECEIVED + 0.1,
        "endTime": RECEIVED + 0.8,
        "completionStartTime": RECEIVED + 0.3,
        "response_cost": 0.00002,
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "model": "openai/tiny",
        "model_id": "gpu-1",
        "messages": [{"role": "user", "content": "When is high tide?"}],
        "response": {"choices": [{"finish_reason": "stop", "message": message}]},
        "model_parameters": {"temperature": 0.3, "max_tokens": 20},
    }
    metadata = {
        "litellm_received_at": datetime.fromtimestamp(RECEIVED, UTC),
        "model_group": "assistant",
        "deployment": "openai/tiny",
        "model_info": {"id": "gpu-1", "version": "v7"},
        "user_api_key_hash": "hash",
        "user_api_key_request_route": "/v1/chat/completions",
        "user_api_key_alias": "key-1",
        "user_api_key_metadata": {"customer": "harbour-office"},
    }
    return {
        "litellm_call_id": "call-1",
        "litellm_params": {"metadata": metadata},
        "standard_logging_object": {**payload, **changes},
    }


def response(kwargs: dict[str, Any], *, text: bool = True) -> ResponseEvent:
    exchange = answered(kwargs, text=text, conversations=Conversations())
    assert exchange is not None
    return exchange.response_event("litellm-1", 2)


class StatusError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("text of the client's own")
        self.status_code = status


def test_an_answer_is_told_whole() -> None:
    event = response(told())
    assert (event.request_id, event.time_ms) == ("call-1", 1_767_225_600_000)
    assert event.segment.key == "assistant/v7/%2Fv1%2Fchat%2Fcompletions/"
    assert (event.customer, event.upstream) == ("harbour-office", "gpu-1")
    assert event.latency_ms == pytest.approx(800)
    assert event.usage == Usage(input_tokens=9, output_tokens=4)
    assert (event.output, event.output_characters) == ("At noon.", 8)
    assert event.prompt_characters == len("When is high tide?")
    assert event.time_to_first_token_ms is None
    assert decode(encode(event), ResponseEvent) == event


def test_a_streamed_answer_has_a_time_to_its_first_token() -> None:
    event = response(told(stream=True))
    assert event.stream
    assert event.time_to_first_token_ms == pytest.approx(300)


def test_without_leave_no_text_is_captured_but_its_length() -> None:
    event = response(told(), text=False)
    assert (event.capture, event.messages, event.output) == ("none", (), None)
    assert (event.prompt_characters, event.output_characters) == (18, 8)


@pytest.mark.parametrize(
    ("said", "messages"),
    [
        ("one text", (Message(role="user", content="one text"),)),
        (["a", "b"], (Message(role="user", content="a"), Message(role="user", content="b"))),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": "data:…"}},
                        {"type": "input_audio", "input_audio": {}},
                    ],
                }
            ],
            (Message(role="user", content="What is this?\n[image]\n[audio]"),),
        ),
        ([{"role": "assistant", "content": None}], (Message(role="assistant"),)),
        (None, ()),
        ({"unexpected": 1}, ()),
    ],
)
def test_every_form_of_prompt(said: object, messages: tuple[Message, ...]) -> None:
    assert response(told(messages=said)).messages == messages


def shipped(kwargs: dict[str, Any], *, text: bool = True) -> ResponseEvent:
    """Return the response's event with the checks that the shipper makes."""
    record = answered(kwargs, text=text, conversations=Conversations())
    assert record is not None
    (event,) = EXPAND.events(record, ["responses.v1"], "litellm-1", 2).events
    assert isinstance(event, ResponseEvent)
    return event


def chosen(finish: object = "stop", **message: object) -> dict[str, Any]:
    return {"choices": [{"finish_reason": finish, "message": message}]}


def test_the_shipper_checks_the_answers() -> None:
    found = shipped(told()).checks
    assert found == {"empty": "passed", "refusal": "passed", "truncation": "passed"}
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    event = shipped(told(model_parameters={"response_format": form}))
    assert event.checks["json_schema"] == "failed"


def test_long_and_redacted_texts_are_limited_and_their_forms_unchecked() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    kwargs = told(
        messages=[{"role": "user", "content": "Ask ann@example.org. " + "x" * 500}],
        response=chosen(content="At noon, says ann@example.org. " + "y" * 500),
        model_parameters={"response_format": form},
    )
    record = answered(kwargs, text=True, conversations=Conversations())
    assert record is not None
    assert record.answer is not None
    assert with_limited_text(record, "full", 10_000) == msgspec.structs.replace(
        record,
        omitted_characters=0,
        answer=msgspec.structs.replace(record.answer, omitted_characters=0),
    )
    limited = with_limited_text(record, "redacted", 100)
    made = EXPAND.events(limited, ["requests.v1", "responses.v1"], "litellm-1", 2)
    asked, event = made.events
    assert isinstance(event, ResponseEvent)
    assert event.messages == asked.messages
    assert event.messages[0].content.startswith("Ask [email]. xxx")
    assert (event.output or "").startswith("At noon, says [email]. yyy")
    assert (event.capture, event.omitted_characters, event.omitted_output_characters) == (
        "redacted",
        len(record.messages[0].content) - 100,
        event.output_characters - 100,
    )
    assert event.checks == {"empty": "passed", "truncation": "passed"}
    assert "json_schema/unchecked: cut" in made.facts
    bare = answered(kwargs, text=False, conversations=Conversations())
    assert bare is not None
    assert with_limited_text(bare, "none", 100) is bare


def test_tool_calls_are_no_empty_answer() -> None:
    call = {"id": "1", "function": {"name": "berth", "arguments": {"metres": 9}}}
    answer = chosen("tool_calls", content=None, tool_calls=[call])
    tools = [{"type": "function", "function": {"name": "berth"}}]
    event = shipped(told(response=answer, model_parameters={"tools": tools}))
    assert json.loads(event.tool_calls or "")[0]["function"]["name"] == "berth"
    assert event.checks == dict.fromkeys(("empty", "truncation", "tool_arguments"), "passed")
    other = [{"type": "function", "function": {"name": "mooring"}}]
    event = shipped(told(response=answer, model_parameters={"tools": other}))
    assert event.checks["tool_arguments"] == "failed"
    legacy = chosen("function_call", content=None, function_call=call["function"])
    assert "berth" in (shipped(told(response=legacy)).tool_calls or "")


@pytest.mark.parametrize("text", [True, False])
def test_an_empty_and_a_cut_answer_fail_their_checks(*, text: bool) -> None:
    event = shipped(told(response=chosen("length", content="  ")), text=text)
    assert event.checks == {"empty": "failed", "truncation": "failed"}


@pytest.mark.parametrize(
    ("answer", "outcome", "finish"),
    [
        (chosen(content="At noon."), "ok", "stop"),
        (chosen("abort", content="At"), "failed", "abort"),
        (chosen("error", content=""), "failed", "error"),
        ({"choices": []}, "failed", None),
        ({"error": {"code": 429}}, "failed", None),
        ({"object": "response", "status": "failed"}, "failed", None),
        ({"object": "response", "status": "queued"}, "pending", None),
        ({"text": "redacted-by-litellm"}, "ok", None),
    ],
)
def test_the_answer_decides_the_outcome(
    answer: dict[str, Any], outcome: str, finish: str | None
) -> None:
    event = response(told(response=answer))
    assert (event.outcome, event.finish_reason) == (outcome, finish)
    assert (event.error is not None) == (outcome == "failed")


def test_answers_of_other_apis_are_read() -> None:
    said = {"type": "message", "content": [{"type": "output_text", "text": "At noon."}]}
    whole = {"object": "response", "status": "completed", "output": [said]}
    event = shipped(told(call_type="aresponses", response=whole))
    assert (event.output, event.finish_reason, event.checks["empty"]) == (
        "At noon.",
        "stop",
        "passed",
    )
    message = {"type": "message", "content": [{"type": "text", "text": "At noon."}]}
    event = shipped(told(call_type="anthropic_messages", response=message))
    assert event.output == "At noon."


def test_tokens_of_the_cache_and_the_reasoning_are_told() -> None:
    usage = {
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "prompt_tokens": 9,
        "completion_tokens": 4,
    }
    event = response(told(response={**chosen(content="At noon."), "usage": usage}))
    assert event.usage == Usage(
        input_tokens=9, output_tokens=4, cached_tokens=8, reasoning_tokens=3
    )


def test_only_messages_of_a_conversation_are_messages() -> None:
    items = [
        {"role": "user", "content": "When is high tide?"},
        {"type": "reasoning", "summary": []},
        {"type": "item_reference", "id": "m0"},
        {"type": "function_call_output", "output": "At noon."},
    ]
    found = [(message.role, message.content) for message in response(told(messages=items)).messages]
    assert found == [("user", "When is high tide?"), ("tool", "At noon.")]


def test_an_embedding_has_no_answer_to_check() -> None:
    event = response(told(call_type="aembedding", response={"data": []}, messages="a text"))
    assert (event.output, event.checks) == (None, {})


@pytest.mark.parametrize("changes", [{"call_type": "aimage_generation"}, {"call_type": None}])
def test_what_generates_no_text_is_passed_over(changes: dict[str, Any]) -> None:
    assert answered(told(**changes), text=True, conversations=Conversations()) is None
    assert (
        failed(
            told(**changes),
            StatusError(500),
            now_seconds=RECEIVED,
            text=True,
            conversations=Conversations(),
        )
        is None
    )


def test_litellm_s_own_probes_are_passed_over() -> None:
    assert (
        answered(
            told(request_tags=["litellm-internal-health-check"]),
            text=True,
            conversations=Conversations(),
        )
        is None
    )


def test_a_price_that_is_not_known_is_none() -> None:
    assert response(told(response_cost=0.0)).cost_usd is None


@pytest.mark.parametrize(
    ("known", "customer"),
    [
        ({"user_api_key_metadata": {"customer": "a"}, "user_api_key_team_alias": "b"}, "a"),
        ({"user_api_key_team_alias": "b", "user_api_key_alias": "c"}, "b"),
        ({"user_api_key_alias": "c", "user_api_key_user_id": "d"}, "c"),
        ({"user_api_key_user_id": "d"}, "d"),
        ({}, "unknown"),
    ],
)
def test_the_customer_comes_from_the_key(known: dict[str, Any], customer: str) -> None:
    kwargs = told()
    kwargs["litellm_params"]["metadata"] = known
    assert response(kwargs).customer == customer
    assert response(kwargs).key_id == known.get("user_api_key_alias")


@pytest.mark.parametrize(
    ("status", "routed", "kind"),
    [
        (400, False, ErrorKind.INVALID_REQUEST),
        (401, False, ErrorKind.UNAUTHORIZED),
        (413, False, ErrorKind.REQUEST_TOO_LARGE),
        (429, False, ErrorKind.RATE_LIMITED),
        (500, False, ErrorKind.GATEWAY_ERROR),
        (400, True, ErrorKind.UPSTREAM_REJECTED),
        (403, True, ErrorKind.UPSTREAM_REJECTED),
        (429, True, ErrorKind.UPSTREAM_ERROR),
        (500, True, ErrorKind.UPSTREAM_ERROR),
        (504, True, ErrorKind.UPSTREAM_TIMEOUT),
    ],
)
def test_a_failure_has_its_kind(status: int, routed: bool, kind: ErrorKind) -> None:  # noqa: FBT001
    metadata = {"model_group": "assistant", "deployment": "openai/tiny"} if routed else {}
    data = {
        "call_type": "acompletion",
        "litellm_call_id": "call-2",
        "metadata": metadata,
        "messages": [{"role": "user", "content": "When?"}],
        "start_time": datetime.fromtimestamp(RECEIVED, UTC),
    }
    exchange = failed(
        data,
        StatusError(status),
        now_seconds=RECEIVED + 2,
        text=True,
        conversations=Conversations(),
    )
    assert exchange is not None
    event = exchange.response_event("litellm-1", 1)
    assert (event.status, event.error) == (status, kind)
    assert event.latency_ms == pytest.approx(2000)
    assert event.segment.model == ("assistant" if routed else "unknown")
    assert event.messages == (Message(role="user", content="When?"),)
    assert "client's own" not in (event.error_detail or "")


def test_an_error_without_a_status_is_the_gateway_s() -> None:
    exchange = failed(
        {"call_type": "acompletion"},
        ValueError("x"),
        now_seconds=1.0,
        text=True,
        conversations=Conversations(),
    )
    assert exchange is not None
    assert exchange.answer is not None
    assert (exchange.answer.status, exchange.answer.error) == (500, ErrorKind.GATEWAY_ERROR)


def test_the_proxy_s_calls_are_told_from_the_library_s() -> None:
    assert came_through_proxy(told())
    assert came_through_proxy({"litellm_params": {"proxy_server_request": {"url": "/"}}})
    assert not came_through_proxy({"litellm_params": {"metadata": {}}})
    assert not came_through_proxy({})


SURROGATES = st.characters(categories=["Cs", "Ll"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(10**400)
    | st.text(max_size=5)
    | st.text(SURROGATES, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["messages", "response", "model_parameters", "model", "prompt_tokens", "stream", "endTime"]
)


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_whatever_a_version_of_litellm_tells_is_survived(changes: dict[str, Any]) -> None:
    exchange = answered(told(**changes), text=True, conversations=Conversations())
    assert exchange is not None
    event = exchange.request_event("litellm-1", 1)
    assert decode(encode(event), RequestEvent) == event
    (record,) = EXPAND.decode(BOTH.encode([exchange]))
    (answer,) = EXPAND.events(record, ["responses.v1"], "litellm-1", 2).events
    assert decode(encode(answer), ResponseEvent) == answer


REDACTED = "redacted-by-litellm"
QUESTION = {"role": "user", "content": "When is high tide?"}
ANSWER = {"role": "assistant", "content": "At noon."}


class TestConversations:
    """The place of exchanges that follow each other in one proxy."""

    def asked(
        self,
        conversations: Conversations,
        *messages: dict[str, Any],
        request: dict[str, Any] | None = None,
        text: bool = True,
        after: float = 0.0,
        **changes: Any,  # noqa: ANN401 - parts of the payload
    ) -> RequestEvent:
        kwargs = told(messages=list(messages), **changes)
        kwargs["litellm_call_id"] = f"call-{after}"
        kwargs["litellm_params"]["metadata"]["litellm_received_at"] = RECEIVED + after
        if request is not None:
            kwargs["litellm_params"]["proxy_server_request"] = request
        record = answered(kwargs, text=text, conversations=conversations)
        assert record is not None
        return record.request_event("litellm-1", 1)

    @pytest.mark.parametrize("text", [True, False])
    def test_the_first_exchange_identifies_a_conversation(self, *, text: bool) -> None:
        conversations = Conversations(b"secret")
        more = [ANSWER, {"role": "user", "content": "And low?"}]
        first = self.asked(conversations, QUESTION, text=text)
        second = self.asked(conversations, QUESTION, *more, text=text, after=60)
        assert (first.turn, second.turn) == (1, 2)
        assert first.conversation_id == second.conversation_id is not None
        assert (first.messages == ()) is not text

    @pytest.mark.parametrize(
        "given",
        [
            {"request": {"headers": {"x-session-id": "thread-7"}}},
            {"request": {"headers": {"x-litellm-session-id": "thread-7"}}},
            {"request": {"body": {"litellm_session_id": "thread-7"}}},
            {"request": {"body": {"metadata": {"conversation_id": "thread-7"}}}},
            {"request": {"body": {"conversation": {"id": "thread-7"}}}},
            {"session_id": "thread-7"},
        ],
    )
    def test_an_id_of_the_client_counts(self, given: dict[str, Any]) -> None:
        conversations = Conversations()
        for turn in (1, 2):
            event = self.asked(conversations, QUESTION, after=60 * turn, **given)
            assert (event.conversation_id, event.turn) == ("thread-7", turn)

    @pytest.mark.parametrize(
        "given",
        [
            {"headers": {"x-prompt-version": "v12"}},
            {"body": {"metadata": {"prompt_version": "v12"}}},
        ],
    )
    @pytest.mark.parametrize("asked", [QUESTION, {"role": "user", "content": REDACTED}])
    def test_tags_of_the_client_are_kept(
        self, given: dict[str, Any], asked: dict[str, str]
    ) -> None:
        assert self.asked(Conversations(), asked, request=given).tags == {"prompt_version": "v12"}

    def test_a_retry_of_the_client_repeats(self) -> None:
        conversations, kwargs = Conversations(), told()
        kwargs |= {"call_type": "acompletion", "messages": [QUESTION]}
        error = StatusError(503)
        first = failed(
            kwargs, error, now_seconds=RECEIVED + 1, text=True, conversations=conversations
        )
        assert first is not None
        request = {"headers": {"x-stainless-retry-count": "1"}}
        again = self.asked(conversations, QUESTION, request=request, after=30)
        assert again.repeat_of == first.request_id == "call-1"

    def test_texts_that_litellm_hides_give_no_place(self) -> None:
        event = self.asked(Conversations(), {"role": "user", "content": REDACTED})
        assert (event.conversation_id, event.turn, event.repeat_of) == (None, None, None)

    @given(st.dictionaries(st.sampled_from(["headers", "body"]), JSON))
    def test_odd_requests_are_survived(self, request: dict[str, Any]) -> None:
        assert self.asked(Conversations(), QUESTION, request=request).turn in {1, 2}
