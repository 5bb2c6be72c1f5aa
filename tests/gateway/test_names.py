"""Requests that the gateway and an upstream could read differently are refused."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Running

from tidegauge.gateway import plain_chat
from tidegauge.gateway.apis import chat, completions, embeddings, messages, responses
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.http.bodies import READ, refuse_ambiguous


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"model":"secret","model":"allowed"}', "'model' twice"),
        ('{"model": "secret", "model": "allowed"}', "'model' twice"),
        ('{\n "model": "secret",\n "n": 1, "model": "allowed"}', "'model' twice"),
        (r'{"mod\u0065l": "secret", "model": "allowed"}', "'model' twice"),
        ('{"messages":[{"role":"user"}],"model":"m","messages":[]}', "'messages' twice"),
        ('{"n":1,"n":2}', "'n' twice"),
        (r'{"x\u003a":1,"model":"secret","model":"allowed"}', "'model' twice"),
        ('{"x:y":1,"model":"secret","model":"allowed"}', "'model' twice"),
        ('{"model":"allowed","Model":"secret"}', "'Model' beside"),
        ('{"model":"m","messages":[],"STREAM":true}', "'STREAM' beside"),
        ('{"model":"m","me\u017f\u017fages":[]}', "beside or in place of 'messages'"),
    ],
)
def test_a_name_that_stands_twice_or_in_another_case_is_refused(body: str, named: str) -> None:
    with pytest.raises(RefusedError, match=named) as refused:
        refuse_ambiguous(body.encode())
    assert (refused.value.status, refused.value.code) == (400, "ambiguous_request")


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        " { } ",
        "[]",
        '{"model"',
        '{"x":' + "[" * 8_000,
        '{"model":"a","user":1,"user":2}',
        '{"model": {"a": 1, "a": 2}, "tools": [{"model": 1}, {"model": "\\"model\\":"}]}\n',
        '{"model" :\t"a" , "M\u00e4rz":1}',
        '{"model":"a","x:y":1,"\\u003a":":"}',
        '{"model":"a","M\\u00e4rz":1,"long":"' + "x" * 2**20 + '"}',
    ],
)
def test_other_requests_are_left_to_their_api(body: str) -> None:
    refuse_ambiguous(body.encode())


@pytest.mark.parametrize(
    "odd",
    [
        rb'"user":"\ud800"',
        rb'"\ud800":1',
        b'"\xff":1',
    ],
)
def test_what_the_apis_read_beyond_json_hides_no_name(odd: bytes) -> None:
    body = b'{"model":"secret","model":"allowed","messages":[],%b}' % odd
    with pytest.raises(RefusedError, match="'model' twice"):
        refuse_ambiguous(body)
    refuse_ambiguous(b'{"model":"allowed","messages":[],%b}' % odd)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(
    st.lists(st.tuples(st.sampled_from(["model", "n", "x", ":", "\u00e9", '"']), json_values)),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :  ")]),
)
def test_exactly_what_stands_twice_is_refused(
    members: list[tuple[str, object]], separators: tuple[str, str]
) -> None:
    comma, colon = separators
    body = comma.join(
        json.dumps(name, ensure_ascii=comma != ",")
        + colon
        + json.dumps(value, separators=separators)
        for name, value in members
    )
    names = [name for name, _ in members if name in READ]
    text = f"{{{body}}}".encode()
    if len(set(names)) == len(names):
        refuse_ambiguous(text)
    else:
        with pytest.raises(RefusedError, match="twice"):
            refuse_ambiguous(text)


def test_all_names_that_an_api_reads_are_known() -> None:
    modules = (chat, completions, embeddings, messages, responses, plain_chat)
    for module in modules:
        kind: type[msgspec.Struct] = module._Request
        assert {field.encode_name for field in msgspec.structs.fields(kind)} <= READ


async def test_an_ambiguous_request_reaches_no_upstream(gateway: Running) -> None:
    body = b'{"model": "secret", "messages": [], "model": "served"}'
    answer = await gateway.client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "The request has 'model' twice: send each name once, as the API spells it."
    )
