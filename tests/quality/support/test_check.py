"""The check of support: which facts of an answer the given texts do not hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.quality.support import FactKind, check_support, unsupported_facts

CONTEXT = (
    "Returns are free for 30 days, says Joshua Mahony of Acme Robotics. The fee was $1,200 for "
    "1,234,567 parts, up 12.47%. The United Nations office in Москва opens on 3 May 2024 at "
    "7:45 p.m.; write to jm@acme.example or see https://acme.com/help. "
    "The GPT 4 pilot took three weeks. He called it \u201ca very good day for all of us\u201d."
)


def unsupported(answer: str, *given_texts: str) -> list[tuple[str, str]]:
    found = check_support(answer, given_texts or [CONTEXT])
    assert all(answer[each.start : each.end] == each.text for each in found.unsupported)
    assert unsupported_facts(answer, given_texts or [CONTEXT]) == found.unsupported
    return [(each.kind.value, each.text) for each in found.unsupported]


@pytest.mark.parametrize(
    "answer",
    [
        "You have 30 days, and the fee is 1200 dollars.",
        "The fee of 1.2k covers 1.2 million parts, 12.5 percent more than before.",
        "It opens on May 3, 2024, that is 2024-05-03, at 19:45.",
        "It opens in May 2024.",
        "El 3 de mayo de 2024, am 3. Mai 2024, le 3 mai 2024, 3 мая 2024, 2024年5月3日.",
        "According to Mahony, the UN office in Москве uses GPT-4.",
        "The pilot took 3 weeks.",
        "See acme.com/help, www.acme.com or write to JM@acme.example.",
        'He said "a very good day ... for all of us".',
        "1. Thirty days [2]\n2. Free returns [1, 3]\n",
        "## Key Facts About Your Order\nReturns are free.",
        "The text does not say.",
        "You see, I'm sorry and It's late.",
        "Yesterday Acme Robotics said so. Visitors agreed.",
        "Call it like this:\n```python\nwait(seconds=99, host='Zed')\n```\nand wait.",
        "\u0663\u0660 days",
        "",
    ],
)
def test_what_the_texts_hold_is_supported(answer: str) -> None:
    assert unsupported(answer) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("You have 60 days.", [("number", "60 days")]),
        ("You have 30 hours.", [("number", "30 hours")]),
        ("It cost \u20ac1,200.", [("number", "\u20ac1,200")]),
        ("It covers 1.3 million parts.", [("number", "1.3 million")]),
        ("It opens on 4 May 2024.", [("date", "4 May 2024")]),
        ("It opens on 3 May 2025.", [("date", "3 May 2025")]),
        ("It opens at 7:45 a.m. there.", [("time", "7:45 a.m.")]),
        ("The pilot with GPT-5 ended.", [("identifier", "GPT-5")]),
        ("See acme.org for more.", [("address", "acme.org")]),
        ("It is said that Joshua Miller left.", [("name", "Miller")]),
        ("Anna Miller said so.", [("name", "Anna Miller")]),
        ("From Acme to Ashby it takes 30 days.", [("name", "Ashby")]),
        ("The office in Warszawa opens.", [("name", "Warszawa")]),
        ("Он живёт в городе Самара.", [("name", "Самара")]),
        ("Ich sprach mit Frau Petra Lindner dort.", [("name", "Petra Lindner")]),
        ("Ein Bericht vom 4. Mai 2024.", [("date", "4. Mai 2024")]),
        ("他说「这是最糟糕的一天」。", [("quotation", "「这是最糟糕的一天」")]),
        ("2025年6月1日に開始。", [("date", "2025年6月1日")]),
        ('He said "a terrible day for us".', [("quotation", '"a terrible day for us"')]),
    ],
)
def test_what_they_do_not_hold_is_shown(answer: str, expected: list[tuple[str, str]]) -> None:
    assert unsupported(answer) == expected


def test_a_part_of_a_longer_word_or_number_supports_nothing() -> None:
    held = "It took 130 days, 1.5 hours and Anabel."
    assert unsupported("Of Ana, in 30 days or 5 hours.", held) == [
        ("name", "Ana"),
        ("number", "30 days"),
        ("number", "5 hours"),
    ]


def test_times_are_compared_as_times() -> None:
    assert unsupported("Until 20:00 hours.", "It is open until 20 o'clock.") == []
    assert unsupported("Until 8 p.m. there.", "Bis 20 Uhr.") == []
    assert unsupported("Until 21:00 hours.", "Bis 20 Uhr.") == [("time", "21:00")]


def test_all_given_texts_count() -> None:
    assert unsupported("Take 5 g of Zornyl.", "Zornyl helps.", "How much? 5 g or 9 g?") == []


def test_numbers_as_words_are_taken_from_the_texts_alone() -> None:
    assert unsupported("Nach 5 Tagen, après 2 jours.", "fünf Tage, deux jours") == []
    assert unsupported("Both of the two of them agree.", "They agree.") == []


def test_an_acronym_stands_for_its_words_and_the_other_way_round() -> None:
    assert unsupported("It is the WHO that asks.", "The World Health Organization asks.") == []
    assert unsupported("Today the World Health Organization asks.", "The W.H.O. asks.") == []
    assert unsupported("It is the NATO that asks.", "The World Health Organization asks.") == [
        ("name", "NATO")
    ]


def test_a_german_noun_is_no_name() -> None:
    assert unsupported("Der Vertrag regelt die Kündigung und die Frist.", "nichts davon") == []


def test_the_score_falls_with_each_unsupported_word_and_most_with_facts() -> None:
    context = "The red ferry leaves the old harbour for Orsk at noon."
    scores = [
        check_support(answer, [context]).score
        for answer in (
            "The red ferry leaves for Orsk at noon.",
            "The red ferry departs for Orsk at noon.",
            "The red ferry leaves for Minsk at noon.",
            "The blue train departs for Minsk at night.",
        )
    ]
    assert scores[0] == 1
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def test_another_form_of_a_word_counts_half() -> None:
    exact, other, none = (
        check_support(answer, ["the ferries arrived"]).score
        for answer in ("ferries arrived", "ferries arrive", "ferries vanish")
    )
    assert exact > other > none


def test_facts_are_counted() -> None:
    found = check_support("On 3 May 2024 the fee was $5 in Lima.", [CONTEXT])
    assert found.facts == 3
    assert [each.kind for each in found.unsupported] == [FactKind.NUMBER, FactKind.NAME]


def test_texts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    context = "配達は三日以内に届きます。"
    assert check_support("配達は三日以内に届きます", [context]).score == 1
    assert check_support("返金は翌月に行われます", [context]).score < 0.3


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_checked(answer: str, context: str) -> None:
    found = check_support(answer, [context])
    assert 0 < found.score <= 1
    assert len(found.unsupported) <= found.facts


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="`"), max_size=200))
def test_a_text_supports_itself(text: str) -> None:
    assert check_support(text, [text]).unsupported == ()
