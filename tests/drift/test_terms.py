from __future__ import annotations

from tidegauge.drift.terms import top_terms


def test_terms_set_a_group_apart() -> None:
    groups = [
        ["I lost my credit card", "a new credit card please", "card limit"],
        ["book a flight home", "is my flight late", "flight and hotel"],
    ]
    cards, flights = top_terms(groups, most=2, shared=2)
    assert cards == ("card", "credit")
    assert flights[0] == "flight"


def test_what_few_texts_hold_is_no_term() -> None:
    """Terms outlive texts: one customer's name is none of them, however often it is said."""
    said = "the card of müller"
    texts = [f"my card number {number}" for number in range(10)]
    for rare in ([said], [said] * 19, [f"{said} {number}" for number in range(4)]):
        assert top_terms([texts, rare]) == [("number", "card"), ("card",)]
    for shared in ([said] * 20, [f"{said} {number}" for number in range(5)]):
        assert top_terms([texts, shared])[1][0] == "müller"


def test_other_scripts_have_terms_too_and_empty_groups_none() -> None:
    assert top_terms([["карта потеряна"], []], most=1, shared=1) == [("карта",), ()]


def test_an_endless_word_is_cut() -> None:
    (terms,) = top_terms([["x" * 10_000]], shared=1)
    assert len(terms[0]) == 40
