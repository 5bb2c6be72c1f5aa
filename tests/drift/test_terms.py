from __future__ import annotations

from tidegauge.drift.terms import top_terms


def test_terms_set_a_group_apart() -> None:
    groups = [
        ["I lost my credit card", "a new credit card please", "card limit"],
        ["book a flight home", "is my flight late", "flight and hotel"],
    ]
    cards, flights = top_terms(groups, most=2)
    assert cards == ("card", "credit")
    assert flights[0] == "flight"


def test_other_scripts_have_terms_too_and_empty_groups_none() -> None:
    assert top_terms([["карта потеряна"], []], most=1) == [("карта",), ()]


def test_an_endless_word_is_cut() -> None:
    (terms,) = top_terms([["x" * 10_000]])
    assert len(terms[0]) == 40
