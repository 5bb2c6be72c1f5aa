from __future__ import annotations

import json

import pytest

from tidegauge.adapters.quotations import without_quotations

TEXT = "Meine Karte ist 4711-0815, die von Jörg Müller."


def asked(text: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT, f"[{{'type': 'string_type', 'loc': ('body', 0), 'input': '{TEXT}'}}]"),
        (TEXT, json.dumps({"message": f"cannot parse {TEXT}"})),
        (TEXT, "input_value='Meine Karte ist 47...örg Müller.'"),
        (TEXT, "the number 4711 is too large"),
        ("Jörg", json.dumps({"input": "Jörg"})),
        ("我的卡号是多少", "错误: 卡号是多"),
        ("token-sk_live_abcdefghijklmnop", "bad token sk_live_abcdefghijklmnop"),
    ],
)
def test_nothing_after_the_beginning_of_a_quotation_is_shown(text: str, said: str) -> None:
    found = without_quotations(said, asked(text))
    assert found.endswith("… (the rest quotes what it was asked)")
    shown = found.removesuffix("… (the rest quotes what it was asked)")
    assert not any(word in shown for word in ("Karte", "4711", "rg", "卡号", "sk_live"))


@pytest.mark.parametrize(
    "said",
    [
        "The model `m` does not exist.",
        "top_logprobs must be at most 20, got 30",
        '{"object":"error","message":"System role not supported","code":400}',
    ],
)
def test_what_a_server_says_of_itself_is_shown_whole(said: str) -> None:
    assert without_quotations(said, asked(TEXT)) == said
    assert without_quotations(said, None) == said
