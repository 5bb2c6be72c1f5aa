from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.drift.descriptors import LANGUAGES, LENGTHS, language, length


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("where is my card and what is the limit", "en"),
        ("¿dónde está el paquete que pedí para mi casa?", "es"),
        ("wo ist mein Paket und wie lange dauert es", "de"),
        ("où est ma carte dans le compte", "fr"),
        ("где моя карта", "cyrillic"),
        ("我的卡丢了", "han"),
        ("カードをなくしました", "kana"),
        ("카드를 잃어버렸어요", "hangul"),
        ("أين بطاقتي", "arabic"),
        ("checkout", "latin"),
        ("42 :) 🙂", "none"),
        ("", "none"),
    ],
)
def test_scripts_and_common_words_tell_the_language(text: str, code: str) -> None:
    assert language(text) == code


@given(st.text(max_size=500))
def test_every_text_has_a_known_language_and_length(text: str) -> None:
    assert language(text) in LANGUAGES
    assert length(text) in LENGTHS


@pytest.mark.parametrize(
    ("characters", "name"), [(0, "to_10"), (10, "to_10"), (11, "to_20"), (9_999, "over_1280")]
)
def test_length_bins_include_their_upper_edge(characters: int, name: str) -> None:
    assert length("x" * characters) == name
